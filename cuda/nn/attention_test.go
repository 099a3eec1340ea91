package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// plainAttention is the formula in float64, one sequence, no cache: q (rows, heads, dim), k and v (rows, kv heads, dim).
func plainAttention(q, k, v []float32, heads, kvHeads, dim int, scale float64) []float64 {
	rows := len(q) / (heads * dim)
	out := make([]float64, rows*heads*dim)
	for r := range rows {
		for h := range heads {
			g, weights, sum := h*kvHeads/heads, []float64{}, 0.0
			for t := range r + 1 {
				score := 0.0
				for d := range dim {
					score += float64(q[(r*heads+h)*dim+d]) * float64(k[(t*kvHeads+g)*dim+d])
				}
				weights = append(weights, math.Exp(scale*score))
				sum += weights[t]
			}
			for t, w := range weights {
				for d := range dim {
					out[(r*heads+h)*dim+d] += w / sum * float64(v[(t*kvHeads+g)*dim+d])
				}
			}
		}
	}
	return out
}

func normal(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// Two sequences grow through a paged cache whose blocks are in no order; each row must be what the formula says of its own
// sequence alone.
func TestAttendIsTheFormulaOverEachSequence(t *testing.T) {
	const heads, kvHeads, dim, blocks = 6, 3, 10, 8
	const scale = 0.3
	rng := rand.New(rand.NewPCG(1, 2))
	dev := cpu.New(2)
	defer dev.Close()
	spec := KeysValues(kvHeads, dim, dim)
	mem, err := dev.Alloc(spec.Bytes(Size{Blocks: blocks}), cuda.ForState)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Free(mem)
	module := &cuda.Module{ID: "layers.0"}
	kv, err := NewCache(module, spec, dev, mem, Size{Blocks: blocks})
	if err != nil {
		t.Fatal(err)
	}
	if len(module.States) != 2 || module.StateBytes() != spec.Bytes(Size{Blocks: blocks}) || spec.PositionBytes() != 2*kvHeads*dim*4 {
		t.Errorf("the module has %d states of %d bytes", len(module.States), module.StateBytes())
	}

	tables := []int32{6, 1, 3, 5, 0, 2}            // three blocks for each sequence
	total := [2]int{150, 70}                       // positions
	chunks := [][2]int{{100, 3}, {1, 60}, {49, 7}} // rows of each sequence in each step
	var q, k, v [2][]float32
	var y [2][]float32
	for s := range total {
		q[s], k[s], v[s] = normal(rng, total[s]*heads*dim), normal(rng, total[s]*kvHeads*dim), normal(rng, total[s]*kvHeads*dim)
	}
	step := cuda.NewStep([]cuda.Device{dev}, []*cuda.Module{module}, nil)
	at := [2]int{}
	for _, n := range chunks {
		var rows [3][]float32 // q, k, v of this step
		var positions, seqs []int32
		for s := range n {
			for i, all := range [][]float32{q[s], k[s], v[s]} {
				width := len(all) / total[s]
				rows[i] = append(rows[i], all[at[s]*width:(at[s]+n[s])*width]...)
			}
			for range n[s] {
				positions, seqs = append(positions, int32(at[s])), append(seqs, int32(s))
				at[s]++
			}
		}
		pass := func(st *cuda.Step) cuda.Tensor {
			b := &Batch{Pages: st.Pages(positions, seqs, tables, 3, blocks, BlockSize)}
			st.EnterLayer(0)
			x, _ := cuda.FromF32(rows[0], len(positions), heads*dim)
			key, _ := cuda.FromF32(rows[1], len(positions), kvHeads*dim)
			value, _ := cuda.FromF32(rows[2], len(positions), kvHeads*dim)
			return Attend(st, x.Heads(dim), key.Heads(dim), value.Heads(dim), b, kv, scale)
		}
		sizes, err := step.Measure(func(st *cuda.Step) { pass(st) })
		if err != nil {
			t.Fatal(err)
		}
		if err := step.Reserve(0, sizes); err != nil {
			t.Fatal(err)
		}
		step.Begin()
		out := pass(step)
		if err := step.End(); err != nil {
			t.Fatal(err)
		}
		split := n[0] * heads * dim
		y[0], y[1] = append(y[0], out.F32()[:split]...), append(y[1], out.F32()[split:]...)
	}
	step.Release(0)
	for s := range total {
		want := plainAttention(q[s], k[s], v[s], heads, kvHeads, dim, scale)
		worst := 0.0
		for i := range want {
			worst = max(worst, math.Abs(float64(y[s][i])-want[i]))
		}
		if worst > 2e-6 { // values are below 4; f32 sums of 150 terms
			t.Errorf("sequence %d: %v away from the formula", s, worst)
		}
	}
}
