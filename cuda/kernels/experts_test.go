package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// mixed is a batch for a mixture: rows, each with k of the experts.
type mixed struct {
	rows, k, hidden, inner int
	x, weights             []float32
	index                  []int32
	table                  *cuda.ExpertTable
}

func newMixed(rng *rand.Rand, make func(*rand.Rand, int, int) cuda.Matrix, rows, k, experts, hidden, inner int, absent bool) *mixed {
	m := &mixed{rows: rows, k: k, hidden: hidden, inner: inner, x: Random(rng, rows*hidden), weights: Random(rng, rows*k), table: &cuda.ExpertTable{}}
	for i := range m.x {
		m.x[i] /= float32(math.Sqrt(float64(hidden))) // what is inside stays within what is not all or nothing
	}
	for range rows {
		for _, e := range rng.Perm(experts)[:k] {
			m.index = append(m.index, int32(e))
		}
	}
	for e := range experts {
		if absent && e%3 == 1 {
			m.table.Experts = append(m.table.Experts, cuda.Expert{})
			continue
		}
		m.table.Experts = append(m.table.Experts, cuda.Expert{Gate: make(rng, inner, hidden), Up: make(rng, inner, hidden), Down: make(rng, hidden, inner)})
	}
	return m
}

// op gives what experts make of rows from..to-1 in rows, or their sums in y where that is not nil, with room for so many pairs.
func (m *mixed) op(y, rows []float32, from, to, room int) *cuda.Op {
	op := cuda.NewOp(cuda.OpExperts)
	if y == nil {
		op.Gives(cuda.Tensor{})
	} else {
		op.Gives(F32(y, m.hidden))
	}
	op.Gives(F32(rows, m.hidden), F32(filled(2*room*m.inner), room, m.inner))
	op.Takes(F32(m.x[from*m.hidden:to*m.hidden], m.hidden), I32(m.index[from*m.k:to*m.k], m.k), F32(m.weights[from*m.k:to*m.k], m.k))
	op.Experts = m.table
	return op
}

// expertsWant is the specification with rows as a machine multiplies them, and how far a kernel may be off: what the products' sums may be
// off by, of each of the two, and what that of the first does to the second.
func (m *mixed) expertsWant(machine *kerneltest.Machine) (want []float32, bound func(int) float64) {
	round := func(x []float32) []float32 {
		if machine.Fast && kernels.ExpertsOnTensorCores(m.table) {
			return spec.Widen(spec.Round(x))
		}
		return x
	}
	x := round(m.x)
	want = filled(len(m.index) * m.hidden)
	bounds := make([]float64, len(want))
	for i, e := range m.index {
		one := m.table.Experts[e]
		if one.Gate.IsZero() {
			continue
		}
		row, gate, up := x[i/m.k*m.hidden:][:m.hidden], filled(m.inner), filled(m.inner)
		spec.MatMul(gate, row, one.Gate)
		spec.MatMul(up, row, one.Up)
		off, g, u := make([]float64, m.inner), productBound(row, one.Gate), productBound(row, one.Up)
		for j := range off { // silu rises by 1.1 at most, and stays below its argument's magnitude
			off[j] = 1.1*g(j)*math.Abs(float64(up[j])) + math.Abs(float64(gate[j]))*u(j) + 8*Eps*math.Abs(float64(gate[j])*float64(up[j]))
		}
		spec.SwiGLU(gate, gate, up)
		if machine.Fast && kernels.ExpertsOnTensorCores(m.table) { // another neighbour in bf16 where it lies near the middle of two
			for j := range off {
				if near(gate[j], off[j]) {
					off[j] += math.Abs(float64(gate[j])) / 128
				}
			}
		}
		gate = round(gate)
		spec.MatMul(want[i*m.hidden:(i+1)*m.hidden], gate, one.Down)
		d := productBound(gate, one.Down)
		for o := range m.hidden {
			b := d(o)
			for j := range m.inner {
				b += off[j] * math.Abs(float64(spec.Element(one.Down, o*m.inner+j)))
			}
			bounds[i*m.hidden+o] = b
		}
	}
	return want, func(i int) float64 { return bounds[i] }
}

// near says whether numbers so far from x round to another bf16.
func near(x float32, off float64) bool {
	r := spec.Round([]float32{float32(float64(x) - off), float32(float64(x) + off)})
	return r[0] != r[1]
}

// mixedSizes are rows, k, experts, hidden, inner.
var mixedSizes = [][5]int{{1, 2, 4, 48, 32}, {3, 3, 5, 64, 80}, {33, 2, 3, 136, 24}, {130, 2, 5, 40, 16}}

func TestExpertsMatchTheSpecification(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, machine *kerneltest.Machine) {
				rng := newRand(21)
				for _, s := range mixedSizes {
					for _, absent := range []bool{false, true} {
						m := newMixed(rng, make, s[0], s[1], s[2], s[3], s[4], absent)
						want, bound := m.expertsWant(machine)
						rows := Random(rng, len(want)) // all are written
						machine.Run(t, m.op(nil, rows, 0, m.rows, len(m.index)))
						Within(t, fmt.Sprint(s, absent), rows, want, bound)
						if absent {
							continue
						}
						sums, y, wanted := filled(m.rows*m.hidden), filled(m.rows*m.hidden), filled(m.rows*m.hidden)
						room := min(len(m.index), max(64, m.rows))
						machine.Run(t, m.op(y, filled(room*m.hidden), 0, m.rows, room))
						machine.Run(t, cuda.NewOp(cuda.OpExpertSum).Gives(F32(sums, m.hidden)).Takes(F32(rows, m.hidden), I32(m.index, m.k), F32(m.weights, m.k)))
						SameBits(t, fmt.Sprint(s, " sums at once and later"), y, sums)
						spec.ExpertSum(wanted, rows, m.weights, m.k)
						Within(t, fmt.Sprint(s, " sums"), sums, wanted, func(i int) float64 {
							sum := 0.0
							for j := range m.k {
								sum += math.Abs(float64(m.weights[i/m.hidden*m.k+j] * rows[(i/m.hidden*m.k+j)*m.hidden+i%m.hidden]))
							}
							return Eps * sum * float64(m.k)
						})
					}
				}
			})
		})
	}
}

// A row has the same bits alone, with few and with many.
func TestExpertsOfARowAreThoseOfTheRowAlone(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, machine *kerneltest.Machine) {
				m := newMixed(newRand(22), make, 130, 2, 3, 272, 24, false)
				all := filled(len(m.index) * m.hidden)
				machine.Run(t, m.op(nil, all, 0, m.rows, len(m.index)))
				for _, part := range [][2]int{{0, 1}, {1, 5}, {5, 27}} {
					n := (part[1] - part[0]) * m.k
					rows := filled(n * m.hidden)
					machine.Run(t, m.op(nil, rows, part[0], part[1], n))
					SameBits(t, fmt.Sprint("rows ", part), rows, all[part[0]*m.k*m.hidden:part[1]*m.k*m.hidden])
				}
			})
		})
	}
}
