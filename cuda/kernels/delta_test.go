package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// journey is rows of a delta rule and the states that they find.
type journey struct {
	spec.Delta
	state []float32
}

// newJourney is one sequence of so many positions in a slot, of which the first are a prompt, with inputs as a model has them: q and k of
// length 1, beta in (0, 1), g below 0.
func newJourney(rng *rand.Rand, keyHeads, heads, keyDim, valueDim, slots, slot, rows, prompt int) journey {
	d := spec.Delta{KeyHeads: keyHeads, Heads: heads, KeyDim: keyDim, ValueDim: valueDim, Scale: float32(1 / math.Sqrt(float64(keyDim)))}
	unit := func() []float32 {
		x := Random(rng, rows*keyHeads*keyDim)
		spec.L2Norm(x, x, keyDim, 1e-6)
		return x
	}
	d.Q, d.K, d.V = unit(), unit(), Random(rng, rows*heads*valueDim)
	d.G, d.Beta = Random(rng, rows*heads), Random(rng, rows*heads)
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
	return journey{d, Random(rng, slots*heads*keyDim*valueDim)} // what a slot holds before position 0 is of no account
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
	return cuda.NewOp(cuda.OpDeltaRule).Gives(F32(y, d.Heads, d.ValueDim), F32(state, d.Heads, d.KeyDim, d.ValueDim)).
		Takes(F32(d.Q, d.KeyHeads, d.KeyDim), F32(d.K, d.KeyHeads, d.KeyDim), F32(d.V, d.Heads, d.ValueDim), F32(d.G, d.Heads), F32(d.Beta, d.Heads)).
		Takes(I32(d.Slots.Positions), I32(d.Slots.Slots), I32(d.Forms)).With(d.Scale)
}

// run takes the rows to the kernels in batches that end where cuts say, and gives outputs and the states after all.
func (j journey) run(t *testing.T, m *kerneltest.Machine, cuts ...int) (y, state []float32) {
	t.Helper()
	y, state = filled(len(j.V)), slices.Clone(j.state)
	from, width := 0, j.Heads*j.ValueDim
	for _, to := range append(cuts, len(j.Forms)) {
		m.Run(t, deltaRule(y[from*width:to*width], state, j.part(from, to)))
		from = to
	}
	return y, state
}

// join puts the rows of another behind these: both have the same states.
func (j *journey) join(o journey) {
	j.Q, j.K, j.V = append(j.Q, o.Q...), append(j.K, o.K...), append(j.V, o.V...)
	j.G, j.Beta, j.Forms = append(j.G, o.G...), append(j.Beta, o.Beta...), append(j.Forms, o.Forms...)
	j.Slots.Positions, j.Slots.Slots = append(j.Slots.Positions, o.Slots.Positions...), append(j.Slots.Slots, o.Slots.Slots...)
}

var deltaShapes = [][4]int{{1, 1, 1, 1}, {1, 3, 5, 4}, {2, 4, 32, 32}, {3, 3, 70, 40}, {1, 2, 128, 64}}

// TestDeltaRuleMatchesTheSpecification: k has length 1 and beta is below 1, so that errors are not amplified; each number is a sum of some
// hundred rounded products of numbers of the size of v.
func TestDeltaRuleMatchesTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(60)
		for i, s := range deltaShapes {
			for _, c := range [][2]int{{1, 1}, {1, 0}, {2, 2}, {5, 2}, {65, 65}, {129, 128}} {
				if i > 2 && c[0] != 65 && c[0] != 5 || m.Eager && c[0] > 65 {
					continue
				}
				j := newJourney(rng, s[0], s[1], s[2], s[3], 2, 1, c[0], c[1])
				wantY, wantS := filled(len(j.V)), slices.Clone(j.state)
				spec.DeltaRule(wantY, wantS, j.Delta)
				y, state := j.run(t, m)
				what := fmt.Sprint(s, c)
				Within(t, what, y, wantY, func(int) float64 { return 100 * Eps })
				Within(t, what+" state", state, wantS, func(int) float64 { return 200 * Eps })
			}
		}
	})
}

// TestDeltaRuleIsTheSameHoweverItIsCut: at multiples of 64 within the prompt and anywhere after it; where a prompt's last chunk has one row; and beside
// other sequences.
func TestDeltaRuleIsTheSameHoweverItIsCut(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(61)
		j := newJourney(rng, 1, 2, 24, 36, 4, 2, 140, 133)
		wantY, wantS := j.run(t, m)
		for _, cuts := range [][]int{{64}, {128}, {64, 128, 133, 134, 136}} {
			y, state := j.run(t, m, cuts...)
			SameBits(t, fmt.Sprint(cuts), y, wantY)
			SameBits(t, fmt.Sprint(cuts, " state"), state, wantS)
		}
		for _, rows := range []int{1, 65, 129} {
			begin := journey{j.part(0, rows), j.state}
			for _, cuts := range [][]int{nil, {rows - 1}} {
				y, _ := begin.run(t, m, cuts...)
				SameBits(t, fmt.Sprint("a prompt of ", rows, cuts), y, wantY[:len(y)])
			}
		}
		all, beside := newJourney(rng, 1, 2, 24, 36, 4, 0, 3, 2), newJourney(rng, 1, 2, 24, 36, 4, 3, 1, 1)
		all.state, beside.state = j.state, j.state
		otherY, otherS := beside.run(t, m)
		before := len(all.V)
		all.join(j)
		all.join(beside)
		y, state := all.run(t, m)
		size := len(state) / 4
		SameBits(t, "beside others", y[before:][:len(wantY)], wantY)
		SameBits(t, "beside others, state", state[2*size:3*size], wantS[2*size:3*size])
		SameBits(t, "another", y[before+len(wantY):], otherY)
		SameBits(t, "another's state", state[3*size:], otherS[3*size:])
		SameBits(t, "a slot nobody has", state[size:2*size], j.state[size:2*size])
	})
}

func TestTheWidestKeyHeads(t *testing.T) {
	m := kerneltest.New(t, false, 132)
	j := newJourney(newRand(62), 1, 1, 1024, 3, 1, 0, 4, 3)
	wantY, wantS := filled(len(j.V)), slices.Clone(j.state)
	spec.DeltaRule(wantY, wantS, j.Delta)
	y, state := j.run(t, m)
	Within(t, "1024 elements", y, wantY, func(int) float64 { return 100 * Eps })
	Within(t, "1024 elements, state", state, wantS, func(int) float64 { return 200 * Eps })
	wide := newJourney(newRand(62), 1, 1, 1025, 3, 1, 0, 4, 3)
	if m.Do(deltaRule(filled(len(wide.V)), wide.state, wide.Delta)) == nil {
		t.Error("1025 elements were accepted")
	}
}

// convolution is rows of several sequences.
type convolution struct {
	x, state []float32
	w        cuda.Matrix
	rows     spec.Slots
}

func (c convolution) run(t *testing.T, m *kerneltest.Machine, cuts ...int) (y, state []float32) {
	t.Helper()
	y, state = filled(len(c.x)), slices.Clone(c.state)
	from, width := 0, c.w.Rows
	for _, to := range append(cuts, len(c.rows.Positions)) {
		past, err := cuda.FromF32(state, c.rows.Count, c.w.Cols-1, width)
		if err != nil {
			t.Fatal(err)
		}
		m.Run(t, cuda.NewOp(cuda.OpCausalConv).Gives(F32(y[from*width:to*width], width), past).
			Takes(F32(c.x[from*width:to*width], width), I32(c.rows.Positions[from:to]), I32(c.rows.Slots[from:to])).By(c.w))
		from = to
	}
	return y, state
}

// TestCausalConvMatchesTheSpecification, and is the same however a batch is cut: sequences at their beginning and later, one of them between
// another's rows.
func TestCausalConvMatchesTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(63)
		for _, channels := range []int{1, 37, 300} {
			for _, n := range []int{1, 2, 4, 9} {
				for _, typ := range PlainTypes {
					c := convolution{w: Plain(rng, typ, channels, n)}
					c.rows = spec.Slots{Count: 5, Slots: []int32{1, 1, 1, 3, 1, 0, 3, 2, 2, 2, 2, 2}, Positions: []int32{0, 1, 2, 7, 3, 0, 8, 2, 3, 4, 5, 6}}
					c.x, c.state = Random(rng, len(c.rows.Slots)*channels), Random(rng, 5*(n-1)*channels)
					want, wantState := filled(len(c.x)), slices.Clone(c.state)
					for s := range c.rows.Count { // a state holds zeros where there was nothing
						for r, slot := range c.rows.Slots {
							if int(slot) == s {
								for i := 0; i < n-1-int(c.rows.Positions[r]); i++ {
									clear(wantState[(s*(n-1)+i)*channels:][:channels])
								}
								break
							}
						}
					}
					c.state = slices.Clone(wantState)
					spec.CausalConv(want, c.x, c.w, wantState, c.rows)
					y, state := c.run(t, m)
					what := fmt.Sprint(channels, n, typ)
					Within(t, what, y, want, func(int) float64 { return 30 * float64(n) * Eps })
					SameBits(t, what+" state", state, wantState)
					y2, state2 := c.run(t, m, 1, 2, 5, 6, 7, 8, 9, 10, 11)
					SameBits(t, what+" cut", y2, y)
					SameBits(t, what+" cut, state", state2, state)
				}
			}
		}
	})
}

// TestDecayMatchesTheSpecification, also where exp overflows and where it vanishes: both compute in double and round once.
func TestDecayMatchesTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(64)
		for _, typ := range PlainTypes {
			for _, s := range [][2]int{{1, 1}, {5, 7}, {30, 33}} {
				a, aLog, bias := Random(rng, s[0]*s[1]), Plain(rng, typ, 1, s[1]), Plain(rng, typ, 1, s[1])
				for i := range a {
					a[i] *= []float32{1, 10, 100}[i%3]
				}
				y, want := filled(len(a)), filled(len(a))
				op := cuda.NewOp(cuda.OpDecay).Gives(F32(y, s[1])).Takes(F32(a, s[1])).By(aLog, bias)
				m.Run(t, op)
				spec.Decay(want, a, aLog, bias)
				Within(t, fmt.Sprint(typ, s), y, want, func(i int) float64 { return Relative(want, 2)(i) + 0x1p-149 })
				inHalves(t, m, op, 0)
			}
		}
	})
}
