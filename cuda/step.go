package cuda

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// step.go holds the life of one forward pass. A Step belongs to one goroutine and is used again for every pass:
//
//	s.Begin()
//	x := s.Embed(tokens, w)
//	for i := range layers { s.EnterLayer(i); x = ... }
//	err := s.End()
//
// The first error sticks: later ops do nothing and give the zero Tensor, so that a model's forward pass has no error
// results. Ops are added to the queues of their devices and may run later; End waits for all of them, once. Memory of activations is in
// arena.go, how an op is put together in call.go, the ops in ops*.go.

// Step runs the ops of forward passes, each where its weights or states live.
type Step struct {
	devices []Device
	queues  []Queue
	memory  [MaxDevices]Device // what the tensors of a device say; nil for the CPU
	layers  []*Module
	res     Residency

	arenas  [MaxDevices][sections]arena
	secs    [sections]section
	section int // that new activations join
	parts   int // begun and not ended
	around  int // the section of the layer that the part is of
	home    int // device of the entered layer
	current int // where ops without a weight run
	layer   int
	outside map[*Module]int // device of each module entered that belongs to no layer, or to another
	err     error
	open    bool // begun and not ended

	count   uint64        // layers and other modules entered
	told    uint64        // of these, in entered: see tell
	entered atomic.Uint64 // see Entered
	call    call          // the op that is being put together

	multiplied   Tensor // what the op before it is a product of; zero if it is another
	multipliedOn int    // on this device

	upto   []int32 // of all Pages of this pass
	routes []route // of this pass

	measuring bool
	workers   []Worker // whose ops are measured, too
	work      int64    // the most that one needs
	observer  func(name string, i int, x Tensor)
}

// NewStep makes a step over devices, of which the first is the CPU, for a model's layers. Without a Residency every
// module is computed on the CPU. It refuses a list of devices that does not begin with a CPU or is too long with an
// error from the first Begin. Close ends it.
func NewStep(devices []Device, layers []*Module, r Residency) *Step {
	s := &Step{layers: layers, res: r, outside: map[*Module]int{}}
	if len(devices) == 0 || len(devices) > MaxDevices || !OnHost(devices[0]) {
		return s
	}
	s.devices = append(s.devices, devices...)
	for i, d := range devices {
		s.queues, s.memory[i] = append(s.queues, d.NewQueue()), memoryOf(d)
	}
	return s
}

// Close ends the step's queues, which may have something to free still. No pass runs any more.
func (s *Step) Close() {
	for _, q := range s.queues {
		_ = q.Sync() // a pass told its errors
		q.Close()
	}
	s.queues, s.devices = nil, nil
}

// Queue is where the step's work on a device is added: for a Residency, which frees what the step may still use. Nil for a device that is
// not there.
func (s *Step) Queue(dev int) Queue {
	if dev < 0 || dev >= len(s.queues) {
		return nil
	}
	return s.queues[dev]
}

// Reserve takes the memory for activations on a device, instead of what was reserved there before. Not during a step,
// but by Residency.Enter for a device that this step has not used.
func (s *Step) Reserve(dev int, z Sizes) error {
	if dev < 0 || dev >= len(s.devices) {
		return fmt.Errorf("reserve: no device %d among %d", dev, len(s.devices))
	}
	s.Release(dev)
	for i := range sections {
		m, err := s.devices[dev].Alloc(*z.at(i), ForScratch)
		if err != nil {
			s.Release(dev)
			return fmt.Errorf("memory for activations of %s: %w", sectionNames[i], err)
		}
		s.arenas[dev][i].mem = m
	}
	if b, ok := s.queues[dev].(Bench); ok {
		if err := b.Room(z.Work); err != nil {
			s.Release(dev)
			return fmt.Errorf("memory for ops to work with: %w", err)
		}
	}
	return nil
}

// Release gives the memory for activations on a device back.
func (s *Step) Release(dev int) {
	if dev < 0 || dev >= len(s.devices) {
		return
	}
	for i := range sections {
		s.devices[dev].Free(s.arenas[dev][i].mem)
		s.arenas[dev][i] = arena{}
	}
	if b, ok := s.queues[dev].(Bench); ok {
		_ = b.Room(0) // to take nothing cannot fail
	}
}

// Peak is the most of each section that steps have used on a device since Reserve.
func (s *Step) Peak(dev int) Sizes {
	var z Sizes
	if dev >= 0 && dev < len(s.devices) {
		for i := range sections {
			*z.at(i) = s.arenas[dev][i].peak
		}
	}
	return z
}

// Measure runs a forward pass that computes nothing and says how much memory for activations it needs on any device,
// wherever each layer is computed. Use the largest batch there will be.
func (s *Step) Measure(forward func(*Step)) (Sizes, error) {
	m := &Step{layers: s.layers, outside: map[*Module]int{}, measuring: true}
	m.devices = s.devices[:min(1, len(s.devices))]
	for _, d := range s.devices {
		if w, ok := d.(Worker); ok {
			m.workers = append(m.workers, w)
		}
	}
	m.Begin()
	forward(m)
	err := m.End()
	return Sizes{m.secs[sectionStep].peak, m.secs[sectionEven].peak, m.secs[sectionOdd].peak, m.secs[sectionPart].peak, m.work}, err
}

// Begin starts a pass: activations of the pass before are no more, its error is forgotten.
func (s *Step) Begin() {
	if s.open {
		_ = s.End() // of a pass that was given up
	}
	for i := range sections {
		s.reset(i)
		s.pay(&s.secs[i])
	}
	clear(s.outside)
	s.section, s.parts, s.home, s.current, s.layer, s.err, s.open = sectionStep, 0, 0, 0, -1, nil, true
	s.routes, s.upto = s.routes[:0], s.upto[:0]
	if len(s.devices) == 0 {
		s.err = fmt.Errorf("a step needs 1 to %d devices, the first of them a cpu", MaxDevices)
	}
}

// EnterLayer says that the ops from here on belong to layer i. It is where placement is looked at: if nothing is to be
// done, that is one atomic load.
func (s *Step) EnterLayer(i int) {
	if s.err != nil {
		return
	}
	if i < 0 || i >= len(s.layers) {
		s.err = fmt.Errorf("layer %d of a model with %d", i, len(s.layers))
		return
	}
	s.section, s.parts, s.layer = sectionEven+i&1, 0, i
	s.reset(s.section)
	s.count++
	m := s.layers[i]
	if w := m.settled.Load(); w != 0 && !s.measuring {
		s.home = int(w) - 1
	} else {
		s.home = s.ask(m)
	}
	s.current = s.home
}

// EnterModule says that the ops from here on that have no weight run where a module outside the layers, such as one of a tower of
// vision, is computed.
func (s *Step) EnterModule(m *Module) { s.current = s.device(m) }

// Here is an activation where ops without a weight run now.
func (s *Step) Here(x Tensor) Tensor { return s.on(s.current, x) }

// Entered is how many layers and other modules the passes have entered and begun to compute so far: it grows while work advances. Any goroutine may ask.
func (s *Step) Entered() uint64 { return s.entered.Load() }

// tell has Entered say how far the pass is. It goes with the first op of a layer and not with the hook: an atomic write takes several times as long as all that
// the hook does with nothing to do.
func (s *Step) tell() {
	s.told = s.count
	s.entered.Store(s.count)
}

// End waits for the pass and gives its first error. Its last activations stay readable until the next Begin; those that lie elsewhere may
// still be brought to the host, with another End to wait for them.
func (s *Step) End() error {
	s.open = false
	s.tell()
	for _, q := range s.queues {
		if err := q.Sync(); err != nil && s.err == nil {
			s.err = err
		}
	}
	s.tellRoutes(every)
	return s.err
}

// Err is the first error of the pass so far, but for what queues have not come to yet.
func (s *Step) Err() error { return s.err }

// SetObserver has Observe call f; nil ends it. Tests compare layer by layer with it.
func (s *Step) SetObserver(f func(name string, i int, x Tensor)) { s.observer = f }

// Observe shows an activation to the observer, in the memory of this process: ("embeddings", 0), ("layer", i), ("final", 0).
func (s *Step) Observe(name string, i int, x Tensor) {
	if s.observer == nil || s.measuring {
		return
	}
	x = s.ToHost(x)
	for _, q := range s.queues {
		if err := q.Sync(); err != nil {
			s.fail(err)
		}
	}
	if s.err == nil {
		s.observer(name, i, x)
	}
}

// ToHost is an activation in the memory of this process, where F32 can read it after End.
func (s *Step) ToHost(x Tensor) Tensor { return s.bring(0, x) }

// Measuring says that nothing is computed: activations have shapes and no elements.
func (s *Step) Measuring() bool { return s.measuring }

// device is where an op with a weight or state of m runs: where m was entered, which is now if it was not yet.
func (s *Step) device(m *Module) int {
	if s.err != nil || s.measuring || m == nil {
		return 0
	}
	if s.layer >= 0 && m == s.layers[s.layer] {
		return s.home
	}
	dev, ok := s.outside[m]
	if ok {
		return dev
	}
	s.count++
	if dev, ok = m.Settled(); !ok {
		dev = s.ask(m)
	}
	s.outside[m] = dev
	return dev
}

// ask has the Residency place a module, and lets ops there wait for its weights.
func (s *Step) ask(m *Module) int {
	if s.res == nil || s.measuring {
		return 0
	}
	dev, ready, err := s.res.Enter(m)
	if err != nil {
		s.fail(fmt.Errorf("entering %s: %w", m.ID, err))
		return 0
	}
	if dev < 0 || dev >= len(s.devices) {
		s.fail(fmt.Errorf("entering %s: the residency says device %d of %d", m.ID, dev, len(s.devices)))
		return 0
	}
	s.queues[dev].Wait(ready)
	return dev
}

func (s *Step) fail(err error) {
	if s.err == nil {
		if s.layer >= 0 {
			err = fmt.Errorf("layer %d: %w", s.layer, err)
		}
		s.err = err
	}
}

var errNothing = errors.New("an operand is no tensor: a view did not fit its shape, or it was never made")
