package cuda_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// deltaLayer is one layer of the gated delta rule: 2 key heads of 3, 4 value heads of 5, a convolution over 4 positions.
type deltaLayer struct {
	cpu                  *cpu.Device
	m                    *cuda.Module
	in, conv, aLog, bias *cuda.Weight
	past, matrices       *cuda.State
}

const deltaChannels = 2*2*3 + 4*5

func newDeltaLayer(t *testing.T) *deltaLayer {
	t.Helper()
	l := &deltaLayer{cpu: cpu.New(2), m: &cuda.Module{ID: "layers.0"}}
	t.Cleanup(func() { l.cpu.Close() })
	weight := func(name string, shape ...int) *cuda.Weight {
		return bind(t, name, l.m, waves(t, float32(len(name)), shape...))
	}
	l.in, l.conv = weight("in", deltaChannels, 8), weight("conv1d", deltaChannels, 1, 4)
	l.aLog, l.bias = weight("a_log", 4), weight("dt", 4)
	l.past = cuda.NewState("conv", l.m, waves(t, 1, 3, 3, deltaChannels)) // what slots hold before position 0 is of no account
	l.matrices = cuda.NewState("delta", l.m, waves(t, 2, 3, 4, 3, 5))
	return l
}

// waves is numbers without a pattern, of the size of 1.
func waves(t *testing.T, phase float32, shape ...int) cuda.Tensor {
	t.Helper()
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(math.Sin(float64(phase) + 12.9898*float64(i)))
	}
	x, err := cuda.FromF32(data, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// forward runs rows of a sequence in a slot: (rows, 4, 5).
func (l *deltaLayer) forward(s *cuda.Step, x cuda.Tensor, positions, slots, forms []int32) cuda.Tensor {
	p, sl := s.Input(positions), s.Input(slots)
	s.EnterLayer(0)
	u := s.CausalConv(s.MatMul(x, l.in), l.conv, l.past, p, sl)
	q, k, v := s.Columns(u, 0, 6).Heads(3), s.Columns(u, 6, 12).Heads(3), s.Columns(u, 12, 32).Heads(5)
	g, beta := s.Decay(s.Columns(u, 0, 4), l.aLog, l.bias), s.Sigmoid(s.Columns(u, 4, 8))
	y := s.DeltaRule(cuda.DeltaRows{Q: s.L2Norm(q, 1e-6), K: s.L2Norm(k, 1e-6), V: v, G: g, Beta: beta, Positions: p, Slots: sl, Forms: s.Input(forms)}, l.matrices, 0.5)
	return s.Mul(y, s.Sigmoid(s.Join(s.Columns(u, 0, 12), s.Columns(u, 24, 32)).Heads(5)))
}

// run makes a pass and gives its numbers.
func (l *deltaLayer) run(t *testing.T, s *cuda.Step, rows int, positions, slots, forms []int32) []float32 {
	t.Helper()
	s.Begin()
	x := waves(t, 3, rows, 8)
	y := s.ToHost(l.forward(s, s.Add(x, x), positions, slots, forms)) // a sum is an activation, which goes where the layer is
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(y.F32())
}

// A delta layer on a far device, moved there with its states after the first pass, gives the bits of the CPU.
func TestDeltaLayerMoves(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		var want [][]float32
		for _, moves := range []bool{false, true} {
			l := newDeltaLayer(t)
			on := machineAt(t, pace, l.cpu)
			here, there := on.CPU(), on.Device("far", 0, 0, 0)
			s := cuda.NewStep([]cuda.Device{here, there}, []*cuda.Module{l.m}, nil)
			for dev := range 2 {
				if err := s.Reserve(dev, cuda.Sizes{Step: 1 << 12, Even: 1 << 14}); err != nil {
					t.Fatal(err)
				}
				defer s.Release(dev)
			}
			passes := [][3][]int32{
				{{0, 1, 2, 0, 1}, {2, 2, 2, 0, 0}, {0, 0, 0, 0, 0}}, // two prompts
				{{3, 2, 3}, {2, 0, 0}, {1, 1, 1}},                   // and on
			}
			for i, b := range passes {
				got := l.run(t, s, len(b[0]), b[0], b[1], b[2])
				if !moves {
					want = append(want, got)
				} else if !slices.Equal(got, want[i]) {
					t.Errorf("pass %d: %v, on the cpu %v", i, got[:5], want[i][:5])
				}
				if moves && i == 0 {
					p := newPlace(here, there)
					p.move(t, l.m, 1)
					l.m.Settle(1)
				}
			}
		}
	})
}

// What does not fit is refused with the op's name, before anything is computed.
func TestDeltaOpsRefuseWhatDoesNotFit(t *testing.T) {
	l := newDeltaLayer(t)
	s := cuda.NewStep([]cuda.Device{l.cpu}, []*cuda.Module{l.m}, nil)
	if err := s.Reserve(0, cuda.Sizes{Step: 1 << 14}); err != nil {
		t.Fatal(err)
	}
	defer s.Release(0)
	x, two, three := waves(t, 1, 2, deltaChannels), waves(t, 1, 2, 4), waves(t, 1, 2, 4, 5)
	keys := waves(t, 1, 2, 2, 3)
	ids, bad := []int32{0, 1}, []int32{0, 3}
	rows := func(change func(*cuda.DeltaRows)) cuda.DeltaRows {
		i := s.Input(ids)
		r := cuda.DeltaRows{Q: keys, K: keys, V: three, G: two, Beta: two, Positions: i, Slots: i, Forms: i}
		change(&r)
		return r
	}
	for want, call := range map[string]func(){
		"causal_conv by conv1d: shapes do not fit":           func() { s.CausalConv(waves(t, 1, 2, 8), l.conv, l.past, s.Input(ids), s.Input(ids)) },
		"causal_conv by in: shapes do not fit":               func() { s.CausalConv(x, l.in, l.past, s.Input(ids), s.Input(ids)) },
		"causal_conv by conv1d: an operand is no tensor":     func() { s.CausalConv(x, l.conv, nil, s.Input(ids), s.Input(ids)) },
		"causal_conv by conv1d: 3 is not among 3":            func() { s.CausalConv(x, l.conv, l.past, s.Input(ids), s.Input(bad)) },
		"decay by a_log: shapes do not fit":                  func() { s.Decay(x, l.aLog, l.bias) },
		"decay by conv1d: shapes do not fit":                 func() { s.Decay(two, l.conv, l.bias) },
		"delta_rule: shapes do not fit":                      func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Q = three }), l.matrices, 1) },
		"delta_rule: 3 is not among 3":                       func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Slots = s.Input(bad) }), l.matrices, 1) },
		"delta_rule: an operand is no tensor":                func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Q = cuda.Tensor{} }), l.matrices, 1) },
		"delta_rule: shapes":                                 func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Beta = three }), l.matrices, 1) },
		"delta_rule: shapes do":                              func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Forms = s.Input(ids[:1]) }), l.matrices, 1) },
		"delta_rule: shapes do not":                          func() { s.DeltaRule(rows(func(*cuda.DeltaRows) {}), l.past, 1) },
		"columns: 3 to 9 of":                                 func() { s.Columns(two, 3, 9) },
		"columns: 2 to 2 of":                                 func() { s.Columns(two, 2, 2) },
		"columns: shapes do not fit":                         func() { s.Columns(s.Input(ids), 0, 1) },
		"put_columns: f32 (3, 4) on cpu cannot stand beside": func() { s.Join(two, waves(t, 1, 3, 4)) },
		"put_columns: an operand is no tensor":               func() { s.Join() },
		"mul: shapes do not fit":                             func() { s.Mul(two, waves(t, 1, 2, 2)) },
		"sigmoid: shapes do not fit":                         func() { s.Sigmoid(s.Input(ids)) },
		"l2norm: an operand is no tensor":                    func() { s.L2Norm(two.Heads(3), 1) },
	} {
		s.Begin()
		call()
		if err := s.End(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
