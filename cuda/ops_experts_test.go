package cuda_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// parts is a layer with two modules beside its own, on a CPU and a far device.
type parts struct {
	s               *cuda.Step
	cpu             *cuda.CPU
	far             *far.Device
	place           *place
	layer, one, two *cuda.Module
	w, w1, w2       *cuda.Weight // (2, 3), of layer, one and two
}

func newParts(t testing.TB) *parts {
	p := &parts{cpu: cuda.NewCPU(1)}
	t.Cleanup(func() { p.cpu.Close() })
	p.far = far.New("far", 0, 0, 0, p.cpu)
	p.place = newPlace(p.cpu, p.far)
	weight := func(id string, layer int, data ...float32) (*cuda.Module, *cuda.Weight) {
		host, err := cuda.FromF32(data, 2, 3)
		must(t, err)
		m, w := &cuda.Module{ID: id, Layer: layer}, cuda.NewWeight(2, 3)
		w.Bind(id+".weight", m, host)
		return m, w
	}
	p.layer, p.w = weight("layers.0", 0, 1, 0, 0, 0, 1, 0)
	p.one, p.w1 = weight("layers.0.mlp.experts.0", 0, 0, 0, 2, 0, 2, 0)
	p.two, p.w2 = weight("layers.0.mlp.experts.1", 0, 3, 0, 0, 0, 0, 3)
	p.s = cuda.NewStep([]cuda.Device{p.cpu, p.far}, []*cuda.Module{p.layer, {ID: "layers.1", Layer: 1}}, p.place)
	for d := range 2 {
		must(t, p.s.Reserve(d, cuda.Sizes{Step: 1 << 12, Even: 1 << 12, Odd: 1 << 12}))
	}
	p.s.Begin()
	p.s.EnterLayer(0)
	return p
}

func tensor(t testing.TB, data []float32, shape ...int) cuda.Tensor {
	t.Helper()
	x, err := cuda.FromF32(data, shape...)
	must(t, err)
	return x
}

// TestPartsOfALayerAreAskedForInItsTurn: once while it runs, and again when it is entered again.
func TestPartsOfALayerAreAskedForInItsTurn(t *testing.T) {
	p := newParts(t)
	p.place.asked = nil
	for range 3 {
		p.s.Enter(p.one)
		p.s.Enter(p.two)
	}
	p.s.EnterLayer(1)
	p.s.EnterLayer(0)
	p.s.Enter(p.one)
	if want := []string{p.one.ID, p.two.ID, "layers.1", "layers.0", p.one.ID}; !slices.Equal(p.place.asked, want) {
		t.Errorf("asked for %v, not %v", p.place.asked, want)
	}
	must(t, p.s.End())
}

// TestRunOnMovesOpsWithoutAWeight: those with one stay with it, the layer's included.
func TestRunOnMovesOpsWithoutAWeight(t *testing.T) {
	p := newParts(t)
	p.place.move(t, p.two, 1)
	x := p.s.Add(tensor(t, []float32{1, 2, 3}, 1, 3), tensor(t, []float32{0, 0, 0}, 1, 3))
	if before := p.s.RunOn(p.s.Enter(p.two)); before != 0 {
		t.Errorf("ran on %d before", before)
	}
	there, here, theirs := p.s.Add(x, x), p.s.MatMul(x, p.w), p.s.MatMul(x, p.w2)
	must(t, p.s.Err())
	if there.Place() != "far" || here.Place() != "cpu" || theirs.Place() != "far" {
		t.Errorf("without a weight on %s, with the layer's on %s, with the expert's on %s", there.Place(), here.Place(), theirs.Place())
	}
	if back := p.s.ToHost(theirs); !slices.Equal(back.F32(), []float32{3, 9}) {
		t.Errorf("%v", back.F32())
	}
	p.s.EnterLayer(1)
	if y := p.s.Add(x, x); y.Place() != "cpu" {
		t.Errorf("the next layer runs on %s", y.Place())
	}
	must(t, p.s.End())
}

// TestRowsGoToExpertsAndBack by hand: row 0 to experts 1 and 2, of which 2 is not computed here, row 1 to 0 and 1.
func TestRowsGoToExpertsAndBack(t *testing.T) {
	p := newParts(t)
	x := p.s.Add(tensor(t, []float32{1, 2, 3, 4, 5, 6}, 2, 3), tensor(t, make([]float32, 6), 2, 3))
	index, weights := p.s.Input([]int32{1, 2, 0, 1}, 2, 2), tensor(t, []float32{1, 9, 0.5, 2}, 2, 2)
	if c := p.s.Count(index, 3); !slices.Equal(c, []int32{1, 2, 1}) {
		t.Errorf("counts %v", c)
	}
	rows, entries := p.s.GatherByValue(x, index, []int32{0, 1}, 3)
	y := p.s.MatMulGrouped(rows, []int32{1, 2}, []*cuda.Weight{p.w1, p.w2})
	z := p.s.Zeros(2, 2)
	p.s.ScatterAddByIndex(z, y, entries, weights)
	must(t, p.s.End())
	if !slices.Equal(entries.I32(), []int32{2, 0, 3}) || !slices.Equal(y.F32(), []float32{12, 10, 3, 9, 12, 18}) {
		t.Errorf("entries %v, products %v", entries.I32(), y.F32())
	}
	if want := []float32{3, 9, 0.5*12 + 2*12, 0.5*10 + 2*18}; !slices.Equal(z.F32(), want) {
		t.Errorf("sums %v, not %v", z.F32(), want)
	}
}

// TestMisuseOfExpertOpsIsTold, by the op's name, and never computes.
func TestMisuseOfExpertOpsIsTold(t *testing.T) {
	x, index, floats := make([]float32, 6), []int32{0, 0, 1, 1}, make([]float32, 4)
	for want, misuse := range map[string]func(p *parts, x cuda.Tensor, index cuda.Tensor){
		"route: 5 of 3 experts":                                 func(p *parts, x, _ cuda.Tensor) { p.s.Route(x, nil, cuda.RouteOptions{TopK: 5}) },
		"route: no score function 7":                            func(p *parts, x, _ cuda.Tensor) { p.s.Route(x, nil, cuda.RouteOptions{TopK: 1, Score: 7}) },
		"route: 3 experts in 2 groups":                          func(p *parts, x, _ cuda.Tensor) { p.s.Route(x, nil, cuda.RouteOptions{TopK: 1, Groups: 2}) },
		"route by layers.0.weight: shapes do not fit":           func(p *parts, x, _ cuda.Tensor) { p.s.Route(x, p.w, cuda.RouteOptions{TopK: 1}) },
		"route: an operand is no tensor":                        func(p *parts, _, _ cuda.Tensor) { p.s.Route(cuda.Tensor{}, nil, cuda.RouteOptions{TopK: 1}) },
		"count: 1 is not among 1":                               func(p *parts, _, index cuda.Tensor) { p.s.Count(index, 1) },
		"count: shapes do not fit":                              func(p *parts, x, _ cuda.Tensor) { p.s.Count(x, 1) },
		"gather by value: 2 rows have one of the values, not 3": func(p *parts, x, index cuda.Tensor) { p.s.GatherByValue(x, index, []int32{1}, 3) },
		"gather by value: shapes do not fit":                    func(p *parts, x, index cuda.Tensor) { p.s.GatherByValue(x, index, []int32{1}, 5) },
		"grouped matmul: groups of [1] rows":                    func(p *parts, x, _ cuda.Tensor) { p.s.MatMulGrouped(x, []int32{1}, []*cuda.Weight{p.w}) },
		"grouped matmul: groups of [3 -1] rows":                 func(p *parts, x, _ cuda.Tensor) { p.s.MatMulGrouped(x, []int32{3, -1}, []*cuda.Weight{p.w1, p.w2}) },
		"grouped matmul: 1 groups of rows and 2 weights":        func(p *parts, x, _ cuda.Tensor) { p.s.MatMulGrouped(x, []int32{2}, []*cuda.Weight{p.w1, p.w2}) },
		"grouped matmul by layers.0.mlp.experts.1.weight: it is on far, layers.0.mlp.experts.0.weight on cpu": func(p *parts, x, _ cuda.Tensor) {
			p.place.move(t, p.two, 1)
			p.s.MatMulGrouped(x, []int32{1, 1}, []*cuda.Weight{p.w1, p.w2})
		},
		"scatter add by index: shapes do not fit": func(p *parts, x, index cuda.Tensor) { p.s.ScatterAddByIndex(x, x, index, x) },
		"scatter add by index: entry 4 (at 1) is not among 4": func(p *parts, x, _ cuda.Tensor) {
			p.s.ScatterAddByIndex(p.s.Zeros(2, 3), x, p.s.Input([]int32{0, 4}), tensor(t, floats, 2, 2))
		},
		"is to be changed on cpu and lies elsewhere too": func(p *parts, x, _ cuda.Tensor) {
			y := p.s.Zeros(2, 3)
			p.s.On(1, y)
			p.s.ScatterAddByIndex(y, x, p.s.Input([]int32{0, 1}), tensor(t, floats, 2, 2))
		},
		"zeros: shape [-1] is impossible":                            func(p *parts, _, _ cuda.Tensor) { p.s.Zeros(-1) },
		"no device 2 among 2 to run on":                              func(p *parts, _, _ cuda.Tensor) { p.s.RunOn(2) },
		"copy: no device -1 among 2":                                 func(p *parts, x, _ cuda.Tensor) { p.s.On(-1, x) },
		"grouped matmul by layers.0.weight: an operand is no tensor": func(p *parts, _, _ cuda.Tensor) { p.s.MatMulGrouped(cuda.Tensor{}, []int32{0}, []*cuda.Weight{p.w}) },
	} {
		t.Run(want, func(t *testing.T) {
			p := newParts(t)
			misuse(p, p.s.Add(tensor(t, x, 2, 3), tensor(t, x, 2, 3)), p.s.Input(index, 2, 2))
			if err := p.s.End(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// BenchmarkEnterExpert is the second look at an expert in a layer's turn.
func BenchmarkEnterExpert(b *testing.B) {
	p := newParts(b)
	modules := make([]*cuda.Module, 128)
	for i := range modules {
		modules[i] = &cuda.Module{ID: fmt.Sprint("layers.0.mlp.experts.", i), Layer: 0}
		p.s.Enter(modules[i])
	}
	for i := 0; b.Loop(); i++ {
		p.s.Enter(modules[i%len(modules)])
	}
}
