package cpu_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// journey is the rows of several sequences and how they are dealt out to batches.
type journey struct {
	spec.Delta
	state []float32
}

// deltaShape is heads and dims of a delta rule.
type deltaShape struct{ keyHeads, heads, keyDim, valueDim int }

func (s deltaShape) String() string { return shape(s.keyHeads, s.heads, s.keyDim, s.valueDim) }

// newJourney is one sequence of so many positions in a slot, of which the first are a prompt, with inputs as a model has
// them: q and k of length 1, beta in (0, 1), g below 0.
func newJourney(rng *rand.Rand, s deltaShape, slots, slot, rows, prompt int) journey {
	d := spec.Delta{KeyHeads: s.keyHeads, Heads: s.heads, KeyDim: s.keyDim, ValueDim: s.valueDim, Scale: float32(1 / math.Sqrt(float64(s.keyDim)))}
	d.Q, d.K, d.V = unit(rng, rows*s.keyHeads, s.keyDim), unit(rng, rows*s.keyHeads, s.keyDim), random(rng, rows*s.heads*s.valueDim)
	d.G, d.Beta = random(rng, rows*s.heads), random(rng, rows*s.heads)
	for i := range d.G {
		d.G[i] = -float32(math.Exp(float64(2*d.G[i] - 1)))
		d.Beta[i] = float32(1 / (1 + math.Exp(-float64(d.Beta[i]))))
	}
	d.Slots.Count = slots
	for r := range rows {
		form := int32(0)
		if r >= prompt {
			form = 1
		}
		d.Slots.Positions, d.Slots.Slots, d.Forms = append(d.Slots.Positions, int32(r)), append(d.Slots.Slots, int32(slot)), append(d.Forms, form)
	}
	return journey{d, random(rng, slots*s.heads*s.keyDim*s.valueDim)} // what a slot holds before position 0 is of no account
}

// unit is rows of length 1.
func unit(rng *rand.Rand, rows, n int) []float32 {
	x := random(rng, rows*n)
	spec.L2Norm(x, x, n, 1e-6)
	return x
}

// part is the rows [from, to).
func (j journey) part(from, to int) spec.Delta {
	d := j.Delta
	keys, values := d.KeyHeads*d.KeyDim, d.Heads*d.ValueDim
	d.Q, d.K, d.V = d.Q[from*keys:to*keys], d.K[from*keys:to*keys], d.V[from*values:to*values]
	d.G, d.Beta = d.G[from*d.Heads:to*d.Heads], d.Beta[from*d.Heads:to*d.Heads]
	d.Slots.Positions, d.Slots.Slots, d.Forms = d.Slots.Positions[from:to], d.Slots.Slots[from:to], d.Forms[from:to]
	return d
}

func deltaRule(y, state []float32, d spec.Delta) *cuda.Op {
	return cuda.NewOp(cuda.OpDeltaRule).Gives(f32(y, d.Heads, d.ValueDim), f32(state, d.Heads, d.KeyDim, d.ValueDim)).
		Takes(f32(d.Q, d.KeyHeads, d.KeyDim), f32(d.K, d.KeyHeads, d.KeyDim), f32(d.V, d.Heads, d.ValueDim), f32(d.G, d.Heads), f32(d.Beta, d.Heads)).
		Takes(i32(d.Slots.Positions), i32(d.Slots.Slots), i32(d.Forms)).With(d.Scale)
}

// run takes the rows to the kernels in batches that end where cuts say, and gives outputs and the states after all.
func (j journey) run(t *testing.T, d *device, cuts ...int) (y, state []float32) {
	t.Helper()
	y, state = make([]float32, len(j.V)), append([]float32(nil), j.state...)
	from, width := 0, j.Heads*j.ValueDim
	for _, to := range append(cuts, len(j.Forms)) {
		d.run(t, deltaRule(y[from*width:to*width], state, j.part(from, to)))
		from = to
	}
	return y, state
}

func (j journey) ref() (y, state []float32) {
	y, state = make([]float32, len(j.V)), append([]float32(nil), j.state...)
	spec.DeltaRule(y, state, j.Delta)
	return y, state
}

var deltaShapes = []deltaShape{{1, 1, 1, 1}, {1, 3, 5, 4}, {2, 4, 32, 32}, {3, 6, 17, 40}, {1, 2, 128, 128}, {2, 2, 64, 100}}

// TestDeltaRuleMatchesTheSpecification in both forms, at lengths around those of a chunk: k has length 1 and beta is below
// 1, so that errors are not amplified; each number is a sum of some hundred rounded products of numbers of the size of v.
func TestDeltaRuleMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(21, 1))
		for _, s := range deltaShapes {
			for _, rows := range []int{1, 2, 63, 64, 65, 127, 128, 129, 200} {
				if s.keyDim*s.valueDim > 1<<12 && rows != 129 {
					continue // the specification takes its time
				}
				for _, prompt := range []int{rows, 0, rows / 2} {
					j := newJourney(rng, s, 2, 1, rows, prompt)
					wantY, wantS := j.ref()
					y, state := j.run(t, d)
					what := s.String() + shape(rows, prompt)
					within(t, what, y, wantY, func(int) float64 { return 100 * eps })
					within(t, what+" state", state, wantS, func(int) float64 { return 200 * eps })
				}
			}
		}
	})
}

// TestTheWidestKeyHeads are those that a chunk's room can be made for: they are computed in both forms, and one element more is refused.
func TestTheWidestKeyHeads(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(21, 7))
		j := newJourney(rng, deltaShape{1, 1, 1024, 3}, 1, 0, 5, 4)
		wantY, wantS := j.ref()
		y, state := j.run(t, d)
		within(t, "1024 elements", y, wantY, func(int) float64 { return 100 * eps })
		within(t, "1024 elements, state", state, wantS, func(int) float64 { return 200 * eps })
		wide := newJourney(rng, deltaShape{1, 1, 1025, 3}, 1, 0, 5, 4)
		if err := d.do(deltaRule(make([]float32, len(wide.V)), wide.state, wide.Delta)); err == nil || !strings.Contains(err.Error(), "more than 1024") {
			t.Errorf("1025 elements: %v", err)
		}
	})
}

// TestDeltaRuleIsTheSameHoweverItIsCut: at multiples of 64 within the prompt and anywhere after it.
func TestDeltaRuleIsTheSameHoweverItIsCut(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(22, 1))
		for _, s := range deltaShapes {
			j := newJourney(rng, s, 3, 2, 210, 150)
			wantY, wantS := j.run(t, d)
			for _, cuts := range [][]int{{64}, {128}, {64, 128}, {150}, {150, 151, 152, 170}, {64, 160}} {
				y, state := j.run(t, d, cuts...)
				sameBits(t, s.String()+shape(cuts...), y, wantY)
				sameBits(t, s.String()+shape(cuts...)+" state", state, wantS)
			}
		}
	})
}

// TestDeltaRuleSequencesDoNotFeelEachOther: three sequences at different stages in one batch give what each gives alone.
func TestDeltaRuleSequencesDoNotFeelEachOther(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(23, 1))
		s := deltaShape{2, 4, 24, 20}
		var all journey
		var alone [][]float32
		slots := 4
		for slot, rows := range []int{70, 1, 130} {
			j := newJourney(rng, s, slots, slot, rows, rows-slot)
			y, state := j.run(t, d)
			size := len(state) / slots
			alone = append(alone, y, state[slot*size:(slot+1)*size])
			all.KeyHeads, all.Heads, all.KeyDim, all.ValueDim, all.Scale = j.KeyHeads, j.Heads, j.KeyDim, j.ValueDim, j.Scale
			all.Q, all.K, all.V = append(all.Q, j.Q...), append(all.K, j.K...), append(all.V, j.V...)
			all.G, all.Beta, all.Forms = append(all.G, j.G...), append(all.Beta, j.Beta...), append(all.Forms, j.Forms...)
			all.Slots.Positions, all.Slots.Slots = append(all.Slots.Positions, j.Slots.Positions...), append(all.Slots.Slots, j.Slots.Slots...)
			all.Slots.Count, all.state = slots, j.state
		}
		y, state := all.run(t, d)
		size, from := len(state)/slots, 0
		for slot := range 3 {
			sameBits(t, "outputs", y[from:from+len(alone[2*slot])], alone[2*slot])
			sameBits(t, "state", state[slot*size:(slot+1)*size], alone[2*slot+1])
			from += len(alone[2*slot])
		}
		sameBits(t, "a slot nobody has", state[3*size:], all.state[3*size:])
	})
}

// TestDeltaRuleForgetsAndLearns: what the formula is for. With g = -∞ nothing of before stays; with beta = 1 and orthogonal
// keys, reading by a key gives the value last written under it.
func TestDeltaRuleForgetsAndLearns(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, form := range []int32{0, 1} {
			rows := spec.Delta{KeyHeads: 1, Heads: 1, KeyDim: 2, ValueDim: 1, Scale: 1,
				K: []float32{1, 0, 0, 1, 1, 0, 0, 1}, Q: []float32{1, 0, 1, 0, 1, 0, 1, 0}, V: []float32{5, 7, 6, 8},
				G: []float32{0, 0, 0, -200}, Beta: []float32{1, 1, 1, 1}, Forms: []int32{form, form, form, form},
				Slots: spec.Slots{Positions: []int32{0, 1, 2, 3}, Slots: []int32{0, 0, 0, 0}, Count: 1}}
			y := make([]float32, 4)
			d.run(t, deltaRule(y, []float32{9, 9}, rows))
			within(t, "reading the first key", y, []float32{5, 5, 6, 0}, func(int) float64 { return 1e-6 })
		}
	})
}

// TestCausalConvMatchesTheSpecification, with weights as files have them: a few products and silu, with kernels of length 1 to 5.
func TestCausalConvMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(24, 1))
		for _, layout := range vectorLayouts[:3] {
			for _, n := range []int{1, 2, 3, 4, 5} {
				for _, channels := range []int{1, 7, 8, 130, 1000} {
					c := newConvolution(rng, layout, channels, n, 9)
					y, state := c.run(t, d)
					want, wantState := make([]float32, len(c.x)), append([]float32(nil), c.state...)
					spec.CausalConv(want, c.x, c.w, wantState, c.rows)
					what := layout + shape(channels, n)
					within(t, what, y, want, func(int) float64 { return 16 * 5 * eps })
					sameBits(t, what+" state", state, wantState)
					for cut := 1; cut < 9; cut++ {
						y2, state2 := c.run(t, d, cut)
						sameBits(t, what+" cut", y2, y)
						sameBits(t, what+" cut, state", state2, state)
					}
				}
			}
		}
	})
}

// convolution is one sequence in the second of two slots.
type convolution struct {
	x, state []float32
	w        cuda.Matrix
	rows     spec.Slots
}

func newConvolution(rng *rand.Rand, layout string, channels, n, rows int) convolution {
	c := convolution{x: random(rng, rows*channels), state: random(rng, 2*(n-1)*channels), w: randomMatrix(rng, layout, channels, n)}
	c.rows.Count = 2
	for r := range rows {
		c.rows.Positions, c.rows.Slots = append(c.rows.Positions, int32(r)), append(c.rows.Slots, 1)
	}
	return c
}

func (c convolution) run(t *testing.T, d *device, cuts ...int) (y, state []float32) {
	t.Helper()
	y, state = make([]float32, len(c.x)), append([]float32(nil), c.state...)
	from, width := 0, c.w.Rows
	for _, to := range append(cuts, len(c.rows.Positions)) {
		rows := spec.Slots{Positions: c.rows.Positions[from:to], Slots: c.rows.Slots[from:to], Count: c.rows.Count}
		d.run(t, causalConv(y[from*width:to*width], c.x[from*width:to*width], c.w, state, rows))
		from = to
	}
	return y, state
}

func causalConv(y, x []float32, w cuda.Matrix, state []float32, s spec.Slots) *cuda.Op {
	past, err := cuda.FromF32(state, s.Count, w.Cols-1, w.Rows)
	if err != nil {
		panic(err) // a mistake of the test's
	}
	return cuda.NewOp(cuda.OpCausalConv).Gives(f32(y, w.Rows), past).Takes(f32(x, w.Rows), i32(s.Positions), i32(s.Slots)).By(w)
}

// TestCausalConvOfTwoSequences mixed in one batch gives what each gives alone, and leaves other slots as they are.
func TestCausalConvOfTwoSequences(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		w := randomMatrix(rand.New(rand.NewPCG(25, 1)), "f32", 3, 4)
		x := random(rand.New(rand.NewPCG(26, 1)), 4*3)
		state := []float32{0: 1, 3 * 3 * 3: 5, 3*3*4 - 1: 6} // four slots
		y := make([]float32, len(x))
		d.run(t, causalConv(y, x, w, state, spec.Slots{Positions: []int32{0, 1, 0, 1}, Slots: []int32{2, 2, 0, 0}, Count: 4}))
		for i, slot := range []int{2, 0} {
			alone, own := make([]float32, 6), make([]float32, len(state))
			d.run(t, causalConv(alone, x[i*6:i*6+6], w, own, spec.Slots{Positions: []int32{0, 1}, Slots: []int32{int32(slot), int32(slot)}, Count: 4}))
			sameBits(t, "outputs", y[i*6:i*6+6], alone)
			sameBits(t, "state", state[slot*9:slot*9+9], own[slot*9:slot*9+9])
		}
		if state[27] != 5 || state[35] != 6 {
			t.Errorf("the slot nobody has holds %v", state[27:])
		}
	})
}

// TestDecayIsNeverAboveZero, and is right where exp overflows and where it vanishes.
func TestDecayIsNeverAboveZero(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		zeros := matrixOf(make([]uint16, 5), cuda.BF16, 1, 5)
		y := make([]float32, 5)
		d.run(t, decay(y, []float32{0, 1, 200, -1, -200}, zeros, zeros))
		within(t, "decay", y, []float32{-0.6931472, -1.3132617, -200, -0.3132617, 0}, func(int) float64 { return 1e-6 })
	})
}

// TestDecayMatchesTheSpecification, which computes in doubles and rounds once; the two libraries' last bits may differ.
func TestDecayMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(27, 1))
		for _, layout := range vectorLayouts {
			for _, s := range [][2]int{{1, 1}, {5, 7}, {300, 33}} {
				a, aLog, bias := random(rng, s[0]*s[1]), randomMatrix(rng, layout, 1, s[1]), randomMatrix(rng, layout, 1, s[1])
				got, want := make([]float32, len(a)), make([]float32, len(a))
				d.run(t, decay(got, a, aLog, bias))
				spec.Decay(want, a, aLog, bias)
				within(t, layout+shape(s[:]...), got, want, relative(want, 2))
			}
		}
	})
}

func decay(y, a []float32, aLog, bias cuda.Matrix) *cuda.Op {
	return cuda.NewOp(cuda.OpDecay).Gives(f32(y, aLog.Cols)).Takes(f32(a, aLog.Cols)).By(aLog, bias)
}
