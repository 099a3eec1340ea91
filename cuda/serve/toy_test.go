package serve

// toy_test.go is a residency without a model, for the tests of what lies where: passes enter its modules as steps do, and see that
// everything is where it is told.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// The toy: an embedding and four layers, each of one weight and one state, on a CPU and a far device.
const (
	toyLayers = 4
	toyWeight = 4096 // bytes
	toyState  = 1024
	toyRoom   = 512 // for activations
)

type toy struct {
	t   *testing.T
	c   *cpu.Device
	r   *residency
	far *far.Device
	mod []*cuda.Module // embed_tokens, layers.0 ...
	was [][]float32    // the states' contents: what no move may change

	experts [][]*cuda.Module      // of each layer
	route   func(layer int) []int // the experts that a pass needs; nil is none

	scratch   cuda.Memory
	scratchOn int // device
	queues    []cuda.Queue
	looks     []func()   // at what the queues of a pass have copied out, when it has ended
	link      bool       // no order starts a copy
	rows      int        // of a pass
	draw      func() int // draws them
}

// Reserve and Release are the toy's memory for activations. A step may have some there until it ends.
func (y *toy) Reserve(dev int) (err error) {
	if y.scratch.Bytes() > 0 {
		y.t.Error("memory for activations is taken a second time")
	}
	y.scratchOn = dev
	y.scratch, err = y.r.devices[dev].Alloc(toyRoom, cuda.ForScratch)
	return err
}

func (y *toy) Release(dev int) {
	if y.r.inStep {
		y.t.Error("memory for activations is given back in the middle of a step")
	}
	if dev == y.scratchOn {
		y.r.devices[dev].Free(y.scratch)
		y.scratch = cuda.Memory{}
	}
}

// Queue is the toy's work on a device.
func (y *toy) Queue(dev int) cuda.Queue { return y.queues[dev] }

// newToy plans like this: on far are the layers that want names, whatever the budget.
func newToy(t *testing.T, pace far.Pace, budget int64, want func(layer int) bool) *toy {
	t.Helper()
	return newMixture(t, pace, budget, 0, want)
}

// atEveryPace runs a test with a far device that runs at once, as late as can be, at random and in its own time.
func atEveryPace(t *testing.T, f func(t *testing.T, pace far.Pace)) {
	t.Helper()
	for _, p := range far.Paces() {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

func (y *toy) cpu() *cpu.Device { return y.c }

// newMixture is newToy with so many experts in each layer, each as large as the rest of the layer.
func newMixture(t *testing.T, pace far.Pace, budget int64, experts int, want func(layer int) bool) *toy {
	t.Helper()
	c := cpu.New(1)
	machine := far.NewMachine(c, pace)
	here := machine.CPU()
	y := &toy{t: t, c: c, far: machine.Device("far", budget, 0, 0)}
	for i := -1; i < toyLayers; i++ {
		m := &cuda.Module{ID: fmt.Sprintf("layers.%d", i), Layer: i}
		if i < 0 {
			m.ID = "embed_tokens"
		}
		y.addWeight(m, i*10000)
		y.mod = append(y.mod, m)
		if i < 0 {
			continue
		}
		y.experts = append(y.experts, nil)
		for e := range experts {
			x := &cuda.Module{ID: fmt.Sprintf("layers.%d.mlp.experts.%d", i, e), Layer: i}
			y.addWeight(x, (i*experts+e)*3)
			y.experts[i] = append(y.experts[i], x)
		}
	}
	plan := func(budgets []int64) ([]sdk.Placement, error) {
		var list []sdk.Placement
		for _, m := range y.mod {
			dev := "cpu"
			if m.Layer >= 0 && want(m.Layer) {
				dev = "far"
			}
			list = append(list, sdk.Placement{Module: m.ID, Device: dev, Streamed: dev == "far" && budgets[1] == toyTwo})
		}
		return list, nil
	}
	modules := y.mod[:1:1]
	for i, m := range y.mod[1:] {
		modules = append(append(modules, m), y.experts[i]...)
	}
	y.queues = []cuda.Queue{here.NewQueue(), y.far.NewQueue()}
	y.r = newResidency([]cuda.Device{here, y.far}, modules, y, plan)
	y.put()
	for _, m := range y.mod[1:] {
		y.addState(m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); y.r.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		y.r.close()
		for _, q := range y.queues {
			if err := q.Sync(); err != nil {
				t.Error(err)
			}
			q.Close()
		}
		for _, err := range machine.Faults() {
			t.Error(err)
		}
		for _, d := range y.r.devices {
			if used := d.Usage().Used; used != 0 {
				t.Errorf("%s still holds %d bytes", d.Name(), used)
			}
		}
		c.Close()
	})
	return y
}

// put has modules placed where the plan has them at once, with their weights to come as they are entered.
func (y *toy) put() {
	y.t.Helper()
	plan, err := y.r.planner(y.r.budgets())
	if err != nil {
		y.t.Fatal(err)
	}
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	y.r.apply(plan, func(int, int) bool { return true })
	y.r.noteStreamed(plan)
}

func (y *toy) addWeight(m *cuda.Module, first int) {
	y.t.Helper()
	values := make([]float32, toyWeight/4)
	for j := range values {
		values[j] = float32(first + j)
	}
	host, err := cuda.FromF32(values)
	if err != nil {
		y.t.Fatal(err)
	}
	file, err := cuda.MatrixOf(host)
	if err != nil {
		y.t.Fatal(err)
	}
	cuda.NewWeight(len(values)).Bind(m.ID+".weight", m, file)
}

func (y *toy) addState(m *cuda.Module) {
	y.t.Helper()
	values := make([]float32, toyState/4)
	for i := range values {
		values[i] = float32(-m.Layer*1000 - i)
	}
	y.was = append(y.was, values)
	src, err := cuda.FromF32(values)
	if err != nil {
		y.t.Fatal(err)
	}
	at := y.r.of[m].dev
	dev := y.r.devices[at]
	mem, err := dev.Alloc(toyState, cuda.ForState)
	if err != nil {
		y.t.Fatal(err)
	}
	state, err := cuda.DeviceTensor(dev, mem, 0, cuda.F32, len(values))
	if err != nil {
		y.t.Fatal(err)
	}
	if err := copyTensor(state, src, y.queues[0].Mark(), y.r.devices[0], dev); err != nil {
		y.t.Fatal(err)
	}
	cuda.NewState(m.ID+".state", m, state)
	y.r.adoptStates(m, mem)
	y.r.fresh = false // as after a pass: they have contents
}

// pass enters every module as a step does and checks that what it needs is where it is told, which it sees when the queues have
// done all that was asked of them. at is called in the middle.
func (y *toy) pass(at func(layer int)) {
	y.t.Helper()
	if y.draw != nil {
		y.rows = y.draw()
	}
	y.r.beginPass(y.rows)
	defer y.r.finish()
	routed := make([][]int32, toyLayers)
	for _, m := range y.mod {
		y.check(m, y.enter(m))
		y.checkLink()
		if m.Layer >= 0 && y.route != nil {
			routed[m.Layer] = y.passExperts(m.Layer)
		}
		if at != nil {
			at(m.Layer)
		}
	}
	for _, q := range y.queues {
		if err := q.Sync(); err != nil {
			y.t.Fatal(err)
		}
	}
	for _, look := range y.looks {
		look()
	}
	y.looks = y.looks[:0]
	for layer, experts := range routed {
		y.r.Routed(layer, experts)
	}
}

// passesUnderOrders makes many passes while each of draw gives orders from a goroutine of its own, with no budget above the first.
func (y *toy) passesUnderOrders(draw ...func() sdk.Order) {
	y.t.Helper()
	most := y.far.Usage().Budget
	stop, wg := make(chan struct{}), sync.WaitGroup{}
	for _, next := range draw {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				o := next()
				if err := y.obey(o); err != nil && !strings.Contains(err.Error(), "budget") {
					y.t.Errorf("%+v: %v", o, err)
				}
			}
		})
	}
	for range 300 {
		y.pass(nil)
	}
	close(stop)
	wg.Wait()
	if u := y.far.Usage(); u.Peak > most {
		y.t.Errorf("the device held %d bytes, the largest budget was %d", u.Peak, most)
	}
}

func (y *toy) enter(m *cuda.Module) int {
	y.t.Helper()
	dev, settled := m.Settled()
	if !settled {
		var (
			ready cuda.Event
			err   error
		)
		if dev, ready, err = y.r.Enter(m); err != nil {
			y.t.Fatalf("enter %s: %v", m.ID, err)
		}
		y.queues[dev].Wait(ready)
	}
	return dev
}

// checkLink sees to it that one layer is copied at a time, and two experts at most. Two are what the link is busy with: while the end of one is on it, the
// beginning of the next one is brought into pinned memory, and the one after that waits until the first is there (place.send). With a third the link would
// carry no more, and the expert that is needed next would share it.
func (y *toy) checkLink() {
	y.t.Helper()
	layers, experts := 0, 0
	for p := range y.r.all {
		switch {
		case p.transfer == nil || !p.transfer.copying.Load():
		case p.expert:
			experts++
		default:
			layers++
		}
	}
	if y.link && (layers > 1 || experts > 2) {
		y.t.Errorf("%d layers and %d experts are being copied", layers, experts)
	}
}

// passExperts looks at the weights of the experts that a layer needs, where they are computed.
func (y *toy) passExperts(layer int) (routed []int32) {
	y.t.Helper()
	for _, e := range y.route(layer) {
		routed = append(routed, int32(e))
		m := y.experts[layer][e]
		dev, settled := m.Settled()
		if !settled {
			y.t.Errorf("expert %d of layer %d is nowhere", e, layer)
		}
		y.look(m, dev)
	}
	return routed
}

func (y *toy) check(m *cuda.Module, dev int) {
	y.t.Helper()
	y.look(m, dev)
	if dev != 0 && y.scratch.Bytes() == 0 {
		y.t.Errorf("%s is computed on device %d, which has no memory for activations", m.ID, dev)
	}
	if m.Layer < 0 || len(m.States) == 0 {
		return
	}
	s := m.States[0].Tensor()
	if want := y.r.devices[dev].Name(); s.Place() != want {
		y.t.Errorf("%s runs on %s and its state lies on %s", m.ID, want, s.Place())
	}
	was := y.was[m.Layer]
	y.copied(s, func(got []byte) {
		if !slices.Equal(floats(got), was) {
			y.t.Errorf("the state of %s has changed", m.ID)
		}
	})
}

// look sees that a module's weights are on a device.
func (y *toy) look(m *cuda.Module, dev int) {
	y.t.Helper()
	w := m.Weights[0]
	if w.On(dev).IsZero() {
		y.t.Errorf("%s is not on device %d", m.ID, dev)
		return
	}
	y.copied(w.On(dev).Plane(0), func(got []byte) {
		if !slices.Equal(got, w.File().Plane(0).Raw()) {
			y.t.Errorf("%s on device %d does not have its weights", m.ID, dev)
		}
	})
}

// copied has a queue copy a tensor out, and shows it when the pass has ended.
func (y *toy) copied(x cuda.Tensor, see func(got []byte)) {
	y.t.Helper()
	if x.Device() == nil {
		see(x.Raw())
		return
	}
	raw := make([]byte, x.Bytes())
	out, err := cuda.HostTensor(raw, cuda.U8, len(raw))
	if err != nil {
		y.t.Fatal(err)
	}
	y.queues[1].CopyOut(out, x)
	y.looks = append(y.looks, func() { see(raw) })
}

// copiesIn is how many copies have come to far, when none is on its way.
func (y *toy) copiesIn() int64 {
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	for _, p := range y.r.places {
		if p.transfer != nil {
			_ = p.transfer.Wait()
		}
	}
	return y.far.Traffic().CopiesIn
}

// come makes passes until all that is to come has come, each when what it may find has arrived.
func (y *toy) come() {
	y.t.Helper()
	for y.comes() > 0 {
		y.pass(nil)
	}
}

// comes waits for the copies that have been asked for and counts the modules that are still to go over.
func (y *toy) comes() int {
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	y.awaitComing()
	return len(y.r.coming)
}

// awaitComing waits for the copies that have been asked for. mu is held, as it is in a pass.
func (y *toy) awaitComing() {
	for _, a := range y.r.coming {
		if a.there != nil && a.there.transfer != nil {
			_ = a.there.transfer.Wait()
		}
	}
}

// used is what far holds once its queue has freed all that it is to free. Not during a pass.
func (y *toy) used() int64 {
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	return y.r.usage(1).Used
}

func floats(raw []byte) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(raw))), len(raw)/4)
}

// read copies a tensor out at once, wherever it lies.
func (y *toy) read(t cuda.Tensor) []float32 {
	y.t.Helper()
	return floats(y.copyOut(t, make([]byte, t.Bytes())))
}

func (y *toy) copyOut(t cuda.Tensor, raw []byte) []byte {
	y.t.Helper()
	if t.IsZero() {
		return nil
	}
	out, err := cuda.HostTensor(raw, cuda.U8, len(raw))
	if err == nil {
		dev := 0
		if t.Device() != nil {
			dev = 1
		}
		err = copyTensor(out, t, y.queues[dev].Mark(), y.r.devices[dev], y.r.devices[0])
	}
	if err != nil {
		y.t.Fatal(err)
	}
	return raw
}

func (y *toy) obey(o sdk.Order) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return y.r.post(o).await(ctx)
}

func (y *toy) place(id string) string { return y.r.devices[y.r.place(id).dev].Name() }

func move(module, device string) sdk.Order {
	return sdk.Order{Move: &sdk.MoveOrder{Module: module, Device: device}}
}

func budget(bytes int64) sdk.Order {
	return sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: bytes}}
}

func all(int) bool  { return true }
func none(int) bool { return false }

const (
	toyStates = toyLayers * toyState
	toyTwo    = toyRoom + toyStates + 2*toyWeight // the budget that holds two of the four layers' weights
)
