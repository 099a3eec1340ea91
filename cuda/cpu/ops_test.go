package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// TestExpIsWithinTwoUnits compares with float64 over the whole range, at random and at every whole number.
func TestExpIsWithinTwoUnits(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(4, 4))
		var x []float32
		for i := -87; i <= 88; i++ {
			x = append(x, float32(i))
		}
		for range 200_000 {
			x = append(x, float32(rng.Float64()*175-87))
		}
		for range 50_000 { // softmax and silu live near zero
			x = append(x, float32(rng.NormFloat64()))
		}
		y := make([]float32, len(x))
		d.Exp(y, x)
		worst := 0.0
		for i := range x {
			want := math.Exp(float64(x[i]))
			unit := math.Ldexp(1, math.Ilogb(want)-23)
			worst = max(worst, math.Abs(float64(y[i])-want)/unit)
		}
		if worst > 2 {
			t.Errorf("off by %.2f units of the last place", worst)
		}
		t.Logf("worst error %.3f units of the last place", worst)
		out := make([]float32, 5)
		d.Exp(out, []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Inf(1)), -1e9, 0})
		if !math.IsNaN(float64(out[0])) || out[1] > 1e-37 || out[2] < 1e38 || out[3] > 1e-37 || out[4] != 1 {
			t.Errorf("at nan, -inf, inf, -1e9, 0: %v", out)
		}
	})
}

// TestRMSNormMatchesTheSpecification: the sum of squares has no cancellation, so the error is relative to the result: the
// sum's, halved by the root, and five roundings after it. Vectors longer than kernels take at once are among them.
func TestRMSNormMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(5, 5))
		for _, layout := range vectorLayouts {
			for _, s := range [][2]int{{1, 1}, {3, 7}, {5, 64}, {300, 129}, {2, 1024}, {1, 5120}, {2, 10_001}} {
				rows, n, plus := s[0], s[1], float32(s[0]%2)
				x, w := random(rng, rows*n), randomMatrix(rng, layout, 1, n)
				norm := func(y, x []float32) *cuda.Op {
					return cuda.NewOp(cuda.OpRMSNorm).Gives(f32(y, n)).Takes(f32(x, n)).By(w).With(1e-6, plus)
				}
				got, want := make([]float32, rows*n), make([]float32, rows*n)
				d.run(t, norm(got, x))
				spec.RMSNorm(want, x, w, 1e-6, plus)
				within(t, layout+shape(s[:]...), got, want, relative(want, float64(2*(n/8+1)+4)/2+6))
				row := make([]float32, n)
				d.run(t, norm(row, x[(rows-1)*n:]))
				sameBits(t, "the last row alone", row, got[(rows-1)*n:])
			}
		}
	})
}

// TestAddIsExact: one rounding has one result.
func TestAddIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(6, 6))
		for _, n := range []int{0, 1, 7, 8, 9, 16384, 40001} {
			x, y := random(rng, n), random(rng, n)
			got, want := make([]float32, n), make([]float32, n)
			d.run(t, cuda.NewOp(cuda.OpAdd).Gives(f32(got)).Takes(f32(x), f32(y)))
			spec.Add(want, x, y)
			sameBits(t, shape(n), got, want)
		}
	})
}

// TestSwiGLUMatchesTheSpecification: exp is good for 2 units of the last place, 4 roundings; three operations follow.
// Elements are independent of where they lie: the same at every offset.
func TestSwiGLUMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(7, 7))
		n := 33001
		gate, up := random(rng, n), random(rng, n)
		for i := range gate {
			gate[i] *= float32(1 + i%20)
		}
		swiglu := func(y, gate, up []float32) *cuda.Op {
			return cuda.NewOp(cuda.OpSwiGLU).Gives(f32(y)).Takes(f32(gate), f32(up))
		}
		got, want := make([]float32, n), make([]float32, n)
		d.run(t, swiglu(got, gate, up))
		spec.SwiGLU(want, gate, up)
		within(t, "swiglu", got, want, relative(want, 8))
		part := make([]float32, 37)
		for from := range 20 {
			d.run(t, swiglu(part, gate[from:from+37], up[from:from+37]))
			sameBits(t, "a part at another offset", part, got[from:from+37])
		}
	})
}

// TestRotateMatchesTheSpecification in both styles, with heads that turn whole and in part: two products and a sum, each
// rounded once, so the bound is relative to the products and not to what they leave.
func TestRotateMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(8, 8))
		for _, s := range []spec.Heads{{Rows: 1, Heads: 1, Dim: 2, Pairs: 1}, {Rows: 3, Heads: 2, Dim: 64, Pairs: 32},
			{Rows: 400, Heads: 3, Dim: 20, Pairs: 5}, {Rows: 2, Heads: 5, Dim: 9, Pairs: 4}} {
			for interleaved := range int32(2) {
				positions, freqs := make([]int32, s.Rows), random(rng, s.Pairs)
				for r := range positions {
					positions[r] = int32(rng.IntN(40960))
				}
				angles := make([]float32, 2*s.Rows*s.Pairs)
				spec.Angles(angles, positions, spec.Axes{Count: 1}, freqs, 1)
				x := random(rng, s.Rows*s.Heads*s.Dim)
				got, want := make([]float32, len(x)), make([]float32, len(x))
				d.run(t, cuda.NewOp(cuda.OpRotate).Gives(f32(got, s.Heads, s.Dim)).Takes(f32(x, s.Heads, s.Dim), f32(angles, s.Pairs, 2)).At(0, interleaved))
				spec.Rotate(want, x, angles, s, interleaved == 1)
				within(t, "rotate", got, want, func(int) float64 { return 4 * eps * 6 }) // |x| < 6
				lengthsStay(t, x, got, s.Dim)
			}
		}
	})
}

// lengthsStay checks what a rotation is: it changes no head's length.
func lengthsStay(t *testing.T, x, y []float32, dim int) {
	t.Helper()
	for h := range len(x) / dim {
		var a, b float64
		for i := h * dim; i < (h+1)*dim; i++ {
			a += float64(x[i]) * float64(x[i])
			b += float64(y[i]) * float64(y[i])
		}
		if math.Abs(a-b) > 1e-5*a {
			t.Fatalf("head %d had length² %g and has %g", h, a, b)
		}
	}
}

// TestAnglesMatchTheSpecification: a product rounded to f32, then the sine and cosine of a double and one rounding; the two
// libraries' doubles may differ in their last bits.
func TestAnglesMatchTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(9, 1))
		for _, s := range [][2]int{{1, 1}, {3, 7}, {700, 64}} {
			positions, freqs := make([]int32, s[0]), random(rng, s[1])
			for r := range positions {
				positions[r] = int32(rng.IntN(262_144))
			}
			got, want := make([]float32, 2*s[0]*s[1]), make([]float32, 2*s[0]*s[1])
			d.run(t, angles(got, positions, 1, freqs, nil, 1.25))
			spec.Angles(want, positions, spec.Axes{Count: 1}, freqs, 1.25)
			within(t, shape(s[:]...), got, want, func(i int) float64 { return 2*eps*math.Abs(float64(want[i])) + 1e-14 })
		}
	})
}

// angles is the op on rows of some positions each, turned by the first or by those that axis names.
func angles(y []float32, positions []int32, axes int, freqs []float32, axis []int32, scale float32) *cuda.Op {
	op := cuda.NewOp(cuda.OpAngles).Gives(f32(y, len(freqs), 2)).With(scale)
	if axis == nil {
		return op.Takes(i32(positions), f32(freqs), cuda.Tensor{})
	}
	return op.Takes(i32(positions, axes), f32(freqs), i32(axis))
}

func embed(y []float32, tokens []int32, table cuda.Matrix) *cuda.Op {
	return cuda.NewOp(cuda.OpEmbed).Gives(f32(y, table.Cols)).Takes(i32(tokens)).By(table)
}

// TestEmbedIsExact: widening loses nothing.
func TestEmbedIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(9, 9))
		for _, layout := range layouts {
			table, tokens := randomMatrix(rng, layout, 11, 37), []int32{10, 0, 3, 3, 7}
			got, want := make([]float32, 5*37), make([]float32, 5*37)
			d.run(t, embed(got, tokens, table))
			spec.Embed(want, tokens, table)
			sameBits(t, layout, got, want)
		}
	})
}

// TestEveryHalfIsWidenedExactly goes through all 65536 patterns of both 16-bit types.
func TestEveryHalfIsWidenedExactly(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		all := make([]uint16, 1<<16)
		for i := range all {
			all[i] = uint16(i)
		}
		for _, typ := range []cuda.DType{cuda.BF16, cuda.F16} {
			m := matrixOf(all, typ, 1, 1<<16)
			got := make([]float32, 1<<16)
			d.run(t, embed(got, []int32{0}, m))
			for i, v := range got {
				if want := spec.Element(m, i); !same(v, want) {
					t.Fatalf("%s %#04x: %g, not %g", typ, i, v, want)
				}
			}
		}
	})
	for bits, want := range map[uint16]float32{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 1: 0x1p-24, 0x0400: 0x1p-14, 0x3555: 0.333251953125} {
		if got := spec.Element(matrixOf([]uint16{bits}, cuda.F16, 1, 1), 0); got != want {
			t.Errorf("f16 %#04x is %g, not %g", bits, got, want)
		}
	}
}

// TestGatherPicksRows, a few and so many that they are shared among threads, in any order and more than once.
func TestGatherPicksRows(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		got := make([]float32, 4)
		d.run(t, cuda.NewOp(cuda.OpGather).Gives(f32(got, 2)).Takes(f32([]float32{1, 2, 3, 4, 5, 6}, 2), i32([]int32{2, 0})))
		sameBits(t, "gather", got, []float32{5, 6, 1, 2})
		rng := rand.New(rand.NewPCG(9, 10))
		for _, width := range []int{1, 7, 1030} {
			x, index := random(rng, 301*width), make([]int32, 500)
			for i := range index {
				index[i] = int32(rng.IntN(301))
			}
			got, want := make([]float32, 500*width), make([]float32, 500*width)
			d.run(t, cuda.NewOp(cuda.OpGather).Gives(f32(got, width)).Takes(f32(x, width), i32(index)))
			spec.Gather(want, x, index, width)
			sameBits(t, shape(width), got, want)
		}
	})
}

// TestCopyIsACopy of floats and of integers, and nothing beside them.
func TestCopyIsACopy(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, n := range []int{0, 1, 9, 100_003} {
			x := random(rand.New(rand.NewPCG(9, 11)), n)
			y := make([]float32, n+1)
			d.run(t, cuda.NewOp(cuda.OpCopy).Gives(f32(y[:n])).Takes(f32(x)))
			sameBits(t, shape(n), y, append(x, 0))
			ints, to := []int32{-1, 1 << 30, 0, 7}, make([]int32, 4)
			d.run(t, cuda.NewOp(cuda.OpCopy).Gives(i32(to, 2)).Takes(i32(ints, 2)))
			sameInts(t, "integers", to, ints)
		}
	})
}
