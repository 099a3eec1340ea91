package cuda_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

func tensor(t testing.TB, data []float32, shape ...int) cuda.Tensor {
	t.Helper()
	x, err := cuda.FromF32(data, shape...)
	must(t, err)
	return x
}

// sparse is a layer whose feed-forward half is 5 experts of 3 -> 4 -> 3, on a CPU and two far devices.
type sparse struct {
	s       *cuda.Step
	place   *listener
	layer   *cuda.Module
	experts []*cuda.Module
	mixture *cuda.Mixture
	out     cuda.Tensor
}

// listener is a place that hears where rows went.
type listener struct {
	*place
	routed []string
}

func (l *listener) Routed(layer int, experts []int32) {
	l.routed = append(l.routed, fmt.Sprint(layer, experts))
}

func newSparse(t testing.TB, pace far.Pace) *sparse {
	c := cpu.New(2)
	t.Cleanup(func() { c.Close() })
	on := machineAt(t, pace, c)
	p := &sparse{layer: &cuda.Module{ID: "layers.0"}}
	p.place = &listener{place: newPlace(on.CPU(), on.Device("far.0", 0, 0, 0), on.Device("far.1", 0, 0, 0))}
	rng, list := rand.New(rand.NewPCG(1, 2)), []cuda.ExpertWeights(nil)
	weight := func(m *cuda.Module, name string, shape ...int) *cuda.Weight {
		data := make([]float32, product(shape))
		for i := range data {
			data[i] = float32(rng.NormFloat64())
		}
		return bind(t, m.ID+name, m, tensor(t, data, shape...))
	}
	for i := range 5 {
		m := &cuda.Module{ID: fmt.Sprint("layers.0.mlp.experts.", i)}
		p.experts = append(p.experts, m)
		list = append(list, cuda.ExpertWeights{Gate: weight(m, ".gate", 4, 3), Up: weight(m, ".up", 4, 3), Down: weight(m, ".down", 3, 4)})
	}
	p.mixture = cuda.NewMixture(list)
	p.s = cuda.NewStep(p.place.devices, []*cuda.Module{p.layer}, p.place)
	for d := range p.place.devices {
		must(t, p.s.Reserve(d, cuda.Sizes{Step: 1 << 12, Even: 1 << 14, Odd: 1 << 12, Part: 1 << 14}))
	}
	return p
}

// run sends three rows to two experts each.
func (p *sparse) run(t testing.TB) []float32 {
	t.Helper()
	p.s.Begin()
	x := p.s.InputF32([]float32{1, 2, 3, -4, 5, -6, 7, 8, -9}, 3, 3)
	index, weights := p.s.Input([]int32{3, 1, 0, 3, 4, 0}, 3, 2), p.s.InputF32([]float32{1, 0.5, 0.25, 2, 3, 0.75}, 3, 2)
	p.s.EnterLayer(0)
	y := p.s.ToHost(p.s.Experts(x, index, weights, p.mixture))
	must(t, p.s.End())
	return slices.Clone(y.F32())
}

// TestExpertsGiveTheSameBitsWhereverTheyLie, the layer too, and one of them may move between passes.
func TestExpertsGiveTheSameBitsWhereverTheyLie(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		want := newSparse(t, far.Now()).run(t)
		rng := rand.New(rand.NewPCG(3, 4))
		p := newSparse(t, pace)
		for range 40 {
			p.place.move(t, p.layer, rng.IntN(3))
			for _, m := range p.experts {
				dev := rng.IntN(3)
				p.place.move(t, m, dev)
				m.Settle(dev)
			}
			if got := p.run(t); !slices.Equal(got, want) {
				t.Fatalf("with the layer on %d: %v, all on the cpu %v", p.place.dev[p.layer], got, want)
			}
		}
	})
}

// TestAResidencyHearsWhereRowsWent, after the pass, wherever the layer is.
func TestAResidencyHearsWhereRowsWent(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		p := newSparse(t, pace)
		for dev := range 2 {
			p.place.routed = nil
			p.place.move(t, p.layer, dev)
			p.run(t)
			if want := []string{"0 [3 1 0 3 4 0]"}; !slices.Equal(p.place.routed, want) {
				t.Errorf("on device %d heard %v, not %v", dev, p.place.routed, want)
			}
		}
	})
}

// TestRoutesAreToldInTheOrderOfLayers: the experts that are needed first are sent for first.
func TestRoutesAreToldInTheOrderOfLayers(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		p := newSparse(t, pace)
		s := cuda.NewStep(p.place.devices, []*cuda.Module{p.layer, {ID: "layers.1", Layer: 1}}, p.place)
		defer s.Close()
		for d := range p.place.devices {
			must(t, s.Reserve(d, cuda.Sizes{Step: 1 << 12, Even: 1 << 14, Odd: 1 << 14, Part: 1 << 14}))
			defer s.Release(d)
		}
		p.place.move(t, p.layer, 1)
		s.Begin()
		x, weights := s.InputF32([]float32{1, 2, 3}, 1, 3), s.InputF32([]float32{1, 1}, 1, 2)
		for i, index := range [][]int32{{4, 1}, {0, 2}} {
			s.EnterLayer(i)
			s.Experts(x, s.Input(index, 1, 2), weights, p.mixture)
		}
		must(t, s.End())
		if want := []string{"0 [4 1]", "1 [0 2]"}; !slices.Equal(p.place.routed, want) {
			t.Errorf("heard %v, not %v", p.place.routed, want)
		}
	})
}

// TestAPassThatFailedTellsNoRoutes: nobody knows what would be in them.
func TestAPassThatFailedTellsNoRoutes(t *testing.T) {
	p := newSparse(t, far.Now())
	p.s.Begin()
	x, weights := p.s.InputF32([]float32{1, 2, 3}, 1, 3), p.s.InputF32([]float32{1, 1}, 1, 2)
	p.s.EnterLayer(0)
	p.s.Experts(x, p.s.Input([]int32{4, 1}, 1, 2), weights, p.mixture)
	p.s.EnterLayer(1)
	if err := p.s.End(); err == nil || len(p.place.routed) != 0 {
		t.Errorf("after %v heard %v", err, p.place.routed)
	}
}

// TestACopyOfAnExpertIsUsedWhileItIsThere, and not once it was given up: its memory may be another's by then.
func TestACopyOfAnExpertIsUsedWhileItIsThere(t *testing.T) {
	p := newSparse(t, far.Now())
	for _, m := range p.experts {
		m.Settle(0)
	}
	file := p.run(t)
	down := p.experts[3].Weights[2]
	zeros, err := cuda.MatrixOf(tensor(t, make([]float32, 12), 3, 4))
	must(t, err)
	down.Put(0, zeros)
	if slices.Equal(p.run(t), file) {
		t.Error("the copy is not used")
	}
	down.Drop(0)
	if got := p.run(t); !slices.Equal(got, file) {
		t.Errorf("with the copy given up %v, before %v", got, file)
	}
}

// TestManyRowsAreCutAndGiveTheSame: more than are computed at once.
func TestManyRowsAreCutAndGiveTheSame(t *testing.T) {
	p := newSparse(t, far.Now())
	const rows = 5000
	x, index, weights := make([]float32, 3*rows), make([]int32, 2*rows), make([]float32, 2*rows)
	for i := range rows {
		x[3*i], x[3*i+1], x[3*i+2] = float32(i%7), float32(i%11)-5, 1
		index[2*i], index[2*i+1], weights[2*i], weights[2*i+1] = int32(i%5), int32((i+1+i/5%4)%5), 0.5, float32(i%3)
	}
	forward := func(from, to int) func(s *cuda.Step) {
		return func(s *cuda.Step) {
			in, at, by := s.InputF32(x[3*from:3*to], to-from, 3), s.Input(index[2*from:2*to], to-from, 2), s.InputF32(weights[2*from:2*to], to-from, 2)
			s.EnterLayer(0)
			p.out = s.ToHost(s.Experts(in, at, by, p.mixture))
		}
	}
	sizes, err := p.s.Measure(forward(0, rows))
	must(t, err)
	must(t, p.s.Reserve(0, sizes))
	pass := func(from, to int) []float32 {
		p.s.Begin()
		forward(from, to)(p.s)
		must(t, p.s.End())
		return slices.Clone(p.out.F32())
	}
	all := pass(0, rows)
	if peak := p.s.Peak(0); peak.Even > sizes.Even || peak.Part > sizes.Part {
		t.Errorf("measured %+v, used %+v", sizes, peak)
	}
	for _, cut := range [][2]int{{0, 1}, {2047, 2049}, {4999, 5000}} {
		if got := pass(cut[0], cut[1]); !slices.Equal(got, all[3*cut[0]:3*cut[1]]) {
			t.Errorf("rows %v by themselves: %v, among others %v", cut, got, all[3*cut[0]:3*cut[1]])
		}
	}
}

// TestManyRowsGoToExpertsInSeveralPlaces: more than are computed at once, so that each part's memory is the next one's.
func TestManyRowsGoToExpertsInSeveralPlaces(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		const rows = 2500
		rng := rand.New(rand.NewPCG(5, 6))
		x, index, weights := make([]float32, 3*rows), make([]int32, 2*rows), make([]float32, 2*rows)
		for i := range rows {
			x[3*i], x[3*i+1], x[3*i+2] = rng.Float32(), rng.Float32(), rng.Float32()
			e := rng.Perm(5)
			index[2*i], index[2*i+1], weights[2*i], weights[2*i+1] = int32(e[0]), int32(e[1]), rng.Float32(), rng.Float32()
		}
		p := newSparse(t, pace)
		forward := func(s *cuda.Step) {
			in, at, by := s.InputF32(x, rows, 3), s.Input(index, rows, 2), s.InputF32(weights, rows, 2)
			s.EnterLayer(0)
			p.out = s.ToHost(s.Experts(in, at, by, p.mixture))
		}
		sizes, err := p.s.Measure(forward)
		must(t, err)
		for d := range p.place.devices {
			must(t, p.s.Reserve(d, sizes))
		}
		pass := func() []float32 {
			p.s.Begin()
			forward(p.s)
			must(t, p.s.End())
			return slices.Clone(p.out.F32())
		}
		want := pass()
		for layer := range 3 {
			p.place.move(t, p.layer, layer)
			for i, m := range p.experts {
				p.place.move(t, m, i%3)
				m.Settle(i % 3)
			}
			if got := pass(); !slices.Equal(got, want) {
				t.Errorf("with the layer on %d: other bits than on the cpu alone", layer)
			}
		}
	})
}

// TestMisuseOfExpertOpsIsTold, by the op's name, and never computes.
func TestMisuseOfExpertOpsIsTold(t *testing.T) {
	for want, misuse := range map[string]func(p *sparse, x, index, weights cuda.Tensor){
		"route: 5 of 3 experts":            func(p *sparse, x, _, _ cuda.Tensor) { p.s.Route(x, nil, cuda.RouteOptions{TopK: 5}) },
		"route: no score function 7":       func(p *sparse, x, _, _ cuda.Tensor) { p.s.Route(x, nil, cuda.RouteOptions{TopK: 1, Score: 7}) },
		"route: 3 experts in 2 groups":     func(p *sparse, x, _, _ cuda.Tensor) { p.s.Route(x, nil, cuda.RouteOptions{TopK: 1, Groups: 2}) },
		"route: an operand is no tensor":   func(p *sparse, _, _, _ cuda.Tensor) { p.s.Route(cuda.Tensor{}, nil, cuda.RouteOptions{TopK: 1}) },
		"experts: an operand is no tensor": func(p *sparse, x, _, w cuda.Tensor) { p.s.Experts(x, cuda.Tensor{}, w, p.mixture) },
		"experts: shapes do not fit: f32 (2, 3) on cpu with i32 (3, 2)": func(p *sparse, x, _, w cuda.Tensor) {
			p.s.Experts(x, p.s.Input(make([]int32, 6), 3, 2), w, p.mixture)
		},
		"for 5 experts": func(p *sparse, x, _, w cuda.Tensor) {
			p.s.Experts(x, p.s.Input([]int32{0, 5, 1, 2}, 2, 2), w, p.mixture)
		},
		"experts: shapes do not": func(p *sparse, x, i, w cuda.Tensor) { p.s.Experts(x.Slice(0, 1), i, w, p.mixture) },
		"experts: shapes":        func(p *sparse, x, i, w cuda.Tensor) { p.s.Experts(x, i, x, p.mixture) },
		"is to be changed on cpu and lies elsewhere too": func(p *sparse, x, _, _ cuda.Tensor) {
			y := p.s.Add(x, x)
			p.place.move(t, p.layer, 1)
			p.s.EnterLayer(0)
			p.s.Add(y, y)
			p.place.move(t, p.layer, 0)
			p.s.EnterLayer(0)
			p.s.Copy(y, x)
		},
	} {
		t.Run(want, func(t *testing.T) {
			p := newSparse(t, far.Now())
			p.s.Begin()
			misuse(p, p.s.InputF32(make([]float32, 6), 2, 3), p.s.Input([]int32{0, 1, 1, 2}, 2, 2), p.s.InputF32(make([]float32, 4), 2, 2))
			if err := p.s.End(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestEnterModuleMovesOpsWithoutAWeight: those with one stay with it.
func TestEnterModuleMovesOpsWithoutAWeight(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		p := newSparse(t, pace)
		tower := &cuda.Module{ID: "visual", Layer: -1}
		w := bind(t, "w", tower, tensor(t, []float32{3, 0, 0, 0, 0, 3}, 2, 3))
		p.place.move(t, tower, 1)
		p.s.Begin()
		x := p.s.InputF32([]float32{1, 2, 3}, 1, 3)
		p.s.EnterModule(tower)
		there := p.s.Add(x, x)
		y, brought := p.s.ToHost(p.s.MatMul(there, w)), p.s.Here(x)
		p.s.EnterLayer(0)
		here := p.s.Add(x, x)
		must(t, p.s.End())
		if there.Place() != "far.0" || brought.Place() != "far.0" || here.Place() != "cpu" || !slices.Equal(y.F32(), []float32{6, 18}) {
			t.Errorf("in the tower on %s, in the layer on %s, %v", there.Place(), here.Place(), y.F32())
		}
	})
}
