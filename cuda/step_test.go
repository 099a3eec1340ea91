package cuda_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// onCPU is the model's step with everything on the CPU, and its logits for all passes.
func onCPU(t testing.TB, m *model) (*cuda.Step, [][]float32) {
	t.Helper()
	s := cuda.NewStep([]cuda.Device{m.cpu}, m.modules, nil)
	m.reserve(t, s, 1)
	var logits [][]float32
	for _, b := range passes {
		logits = append(logits, m.run(t, s, b))
	}
	return s, logits
}

// TestPlacementDoesNotChangeABit runs the model with every layer here or there, and the embedding too, and in the end
// moves layers and their caches between passes.
func TestPlacementDoesNotChangeABit(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		_, want := onCPU(t, newModel(t, 3))
		for mask := range 16 { // layers 0 to 2, embedding and final norm
			m := newModel(t, 3)
			on := machineAt(t, pace, m.cpu)
			p := newPlace(on.CPU(), on.Device("far", 0, 0, 0))
			s := cuda.NewStep(p.devices, m.modules, p)
			m.reserve(t, s, 2)
			for i, mod := range append(slices.Clone(m.modules), m.outside[0]) {
				if mask>>i&1 == 1 {
					p.move(t, mod, 1)
				}
			}
			for i, b := range passes {
				if got := m.run(t, s, b); !slices.Equal(got, want[i]) {
					t.Fatalf("placement %04b, pass %d: %v, all on the cpu %v", mask, i, got[:3], want[i][:3])
				}
				for j, mod := range m.modules {
					p.move(t, mod, (mask>>j+i)&1)
				}
			}
		}
	})
}

// TestLayersOnTwoForeignDevicesMeetThroughTheCPU: an activation goes from one to the other by way of this process.
func TestLayersOnTwoForeignDevicesMeetThroughTheCPU(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		_, want := onCPU(t, newModel(t, 3))
		m := newModel(t, 3)
		on := machineAt(t, pace, m.cpu)
		p := newPlace(on.CPU(), on.Device("far.0", 0, 0, 0), on.Device("far.1", 0, 0, 0))
		s := cuda.NewStep(p.devices, m.modules, p)
		m.reserve(t, s, 3)
		for i, mod := range m.modules {
			p.move(t, mod, 1+i%2)
		}
		for i, b := range passes {
			if got := m.run(t, s, b); !slices.Equal(got, want[i]) {
				t.Fatalf("pass %d: %v, not %v", i, got[:3], want[i][:3])
			}
		}
	})
}

// TestMemoryIsNotGivenAwayWhileItIsCopied: layer 2 takes the memory of what layer 0 made, by an op and from outside, before anything
// has waited for layer 1, which lies elsewhere and copies it there.
func TestMemoryIsNotGivenAwayWhileItIsCopied(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		c := cpu.New(1)
		defer c.Close()
		on := machineAt(t, pace, c)
		layers := []*cuda.Module{{ID: "layers.0"}, {ID: "layers.1", Layer: 1}, {ID: "layers.2", Layer: 2}}
		for i, m := range layers {
			m.Settle(i % 2)
		}
		devices := []cuda.Device{on.CPU(), on.Device("far", 0, 0, 0)}
		s := cuda.NewStep(devices, layers, nil)
		defer s.Close()
		for d := range devices {
			must(t, s.Reserve(d, cuda.Sizes{Step: 1 << 10, Even: 1 << 10, Odd: 1 << 10}))
			defer s.Release(d)
		}
		for _, outside := range []bool{false, true} {
			s.Begin()
			one := s.InputF32([]float32{1, 2, 3}, 1, 3)
			s.EnterLayer(0)
			x := s.Add(one, one)
			s.EnterLayer(1)
			y := s.Add(x, x)
			s.EnterLayer(2)
			z := one
			if outside {
				z = s.InputF32([]float32{10, 20, 30}, 1, 3)
			} else {
				z = s.Add(one, one)
			}
			y = s.ToHost(y)
			must(t, s.End())
			if !slices.Equal(y.F32(), []float32{4, 8, 12}) || z.F32()[0] == 1 {
				t.Errorf("%v and %v", y.F32(), z.F32())
			}
		}
	})
}

// TestACopyThatNobodyWaitsForComesInTime: what layer 0 brought to the CPU and nobody used does not arrive in the memory of what layer 2 makes.
func TestACopyThatNobodyWaitsForComesInTime(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		c := cpu.New(1)
		defer c.Close()
		on := machineAt(t, pace, c)
		layers := []*cuda.Module{{ID: "layers.0"}, {ID: "layers.1", Layer: 1}, {ID: "layers.2", Layer: 2}}
		for i, dev := range []int{1, 1, 0} {
			layers[i].Settle(dev)
		}
		devices := []cuda.Device{on.CPU(), on.Device("far", 0, 0, 0)}
		s := cuda.NewStep(devices, layers, nil)
		defer s.Close()
		for d := range devices {
			must(t, s.Reserve(d, cuda.Sizes{Step: 1 << 10, Even: 1 << 10, Odd: 1 << 10}))
			defer s.Release(d)
		}
		s.Begin()
		one := s.InputF32([]float32{1, 2, 3}, 1, 3)
		s.EnterLayer(0)
		s.ToHost(s.Add(s.Add(one, one), one))
		s.EnterLayer(1)
		s.EnterLayer(2)
		z := s.Add(one, one)
		must(t, s.End())
		if !slices.Equal(z.F32(), []float32{2, 4, 6}) {
			t.Errorf("the sum is %v", z.F32())
		}
	})
}

// TestActivationsCrossABorderOnce: the middle layer of three lies far. Its input, the angles, the positions, sequences and
// tables go there once each, though the input is read by two ops and the integers by three; its result comes back once.
func TestActivationsCrossABorderOnce(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		m := newModel(t, 3)
		on := machineAt(t, pace, m.cpu)
		there := on.Device("far", 0, 0, 0)
		p := newPlace(on.CPU(), there)
		s := cuda.NewStep(p.devices, m.modules, p)
		m.reserve(t, s, 2)
		p.move(t, m.modules[1], 1)
		before := there.Traffic()
		m.run(t, s, passes[0])
		after := there.Traffic()
		if in, out := after.CopiesIn-before.CopiesIn, after.CopiesOut-before.CopiesOut; in != 5 || out != 1 {
			t.Errorf("%d copies to the device and %d back; 5 and 1 are needed", in, out)
		}
	})
}

// TestSettledModulesAreNotAsked: the hook asks only while it is told to.
func TestSettledModulesAreNotAsked(t *testing.T) {
	m := newModel(t, 2)
	p := newPlace(m.cpu)
	s := cuda.NewStep(p.devices, m.modules, p)
	m.reserve(t, s, 1)
	asked := func() []string {
		p.asked = nil
		m.run(t, s, passes[0])
		return p.asked
	}
	if got := asked(); !slices.Equal(got, []string{"embed_tokens", "layers.0", "layers.1", "norm"}) {
		t.Errorf("nothing settled, asked for %v", got)
	}
	m.modules[0].Settle(0)
	m.outside[0].Settle(0)
	if got := asked(); !slices.Equal(got, []string{"layers.1", "norm"}) {
		t.Errorf("two settled, asked for %v", got)
	}
	m.modules[0].Unsettle()
	if got := asked(); !slices.Equal(got, []string{"layers.0", "layers.1", "norm"}) {
		t.Errorf("one unsettled again, asked for %v", got)
	}
	if got := s.Entered(); got != 3*4 {
		t.Errorf("%d modules were entered in three passes of four", got)
	}
}

// TestEnteredGrowsLayerByLayer, with the first op of each, whether or not the hook asks: a pass that takes long is seen to advance while it runs.
func TestEnteredGrowsLayerByLayer(t *testing.T) {
	m := newModel(t, 3)
	p := newPlace(m.cpu)
	s := cuda.NewStep(p.devices, m.modules, p)
	m.reserve(t, s, 1)
	m.modules[1].Settle(0)
	s.Begin()
	one := s.InputF32([]float32{1, 2, 3}, 1, 3)
	for i := range 3 {
		for range 2 {
			s.EnterLayer(i)
		}
		for range 2 {
			s.Add(one, one)
			if got := s.Entered(); got != uint64(2*i+2) {
				t.Errorf("with an op of layer %d, entered twice, it is %d", i, got)
			}
		}
	}
	s.EnterLayer(0)
	must(t, s.End())
	if got := s.Entered(); got != 7 {
		t.Errorf("at the end of the pass it is %d", got)
	}
}

// TestMeasureIsWhatARunUses, wherever its layers are: the most on any device is what was measured, and the all-CPU run uses
// exactly that.
func TestMeasureIsWhatARunUses(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		m := newModel(t, 3)
		on := machineAt(t, pace, m.cpu)
		there := on.Device("far", 0, 0, 0)
		p := newPlace(on.CPU(), there)
		s := cuda.NewStep(p.devices, m.modules, p)
		sizes := m.reserve(t, s, 2)
		if used := there.Usage(); used.For[cuda.ForScratch] != sizes.Total() || used.Used != sizes.Total() {
			t.Errorf("reserving %+v took %+v", sizes, used)
		}
		largest := rows{tokens: make([]int32, 40)}
		m.run(t, s, largest)
		if got := s.Peak(0); got != sizes {
			t.Errorf("measured %+v, used %+v", sizes, got)
		}
		for i := range m.modules {
			p.move(t, m.modules[i], 1)
			m.run(t, s, largest)
			if got := s.Peak(1); got.Step > sizes.Step || got.Even > sizes.Even || got.Odd > sizes.Odd || got.Part > sizes.Part || got.Total() == 0 {
				t.Errorf("with %d layers far: measured %+v, used %+v", i+1, sizes, got)
			}
		}
		s.Release(1)
		s.Release(0)
		if u := there.Usage(); u.For[cuda.ForScratch] != 0 {
			t.Errorf("after Release %+v", u)
		}
	})
}

// TestABatchLargerThanMeasuredIsRefused and the next pass works again.
func TestABatchLargerThanMeasuredIsRefused(t *testing.T) {
	m := newModel(t, 2)
	s, want := onCPU(t, m)
	s.Begin()
	if out := m.forward(s, rows{tokens: make([]int32, 41)}); !out.IsZero() {
		t.Error("a failed pass gave a tensor")
	}
	if err := s.End(); err == nil || !strings.Contains(err.Error(), "no room on cpu") {
		t.Fatalf("41 rows where 40 were measured: %v", err)
	}
	if got := m.run(t, s, passes[0]); !slices.Equal(got, want[0]) {
		t.Error("the pass after a failed one differs")
	}
}

// TestFirstErrorSticks: it is the one that is told, with layer, op and weight; what comes after does nothing.
func TestFirstErrorSticks(t *testing.T) {
	m := newModel(t, 2)
	s, _ := onCPU(t, m)
	s.Begin()
	s.EnterLayer(1)
	x := s.Embed(s.Input([]int32{1}), m.embed)
	y := s.MatMul(x, m.layers[1].down) // takes rows of 40, not of 24
	if !y.IsZero() {
		t.Error("a failed op gave a tensor")
	}
	s.EnterLayer(99)
	s.CacheWrite(nil, y, cuda.Pages{})
	if z := s.Add(y.Heads(3).Flat(), x); !z.IsZero() {
		t.Error("an op after the error gave a tensor")
	}
	want := "layer 1: matmul by layers.1.down: shapes do not fit: f32 (1, 24) on cpu with bf16 (24, 40) on cpu"
	if err := s.End(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
}

// TestActivationsLastUntilTheNextLayerEnds: what layer 0 made can be used in layer 1 and is refused in layer 2; what was
// made before the layers can be used in all.
func TestActivationsLastUntilTheNextLayerEnds(t *testing.T) {
	m := newModel(t, 3)
	s, _ := onCPU(t, m)
	s.Begin()
	before := s.Embed(s.Input([]int32{1}), m.embed)
	s.EnterLayer(0)
	x := s.Add(before, before)
	s.EnterLayer(1)
	s.Add(x, before)
	must(t, s.Err())
	s.EnterLayer(2)
	s.Add(before, before)
	must(t, s.Err())
	s.Add(before, x)
	if err := s.End(); err == nil || !strings.Contains(err.Error(), "lasts until the end of the next layer") {
		t.Errorf("a stale activation: %v", err)
	}
	s.Begin()
	s.Add(before, before)
	if s.End() == nil {
		t.Error("an activation of the pass before was taken")
	}
}

// TestTroubleWithResidencyIsTold: a refusal, a device that is not there, weights or states left behind.
func TestTroubleWithResidencyIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*model, *place)
		want  string
	}{
		"refused":          {func(_ *model, p *place) { p.refuse = errors.New("disk on fire") }, "entering embed_tokens: disk on fire"},
		"no such device":   {func(m *model, p *place) { p.dev[m.modules[1]] = 2 }, "layer 1: entering layers.1: the residency says device 2 of 2"},
		"weights not here": {func(m *model, p *place) { p.dev[m.modules[1]] = 1 }, "layer 1: layers.1.norm is not on far"},
		"states not here":  {func(m *model, p *place) { p.move(t, m.modules[0], 1); p.dev[m.modules[0]] = 0 }, "layer 0: cache_write: layers.0.keys (f32 (6, 2, 16, 8) on far) lies in the memory of another device"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, 2)
			p := newPlace(m.cpu, far.New("far", 0, 0, 0, m.cpu))
			s := cuda.NewStep(p.devices, m.modules, p)
			m.reserve(t, s, 2)
			c.spoil(m, p)
			s.Begin()
			m.forward(s, passes[0])
			if err := s.End(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %v", err, c.want)
			}
		})
	}
}

// TestBadIndicesAreErrors: a token outside the vocabulary, a row that is not there, a position without a block.
func TestBadIndicesAreErrors(t *testing.T) {
	m := newModel(t, 1)
	s, _ := onCPU(t, m)
	for want, b := range map[string]rows{
		"embed by embed_tokens.weight: 50 is not among 50": {tokens: []int32{1, 50}},
		"input: row 2: position 48 of sequence 0":          {tokens: []int32{1, 2, 3}, start: 46},
	} {
		s.Begin()
		m.forward(s, b)
		if err := s.End(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %v", err, want)
		}
	}
}

// TestAStepWithoutACPUFirstIsRefused.
func TestAStepWithoutACPUFirstIsRefused(t *testing.T) {
	m := newModel(t, 1)
	for _, devices := range [][]cuda.Device{nil, {far.New("far", 0, 0, 0, m.cpu)}, slices.Repeat([]cuda.Device{m.cpu}, cuda.MaxDevices+1)} {
		s := cuda.NewStep(devices, m.modules, nil)
		s.Begin()
		m.forward(s, passes[0])
		if s.End() == nil {
			t.Errorf("a step over %d devices was accepted", len(devices))
		}
		if s.Reserve(len(devices), cuda.Sizes{Step: 1}) == nil {
			t.Error("reserved on a device that is not there")
		}
	}
}

// TestObserverSeesEveryLayerInThisMemory, even of layers that lie elsewhere.
func TestObserverSeesEveryLayerInThisMemory(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		m := newModel(t, 2)
		on := machineAt(t, pace, m.cpu)
		p := newPlace(on.CPU(), on.Device("far", 0, 0, 0))
		s := cuda.NewStep(p.devices, m.modules, p)
		m.reserve(t, s, 2)
		p.move(t, m.modules[0], 1)
		var seen []string
		s.SetObserver(func(name string, i int, x cuda.Tensor) {
			seen = append(seen, name)
			if len(x.F32()) != 30*hidden {
				t.Errorf("%s %d: %v", name, i, x)
			}
		})
		m.run(t, s, passes[0])
		if !slices.Equal(seen, []string{"embeddings", "layer", "layer"}) {
			t.Errorf("observed %v", seen)
		}
	})
}

// TestDecodeStepAllocatesNothing on the Go heap, with a layer here and one there.
func TestDecodeStepAllocatesNothing(t *testing.T) {
	m := newModel(t, 2)
	p := newPlace(m.cpu, far.New("far", 0, 0, 0, m.cpu))
	s := cuda.NewStep(p.devices, m.modules, p)
	m.reserve(t, s, 2)
	p.move(t, m.modules[1], 1)
	for i, mod := range m.modules {
		mod.Settle(i)
	}
	m.outside[0].Settle(0)
	m.outside[1].Settle(0)
	for _, b := range passes {
		m.run(t, s, b)
	}
	one := rows{tokens: []int32{7}, start: 36}
	if n := testing.AllocsPerRun(50, func() {
		s.Begin()
		s.ToHost(m.forward(s, one))
		if s.End() != nil {
			t.Fatal(s.Err())
		}
	}); n != 0 {
		t.Errorf("a decode step makes %v allocations", n)
	}
}

// TestPassesLeaveNothingBehind: what they note of their batches is as large after thousands as after one.
func TestPassesLeaveNothingBehind(t *testing.T) {
	m := newModel(t, 1)
	s := cuda.NewStep([]cuda.Device{m.cpu}, m.modules, nil)
	must(t, s.Reserve(0, cuda.Sizes{Step: 1 << 10}))
	defer s.Release(0)
	ids := []int32{0}
	if n := testing.AllocsPerRun(4, func() {
		for range 2000 {
			s.Begin()
			s.Pages(ids, ids, ids, 1, 1, 64)
			if s.End() != nil {
				t.Fatal(s.Err())
			}
		}
	}); n != 0 {
		t.Errorf("thousands of passes make %v allocations", n)
	}
}

// TestALayerWaitsForItsWeights: ops run when the event has happened that its residency gave, and not at all if it went wrong.
func TestALayerWaitsForItsWeights(t *testing.T) {
	m := newModel(t, 1)
	s := cuda.NewStep([]cuda.Device{m.cpu}, m.modules, arriving{errLost})
	s.Begin()
	s.EnterLayer(0)
	if err := s.End(); !errors.Is(err, errLost) {
		t.Errorf("weights that did not arrive: %v", err)
	}
}

var errLost = errors.New("the copy is lost")

// arriving is a residency and the event of a copy that ends with an error.
type arriving struct{ err error }

func (a arriving) Enter(*cuda.Module) (int, cuda.Event, error) { return 0, a, nil }
func (a arriving) Happened() bool                              { return false }
func (a arriving) Wait() error                                 { return a.err }

// BenchmarkEnterLayer is the hook with nothing to do.
func BenchmarkEnterLayer(b *testing.B) {
	m := newModel(b, 2)
	s := cuda.NewStep([]cuda.Device{m.cpu}, m.modules, newPlace(m.cpu))
	for _, mod := range m.modules {
		mod.Settle(0)
	}
	s.Begin()
	for i := 0; b.Loop(); i++ {
		s.EnterLayer(i & 1)
	}
	if s.End() != nil {
		b.Fatal(s.Err())
	}
}

// BenchmarkStepOverhead is a decode step of a model so small that what is left is calls, checks and the pool.
func BenchmarkStepOverhead(b *testing.B) {
	m := newModel(b, 4)
	s, _ := onCPU(b, m)
	for b.Loop() {
		s.Begin()
		m.forward(s, passes[1])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(4*16+7), "ns/op-of-step")
}
