package kernels_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
)

// What is joined gives the same bits as its parts, and is one launch.
func TestJoinedOpsAreTheirParts(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(51)
				for _, s := range [][3]int{{1, 272, 40}, {3, 16, 9}, {16, 144, 33}, {17, 144, 8}} {
					rows, cols, outs := s[0], s[1], s[2]
					x, v, w := F32(Random(rng, rows*cols), cols), make(rng, outs, cols), make(rng, outs, cols)
					give := func() cuda.Tensor { return F32(filled(rows*outs), outs) }
					parts := []*cuda.Op{cuda.NewOp(cuda.OpMatMul).Gives(give()).Takes(x).By(v), cuda.NewOp(cuda.OpMatMul).Gives(give()).Takes(x).By(w)}
					parts = append(parts, cuda.NewOp(cuda.OpSwiGLU).Gives(give()).Takes(parts[0].Out[0], parts[1].Out[0]))
					var want [][]float32
					for _, op := range parts {
						m.Run(t, op)
						want = append(want, slices.Clone(op.Out[0].F32()))
					}
					for _, op := range parts {
						clear(op.Out[0].F32())
					}
					var pair, all cuda.Op
					joins := m.Join(&pair, parts[0], parts[1])
					if fits := name != "f32" && name != "f8/odd" && (name[:2] != "f8" || cols%16 == 0) && rows <= 16; joins != fits {
						t.Fatalf("%v: joined %v, not %v", s, joins, fits)
					} else if !joins {
						continue
					}
					if !m.Joins(parts[0]) || !m.Joins(&pair) || !m.Join(&all, &pair, parts[2]) || m.Joins(&all) {
						t.Fatalf("%v: a pair is not joined with what gates it", s)
					}
					m.Run(t, &pair)
					SameBits(t, fmt.Sprint(s, " first of two"), parts[0].Out[0].F32(), want[0])
					SameBits(t, fmt.Sprint(s, " second of two"), parts[1].Out[0].F32(), want[1])
					clear(parts[0].Out[0].F32())
					m.Run(t, &all)
					for i, op := range parts {
						SameBits(t, fmt.Sprint(s, " of three, number ", i), op.Out[0].F32(), want[i])
					}
				}
			})
		})
	}
}

func TestWhatIsNotJoined(t *testing.T) {
	m := kerneltest.New(t, true, 132)
	rng := newRand(52)
	const cols, outs = 32, 32
	v, w, wide, eight := Plain(rng, cuda.BF16, outs, cols), Plain(rng, cuda.BF16, outs, cols), Plain(rng, cuda.BF16, outs+8, cols), codes(rng, cuda.Q8, outs, cols)
	x, y := F32(Random(rng, cols), cols), F32(Random(rng, cols), cols)
	a := cuda.NewOp(cuda.OpMatMul).Gives(F32(filled(outs), outs)).Takes(x).By(v)
	matmul := func(to, x cuda.Tensor, w cuda.Matrix) *cuda.Op {
		return cuda.NewOp(cuda.OpMatMul).Gives(to).Takes(x).By(w)
	}
	to := F32(filled(outs), outs)
	var pair, joined cuda.Op
	if !m.Join(&pair, a, matmul(to, x, w)) {
		t.Fatal("a pair was not joined")
	}
	gate := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpSwiGLU).Gives(to).Takes(a, b) }
	for name, ops := range map[string][2]*cuda.Op{
		"other rows":              {a, matmul(to, y, w)},
		"another shape":           {a, matmul(F32(filled(outs+8), outs+8), x, wide)},
		"another layout":          {a, matmul(to, x, eight)},
		"a result over the rows":  {a, matmul(x, x, w)},
		"a result over the first": {a, matmul(a.Out[0], x, w)},
		"another op":              {a, cuda.NewOp(cuda.OpAdd).Gives(to).Takes(a.Out[0], a.Out[0])},
		"one gated by itself":     {a, gate(to, a.Out[0], a.Out[0])},
		"the second gating":       {&pair, gate(y, pair.Out[1], pair.Out[0])},
		"gated over the rows":     {&pair, gate(x, pair.Out[0], pair.Out[1])},
		"gated over a gate":       {&pair, gate(pair.Out[0], pair.Out[0], pair.Out[1])},
	} {
		if m.Join(&joined, ops[0], ops[1]) {
			t.Errorf("%s: joined", name)
		}
	}
}
