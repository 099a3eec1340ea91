package cpu_test

import (
	"math"
	"math/rand/v2"
	"path"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// lastName is the kernel table of a subtest of eachTable.
func lastName(t *testing.T) string { return path.Base(t.Name()) }

// TestExpIsWithinTwoUnits compares with float64 over the whole range, at random and at every whole number.
func TestExpIsWithinTwoUnits(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
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
		p.Exp(y, x)
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
		p.Exp(out, []float32{float32(math.NaN()), float32(math.Inf(-1)), float32(math.Inf(1)), -1e9, 0})
		if !math.IsNaN(float64(out[0])) || out[1] > 1e-37 || out[2] < 1e38 || out[3] > 1e-37 || out[4] != 1 {
			t.Errorf("at nan, -inf, inf, -1e9, 0: %v", out)
		}
	})
}

// TestRMSNormMatchesTheSpecification: the sum of squares has no cancellation, so the error is relative to the result: the
// sum's, halved by the root, and five roundings after it.
func TestRMSNormMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(5, 5))
		for _, typ := range matrixTypes {
			for _, s := range [][2]int{{1, 1}, {3, 7}, {5, 64}, {300, 129}, {2, 1024}, {1, 5120}} {
				rows, n, plus := s[0], s[1], float32(s[0]%2)
				x, w := random(rng, rows*n), randomMatrix(rng, typ, 1, n)
				got, want := make([]float32, rows*n), make([]float32, rows*n)
				must(t, p.RMSNorm(got, x, w, 1e-6, plus))
				cpu.RefRMSNorm(want, x, w, 1e-6, plus)
				within(t, typeName(typ)+shape(s[:]...), got, want, relative(want, float64(2*(n/8+1)+4)/2+6))
				row := make([]float32, n)
				must(t, p.RMSNorm(row, x[(rows-1)*n:], w, 1e-6, plus))
				sameBits(t, "the last row alone", row, got[(rows-1)*n:])
			}
		}
	})
}

// TestAddIsExact: one rounding has one result.
func TestAddIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(6, 6))
		for _, n := range []int{0, 1, 7, 8, 9, 16384, 40001} {
			x, y := random(rng, n), random(rng, n)
			got, want := make([]float32, n), make([]float32, n)
			must(t, p.Add(got, x, y))
			cpu.RefAdd(want, x, y)
			sameBits(t, shape(n), got, want)
		}
	})
}

// TestSwiGLUMatchesTheSpecification: exp is good for 2 units of the last place, 4 roundings; three operations follow.
// Elements are independent of where they lie: the same at every offset.
func TestSwiGLUMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(7, 7))
		n := 33001
		gate, up := random(rng, n), random(rng, n)
		for i := range gate {
			gate[i] *= float32(1 + i%20)
		}
		got, want := make([]float32, n), make([]float32, n)
		must(t, p.SwiGLU(got, gate, up))
		cpu.RefSwiGLU(want, gate, up)
		within(t, "swiglu", got, want, relative(want, 8))
		part := make([]float32, 37)
		for from := range 20 {
			must(t, p.SwiGLU(part, gate[from:from+37], up[from:from+37]))
			sameBits(t, "a part at another offset", part, got[from:from+37])
		}
	})
}

// TestRotateMatchesTheSpecification in both styles, with heads that turn whole and in part: two products and a sum, each
// rounded once, so the bound is relative to the products and not to what they leave.
func TestRotateMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(8, 8))
		for _, s := range []cpu.Heads{{Rows: 1, Heads: 1, Dim: 2, Pairs: 1}, {Rows: 3, Heads: 2, Dim: 64, Pairs: 32},
			{Rows: 400, Heads: 3, Dim: 20, Pairs: 5}, {Rows: 2, Heads: 5, Dim: 9, Pairs: 4}} {
			for _, interleaved := range []bool{false, true} {
				positions, freqs := make([]int32, s.Rows), random(rng, s.Pairs)
				for r := range positions {
					positions[r] = int32(rng.IntN(40960))
				}
				angles := make([]float32, 2*s.Rows*s.Pairs)
				must(t, p.Angles(angles, positions, cpu.Axes{Count: 1}, freqs, 1))
				x := random(rng, s.Rows*s.Heads*s.Dim)
				got, want := make([]float32, len(x)), make([]float32, len(x))
				must(t, p.Rotate(got, x, angles, s, interleaved))
				cpu.RefRotate(want, x, angles, s, interleaved)
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

// TestEmbedIsExact: widening loses nothing.
func TestEmbedIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(9, 9))
		for _, typ := range matrixTypes {
			table, tokens := randomMatrix(rng, typ, 11, 37), []int32{10, 0, 3, 3, 7}
			got, want := make([]float32, 5*37), make([]float32, 5*37)
			must(t, p.Embed(got, tokens, table))
			cpu.RefEmbed(want, tokens, table)
			sameBits(t, typeName(typ), got, want)
			for _, bad := range []int32{-1, 11} {
				if p.Embed(got[:37], []int32{bad}, table) == nil {
					t.Errorf("token %d of 11 was accepted", bad)
				}
			}
		}
	})
}

// TestEveryHalfIsWidenedExactly goes through all 65536 patterns of both 16-bit types.
func TestEveryHalfIsWidenedExactly(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		all := make([]uint16, 1<<16)
		for i := range all {
			all[i] = uint16(i)
		}
		for _, typ := range []cpu.Type{cpu.BF16, cpu.F16} {
			m := cpu.Matrix{Ptr: pointerTo(all), Type: typ, Rows: 1, Cols: 1 << 16}
			got := make([]float32, 1<<16)
			must(t, p.Embed(got, []int32{0}, m))
			for i, v := range got {
				want := m.Widen(i)
				if v != want && !(math.IsNaN(float64(v)) && math.IsNaN(float64(want))) {
					t.Fatalf("%s %#04x: %g, not %g", typeName(typ), i, v, want)
				}
			}
		}
	})
	for bits, want := range map[uint16]float32{0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 1: 0x1p-24, 0x0400: 0x1p-14, 0x3555: 0.333251953125} {
		if got := (cpu.Matrix{Ptr: pointerTo([]uint16{bits}), Type: cpu.F16, Cols: 1}).Widen(0); got != want {
			t.Errorf("f16 %#04x is %g, not %g", bits, got, want)
		}
	}
}

// TestGatherPicksRows and refuses those that are not there.
func TestGatherPicksRows(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	got := make([]float32, 4)
	must(t, p.Gather(got, []float32{1, 2, 3, 4, 5, 6}, []int32{2, 0}, 2))
	sameBits(t, "gather", got, []float32{5, 6, 1, 2})
	if p.Gather(got, []float32{1, 2, 3, 4}, []int32{0, 2}, 2) == nil {
		t.Error("row 2 of 2 was accepted")
	}
}
