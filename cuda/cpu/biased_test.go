package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

var rowShapes = [][2]int{{1, 1}, {3, 7}, {2, 8}, {5, 1152}, {300, 65}}

// TestAddRowIsExact: one rounding, as the specification has.
func TestAddRowIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(61, 1))
		for _, s := range rowShapes {
			for _, layout := range vectorLayouts {
				x, w := random(rng, s[0]*s[1]), randomMatrix(rng, layout, 1, s[1])
				got, want := make([]float32, len(x)), make([]float32, len(x))
				d.run(t, cuda.NewOp(cuda.OpAddRow).Gives(f32(got, s[1])).Takes(f32(x, s[1])).By(w))
				spec.AddRow(want, x, w)
				sameBits(t, layout+shape(s[:]...), got, want)
			}
		}
	})
}

// TestLayerNormMatchesTheSpecification. The mean of n values of size m is off by m eps (n/8 + 8), and so is each distance from
// it; the variance adds its own sum. Rows far from 0 lose what the subtraction cancels.
func TestLayerNormMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(62, 1))
		for _, s := range rowShapes {
			for _, layout := range vectorLayouts {
				rows, n := s[0], s[1]
				x, w, b := random(rng, rows*n), randomMatrix(rng, layout, 1, n), randomMatrix(rng, "f32", 1, n)
				for i := range x {
					x[i] += float32(i / n % 3 * 10) // some rows lie around 10, some around 20
				}
				got, want := make([]float32, rows*n), make([]float32, rows*n)
				norm := func(y, x []float32) *cuda.Op {
					return cuda.NewOp(cuda.OpLayerNorm).Gives(f32(y, n)).Takes(f32(x, n)).By(w, b).With(1e-6)
				}
				d.run(t, norm(got, x))
				spec.LayerNorm(want, x, w, b, 1e-6)
				within(t, layout+shape(s[:]...), got, want, func(i int) float64 {
					deviation := max(spread(x[i/n*n:(i/n+1)*n]), 1e-3) // of the row; at least sqrt(eps)
					distance := 30 / deviation * eps * float64(n/8+12) // 30: no value is further from 0
					return math.Abs(float64(spec.Element(w, i%n)))*2*distance*(1+math.Abs(float64(x[i]))/10) + eps*math.Abs(float64(want[i]))*8
				})
				row := make([]float32, n)
				d.run(t, norm(row, x[(rows-1)*n:]))
				sameBits(t, "the last row alone", row, got[(rows-1)*n:])
			}
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
	eachTable(t, func(t *testing.T, d *device) {
		var x []float32
		for v := -14.0; v < 14; v += 0.001 {
			x = append(x, float32(v))
		}
		for tanh := range int32(2) {
			gelu := func(y, x []float32) *cuda.Op { return cuda.NewOp(cuda.OpGELU).Gives(f32(y)).Takes(f32(x)).At(tanh) }
			got, want := make([]float32, len(x)), make([]float32, len(x))
			d.run(t, gelu(got, x))
			spec.GELU(want, x, tanh == 1)
			within(t, "gelu", got, want, func(i int) float64 { return 16*eps*min(1, math.Abs(float64(x[i]))) + 4*eps*math.Abs(float64(want[i])) })
			one := make([]float32, 1)
			for i := 3; i < len(x); i += 997 {
				d.run(t, gelu(one, x[i:i+1]))
				sameBits(t, "alone", one, got[i:i+1])
			}
			ends := []float32{-1e30, -100, 0, 100, 1e30, float32(math.NaN())}
			d.run(t, gelu(ends, ends))
			within(t, "far out", ends[:5], []float32{0, 0, 0, 100, 1e30}, func(int) float64 { return 1e-7 })
			if !math.IsNaN(float64(ends[5])) {
				t.Errorf("gelu of no number is %v", ends[5])
			}
		}
	})
}

// TestAnglesByAxis: each frequency turns by its own position of the row.
func TestAnglesByAxis(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		positions := []int32{5, 70, 3, 1000, 2, 9} // two rows of three axes
		freqs, axis := []float32{1, 0.5, 0.25, 0.125}, []int32{2, 0, 1, 0}
		got := make([]float32, 2*4*2)
		d.run(t, angles(got, positions, 3, freqs, axis, 2))
		for r := range 2 {
			for i, f := range freqs {
				want := make([]float32, 2)
				d.run(t, angles(want, positions[r*3+int(axis[i]):][:1], 1, []float32{f}, nil, 2))
				sameBits(t, shape(r, i), got[(r*4+i)*2:(r*4+i)*2+2], want)
			}
		}
	})
}

// TestRotateFromTurnsTheTail as if it were a head of its own, and passes what lies before and behind through.
func TestRotateFromTurnsTheTail(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(63, 1))
		const rows, heads, before, pairs, behind = 3, 5, 7, 4, 2
		const dim = before + 2*pairs + behind
		x, angles := random(rng, rows*heads*dim), random(rng, rows*pairs*2)
		rotate := func(y, x, angles []float32, heads, dim, first int, style int32) *cuda.Op {
			return cuda.NewOp(cuda.OpRotate).Gives(f32(y, heads, dim)).Takes(f32(x, heads, dim), f32(angles, pairs, 2)).At(int32(first), style)
		}
		for style := range int32(2) {
			got := make([]float32, len(x))
			d.run(t, rotate(got, x, angles, heads, dim, before, style))
			for i := range rows * heads {
				head, turned := x[i*dim:(i+1)*dim], make([]float32, 2*pairs)
				d.run(t, rotate(turned, head[before:before+2*pairs], angles[i/heads*pairs*2:][:pairs*2], 1, 2*pairs, 0, style))
				y := got[i*dim : (i+1)*dim]
				sameBits(t, "before", y[:before], head[:before])
				sameBits(t, "turned", y[before:before+2*pairs], turned)
				sameBits(t, "behind", y[before+2*pairs:], head[before+2*pairs:])
			}
		}
	})
}
