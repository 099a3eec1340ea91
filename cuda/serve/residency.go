package serve

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/sdk"
)

// residency.go decides which modules fill the bytes the host gave: it is what Step.EnterLayer asks. Kept here:
//
//   - A module's placement changes only under mu: by the step that holds it, at a border between modules, or by carry
//     between two steps.
//   - With nothing to do every module is settled and a step does not come here at all.
//   - A module outside the layers (embed_tokens, norm, lm_head) may be used again later in a step, and activations may lie
//     on a device that no later module uses: both keep their place until the step ends.
//   - A module that cannot have its device (a budget too small for what the plan thought) is computed on the CPU; a
//     generation never fails for lack of device memory.
//
// How weights come and go is in streaming.go, how modules go over from the CPU while steps go on in coming.go, single experts in experts.go, the host's orders in orders.go.

// residency implements cuda.Residency.
type residency struct {
	devices []cuda.Device
	places  []*place   // in the order of the forward pass, without experts
	layers  []*place   // those of decoder layers
	experts [][]*place // of each layer
	of      map[*cuda.Module]*place
	byID    map[string]*place
	caches  []*expertCache // by device
	missed  []*place       // of Routed
	through through
	coming  []*arrival // in the order in which they are to come
	settled []*place   // have moved, or are not to come any more, since packSettled
	planner func(budgets []int64) ([]sdk.Placement, error)
	stage   stage
	clock   clock.Clock
	spill   *spill // nil in tests of less
	meter   *meter // nil: nothing is learnt from passes
	copies  holdings
	pins    *pinning
	journal journal
	crowded func() // gives up remembered pictures that the CPU's budget has no room for; nil: there are none

	mu      sync.Mutex
	inStep  bool
	passing bool   // the step is one through the layers
	fresh   bool   // no such step has ended: of states nothing is written but of layers that the running one has entered
	entered *place // last in this step
	since   time.Duration
	began   time.Duration // of the step
	took    float64       // seconds, of the last step through the layers
	passes  uint64        // such steps
	quiet   []bool        // devices of which nothing is lacking or on its way, in a step that times modules
	leaving []bool        // devices whose scratch goes when the step ends
	stepped func(Stepped) // nil: nobody wants to know
	closed  bool

	mailbox mailbox
	counts  counts
}

// stage is where steps run: the memory for activations, which a device has only while something is computed on it, and the queue that
// uses weights and states there.
type stage interface {
	Reserve(dev int) error
	Release(dev int)
	Queue(dev int) cuda.Queue
}

// counts are read by reports while steps run.
type counts struct{ moves, prefetches, evictions, waits, hits, misses, again, sent atomic.Uint64 }

// newResidency starts with every module on the CPU.
func newResidency(devices []cuda.Device, modules []*cuda.Module, st stage, planner func(budgets []int64) ([]sdk.Placement, error)) *residency {
	r := &residency{devices: devices, of: map[*cuda.Module]*place{}, byID: map[string]*place{}, planner: planner, stage: st, clock: clock.Real(), fresh: true, leaving: make([]bool, len(devices)),
		quiet: make([]bool, len(devices))}
	for _, m := range modules {
		r.adopt(&place{m: m, index: len(r.places), expert: isExpert(m)})
		m.Settle(0)
	}
	for range devices {
		r.caches = append(r.caches, newExpertCache(len(r.layers)))
	}
	r.mailbox.wake = make(chan struct{}, 1)
	return r
}

// adopt lists a place where it will be looked for. A layer comes before its experts.
func (r *residency) adopt(p *place) {
	r.of[p.m], r.byID[p.m.ID] = p, p
	if p.expert {
		r.experts[p.m.Layer] = append(r.experts[p.m.Layer], p)
		return
	}
	r.places = append(r.places, p)
	if p.m.Layer >= 0 {
		r.layers, r.experts = append(r.layers, p), append(r.experts, nil)
	}
}

// adoptStates tells the residency which memory holds a module's states, so that it can free it when they move.
func (r *residency) adoptStates(m *cuda.Module, states ...cuda.Memory) {
	p := r.of[m]
	p.states = append(p.states, states...)
}

// sampleEvery is how often a pass is timed module by module. Timing makes every border ask, which costs some 50 ns each.
const sampleEvery = 64

// begin opens a step: placement is the step's until finish.
func (r *residency) begin() {
	r.mu.Lock()
	r.betweenSteps(false)
	r.inStep, r.entered, r.began = true, nil, r.clock.Now()
	r.receiveExperts()
}

// finish closes a step.
func (r *residency) finish() {
	r.leave(r.clock.Now())
	clear(r.quiet)
	for _, p := range r.places {
		if t := p.transfer; t != nil && t.failed() {
			_ = p.await(r.stage.Queue(p.dev)) // no memory for what did not arrive
		}
	}
	r.seeOff()
	r.settleStates()
	if r.inStep = false; r.passing {
		r.passed()
	}
	r.packSettled()
	r.settleDebts()
	r.tell()
	r.mu.Unlock()
}

// passed ends a step through the layers.
func (r *residency) passed() {
	r.passing, r.fresh, r.took = false, false, (r.clock.Now() - r.began).Seconds()
	if r.stepped != nil {
		r.stepped(Stepped{r.took, r.counts.hits.Load(), r.counts.misses.Load(), r.layersOn(0), r.pins.staged()})
	}
	r.meter.end(r)
}

// layersOn is how many layers are computed on a device.
func (r *residency) layersOn(dev int) (n int) {
	for _, p := range r.layers {
		if p.dev == dev {
			n++
		}
	}
	return n
}

// Enter implements cuda.Residency.
func (r *residency) Enter(m *cuda.Module) (int, cuda.Event, error) {
	p := r.of[m]
	if p == nil || p.expert {
		return 0, nil, fmt.Errorf("module %s is not one of this model that is entered", m.ID)
	}
	now := r.clock.Now()
	r.leave(now)
	r.carry()
	if r.quiet[p.dev] && len(r.coming) == 0 && !r.visited(p) {
		r.entered, r.since = p, now
		r.settle(p)
		return p.dev, nil, nil
	}
	if err := r.welcome(p); err != nil {
		return 0, nil, err
	}
	ready, err := r.bring(p)
	if err != nil {
		return 0, nil, err
	}
	r.prefetch(p)
	ready = r.bringThrough(p, ready)
	r.entered, r.since = p, r.clock.Now()
	if !r.streams(p.dev) && len(r.coming) == 0 {
		r.settle(p)
	}
	return p.dev, ready, nil
}

// settle has steps not ask for a module.
func (r *residency) settle(p *place) {
	p.m.Settle(p.dev)
	if r.mailbox.waiting() { // posted between carry and Settle
		p.m.Unsettle()
	}
}

// leave takes the time of the module that was entered last.
func (r *residency) leave(now time.Duration) {
	if r.entered == nil {
		return
	}
	const weight = 0.25 // of the newest measurement
	t := (now - r.since).Seconds()
	if p := r.entered; p.seconds == 0 {
		p.seconds = t
	} else {
		p.seconds += weight * (t - p.seconds)
	}
	r.entered = nil
}

// bring sees to it that p's weights are on its device or on their way, which the event tells; or moves p to the CPU if that cannot be.
func (r *residency) bring(p *place) (cuda.Event, error) {
	r.receive(p)
	if !p.hasWeights() {
		if err := r.fetch(p); err != nil {
			r.counts.waits.Add(1)
			return nil, r.retreat(p, err)
		}
	}
	if p.transfer == nil {
		return nil, nil
	}
	r.counts.waits.Add(1)
	return p.transfer, nil
}

// receive ends a transfer that has happened. One that failed was told to the step that waited for it; the weights are fetched anew.
func (r *residency) receive(p *place) {
	if p.transfer != nil && p.transfer.Happened() {
		r.meter.copied(r.devices[p.dev], p.transfer)
		_ = p.await(r.stage.Queue(p.dev))
	}
}

// all lists every place, each layer before its experts.
func (r *residency) all(yield func(*place) bool) {
	for _, p := range r.places {
		if !yield(p) {
			return
		}
		if p.m.Layer < 0 {
			continue
		}
		for _, e := range r.experts[p.m.Layer] {
			if !yield(e) {
				return
			}
		}
	}
}

// retreat computes p on the CPU, because of a budget that does not hold it. Any other cause is an error.
func (r *residency) retreat(p *place, cause error) error {
	var budget *cuda.BudgetError
	if !errors.As(cause, &budget) {
		return cause
	}
	r.journal.because(r.clock.Now(), "there is no room for its weights")
	return r.move(p, 0)
}

// move makes a module be computed on another device from now on: its states are copied, its old copy of weights dropped;
// the new one comes when it is entered. On an error it stays where it was.
func (r *residency) move(p *place, dev int) error {
	if p.dev == dev {
		return nil
	}
	if err := r.openDevice(dev); err != nil {
		return err
	}
	fresh := r.fresh && !r.inStep
	for {
		err := p.moveStates(r.end(p.dev), r.end(dev), fresh)
		var budget *cuda.BudgetError
		if err == nil {
			break
		}
		if !errors.As(err, &budget) || !r.evictFor(p, dev) {
			r.closeDevice(dev) // perhaps opened for p alone
			return err
		}
	}
	r.moved(p, dev, !fresh)
	return nil
}

// moved has a module whose states are there, by a copy or as they were empty, be computed on a device.
func (r *residency) moved(p *place, dev int, copied bool) {
	r.journal.moved(r.clock.Now(), p, dev, copied)
	p.dropWeights(r.stage.Queue(p.dev))
	old := p.dev
	p.dev, p.seconds, p.streamed = dev, 0, false
	r.settled = append(r.settled, p)
	p.m.Unsettle()
	r.counts.moves.Add(1)
	r.closeDevice(old)
}

func (r *residency) end(dev int) end { return end{r.devices[dev], r.stage.Queue(dev)} }

// openDevice takes the memory for activations when the first module comes.
func (r *residency) openDevice(dev int) error {
	if dev == 0 || r.leaving[dev] || r.inhabited(dev) {
		return nil
	}
	return r.stage.Reserve(dev)
}

// closeDevice gives the memory for activations back after the last module left: when the step ends, since activations of
// this step may still lie there.
func (r *residency) closeDevice(dev int) {
	if dev != 0 && !r.inhabited(dev) {
		r.leaving[dev] = true
	}
}

// releaseLeft does what closeDevice put off. Not during a step.
func (r *residency) releaseLeft() {
	for dev, leaving := range r.leaving {
		if leaving && !r.inhabited(dev) { // a module or an expert may have come after the last one left
			r.stage.Release(dev)
		}
		r.leaving[dev] = false
	}
}

func (r *residency) inhabited(dev int) bool {
	for _, p := range r.places {
		if p.dev == dev {
			return true
		}
	}
	return r.caches[dev].n > 0 || slices.ContainsFunc(r.coming, func(a *arrival) bool { return a.dev == dev && a.there != nil })
}

// close waits for copies under way and frees everything on the devices. No step runs any more.
func (r *residency) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true // an order that comes now finds no queues
	r.unpack(0)
	r.turnBackAll(r.coming)
	r.coming = nil
	for _, p := range r.places {
		p.dropWeights(r.stage.Queue(p.dev))
		for _, m := range p.states {
			r.stage.Queue(p.dev).Free(m)
		}
		p.states = nil
	}
	for dev := range r.devices {
		r.dismissAll(dev)
		r.stage.Release(dev)
	}
	r.pins.close()
}

// load has modules come to where the first plan has them, before there are states. Nobody waits for that: the model is ready on the CPU.
func (r *residency) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.devices) == 1 {
		return nil // and the rates, which take a moment to measure, are not needed
	}
	r.journal.because(r.clock.Now(), "the model was loaded")
	plan, err := r.planner(r.budgets())
	if err == nil {
		r.expect(plan)
		r.noteStreamed(plan)
	}
	return err
}

func (r *residency) budgets() []int64 {
	list := make([]int64, len(r.devices))
	for i, d := range r.devices {
		list[i] = d.Usage().Budget
	}
	return list
}

// placements is where every module is computed, or will be when what comes has come.
func (r *residency) placements() []sdk.Placement {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []sdk.Placement
	for p := range r.all {
		dev, streamed := p.dev, p.streamed
		if a := r.arrivalOf(p); a != nil {
			dev, streamed = a.dev, a.streamed
		}
		list = append(list, sdk.Placement{Module: p.m.ID, Device: r.devices[dev].Name(), Streamed: streamed})
	}
	return list
}
