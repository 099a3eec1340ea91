package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

var rowShapes = [][2]int{{1, 1}, {3, 7}, {2, 8}, {5, 1152}, {300, 65}}

// TestAddRowIsExact: one rounding, as the specification has.
func TestAddRowIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(61, 1))
		for _, s := range rowShapes {
			for _, typ := range matrixTypes {
				x, w := random(rng, s[0]*s[1]), randomMatrix(rng, typ, 1, s[1])
				got, want := make([]float32, len(x)), make([]float32, len(x))
				must(t, p.AddRow(got, x, w))
				cpu.RefAddRow(want, x, w)
				sameBits(t, typeName(typ)+shape(s[:]...), got, want)
			}
		}
	})
}

// TestLayerNormMatchesTheSpecification. The mean of n values of size m is off by m eps (n/8 + 8), and so is each distance from
// it; the variance adds its own sum. Rows far from 0 lose what the subtraction cancels.
func TestLayerNormMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(62, 1))
		for _, s := range rowShapes {
			for _, typ := range matrixTypes {
				rows, n := s[0], s[1]
				x, w, b := random(rng, rows*n), randomMatrix(rng, typ, 1, n), randomMatrix(rng, cpu.F32, 1, n)
				for i := range x {
					x[i] += float32(i / n % 3 * 10) // some rows lie around 10, some around 20
				}
				got, want := make([]float32, rows*n), make([]float32, rows*n)
				must(t, p.LayerNorm(got, x, w, b, 1e-6))
				cpu.RefLayerNorm(want, x, w, b, 1e-6)
				within(t, typeName(typ)+shape(s[:]...), got, want, func(i int) float64 {
					deviation := max(spread(x[i/n*n:(i/n+1)*n]), 1e-3) // of the row; at least sqrt(eps)
					distance := 30 / deviation * eps * float64(n/8+12) // 30: no value is further from 0
					return math.Abs(float64(w.Widen(i%n)))*2*distance*(1+math.Abs(float64(x[i]))/10) + eps*math.Abs(float64(want[i]))*8
				})
				row := make([]float32, n)
				must(t, p.LayerNorm(row, x[(rows-1)*n:], w, b, 1e-6))
				sameBits(t, "the last row alone", row, got[(rows-1)*n:])
			}
		}
		if p.LayerNorm(make([]float32, 6), make([]float32, 6), randomMatrix(rng, cpu.F32, 1, 3), randomMatrix(rng, cpu.F32, 1, 2), 1) == nil {
			t.Error("a shift shorter than the row was accepted")
		}
	})
}

func spread(x []float32) float64 {
	mean, sum := 0.0, 0.0
	for _, v := range x {
		mean += float64(v) / float64(len(x))
	}
	for _, v := range x {
		sum += (float64(v) - mean) * (float64(v) - mean) / float64(len(x))
	}
	return math.Sqrt(sum)
}

// TestGELUMatchesTheSpecification in both forms, over all x that matter. The result is x times a share that is off by a few
// roundings: those of e^x (4), a quotient and, for erf, a polynomial of degree 8. Below -13 the true result is nearer to 0 than any
// number that counts.
func TestGELUMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		var x []float32
		for v := -14.0; v < 14; v += 0.001 {
			x = append(x, float32(v))
		}
		for _, tanh := range []bool{false, true} {
			got, want := make([]float32, len(x)), make([]float32, len(x))
			must(t, p.GELU(got, x, tanh))
			cpu.RefGELU(want, x, tanh)
			within(t, "gelu", got, want, func(i int) float64 { return 16*eps*min(1, math.Abs(float64(x[i]))) + 4*eps*math.Abs(float64(want[i])) })
			one := make([]float32, 1)
			for i := 3; i < len(x); i += 997 {
				must(t, p.GELU(one, x[i:i+1], tanh))
				sameBits(t, "alone", one, got[i:i+1])
			}
			ends := []float32{-1e30, -100, 0, 100, 1e30, float32(math.NaN())}
			must(t, p.GELU(ends, ends, tanh))
			within(t, "far out", ends[:5], []float32{0, 0, 0, 100, 1e30}, func(int) float64 { return 1e-7 })
			if !math.IsNaN(float64(ends[5])) {
				t.Errorf("gelu of no number is %v", ends[5])
			}
		}
	})
}

// TestAnglesByAxis: each frequency turns by its own position of the row.
func TestAnglesByAxis(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	positions := []int32{5, 70, 3, 1000, 2, 9} // two rows of three axes
	freqs, axis := []float32{1, 0.5, 0.25, 0.125}, []uint8{2, 0, 1, 0}
	got := make([]float32, 2*4*2)
	must(t, p.Angles(got, positions, cpu.Axes{Count: 3, Of: axis}, freqs, 2))
	for r := range 2 {
		for i, f := range freqs {
			want := make([]float32, 2)
			must(t, p.Angles(want, positions[r*3+int(axis[i]):][:1], cpu.Axes{Count: 1}, []float32{f}, 2))
			sameBits(t, shape(r, i), got[(r*4+i)*2:(r*4+i)*2+2], want)
		}
	}
	for what, axes := range map[string]cpu.Axes{
		"an axis that is not there": {Count: 2, Of: []uint8{2, 0, 1, 0}}, "fewer axes than frequencies": {Count: 3, Of: axis[:3]}, "no axis": {},
		"half a row": {Count: 4, Of: axis},
	} {
		if p.Angles(got, positions, axes, freqs, 1) == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// TestRotateFromTurnsTheTail as if it were a head of its own, and passes what lies before and behind through.
func TestRotateFromTurnsTheTail(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(63, 1))
		const rows, heads, before, pairs, behind = 3, 5, 7, 4, 2
		const dim = before + 2*pairs + behind
		x, angles := random(rng, rows*heads*dim), random(rng, rows*pairs*2)
		for _, interleaved := range []bool{false, true} {
			got := make([]float32, len(x))
			must(t, p.Rotate(got, x, angles, cpu.Heads{Rows: rows, Heads: heads, Dim: dim, Pairs: pairs, First: before}, interleaved))
			for i := range rows * heads {
				head, turned := x[i*dim:(i+1)*dim], make([]float32, 2*pairs)
				must(t, p.Rotate(turned, head[before:before+2*pairs], angles[i/heads*pairs*2:][:pairs*2], cpu.Heads{Rows: 1, Heads: 1, Dim: 2 * pairs, Pairs: pairs}, interleaved))
				y := got[i*dim : (i+1)*dim]
				sameBits(t, "before", y[:before], head[:before])
				sameBits(t, "turned", y[before:before+2*pairs], turned)
				sameBits(t, "behind", y[before+2*pairs:], head[before+2*pairs:])
			}
		}
		if p.Rotate(x, x, angles, cpu.Heads{Rows: rows, Heads: heads, Dim: dim, Pairs: pairs, First: 10}, false) == nil {
			t.Error("pairs that reach beyond the head were accepted")
		}
	})
}
