package cpu_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// blockShapes are the published one, narrow ones, ones whose borders lie inside a vector, and one larger than the matrix.
var blockShapes = [][2]int{{128, 128}, {1, 128}, {16, 8}, {3, 24}, {5, 3}, {2, 1}, {7, 100}, {4000, 4000}}

// randomF8 holds all elements that are numbers, with factors around 1/448 and a few huge ones, in f32 or bf16, neither at an
// address that is aligned.
func randomF8(rng *rand.Rand, rows, cols int) cuda.Matrix {
	blocks, factors := blockShapes[rng.IntN(len(blockShapes))], []cuda.DType{cuda.F32, cuda.BF16}[rng.IntN(2)]
	w := blockScaled(blocks[0], blocks[1], factors, rows, cols)
	elements, at := w.Plane(0).Raw(), w.Plane(1).Raw()
	for i := range elements {
		elements[i] = byte(rng.UintN(0x7f)) | byte(rng.UintN(2))<<7
	}
	for ; len(at) > 0; at = at[factors.Size():] {
		factor := (0.5 + rng.Float64()) / 448
		if rng.IntN(50) == 0 {
			factor *= 1 << 20 // larger than any that is published
		}
		if v := math.Float32bits(float32(factor)); factors == cuda.F32 {
			binary.LittleEndian.PutUint32(at, v)
		} else {
			binary.LittleEndian.PutUint16(at, uint16(v>>16))
		}
	}
	return w
}

// blockScaled is a matrix of zeros in 8-bit floats, to be filled.
func blockScaled(blockRows, blockCols int, factors cuda.DType, rows, cols int) cuda.Matrix {
	l, err := cuda.BlockScaled(blockRows, blockCols, factors)
	if err != nil {
		panic(err) // a mistake of the test's
	}
	n := (rows + blockRows - 1) / blockRows * ((cols + blockCols - 1) / blockCols) * factors.Size()
	return hostMatrix(l, rows, cols, make([]byte, rows*cols+1)[1:], make([]byte, n+1)[1:])
}

// fp8Table is the definition of the format written out, as the standard has it: sign, 4 bits of exponent, 3 of mantissa.
func fp8Table(b byte) float64 {
	sign := 1 - 2*float64(b>>7)
	switch exponent, mantissa := int(b>>3&15), float64(b&7)/8; {
	case b&0x7f == 0x7f:
		return math.NaN()
	case exponent == 0:
		return sign * mantissa / 64
	default:
		return sign * (1 + mantissa) * math.Pow(2, float64(exponent-7))
	}
}

// TestEveryByteIsWidenedExactly goes through all 256 patterns, by the specification and by every table, with a factor that
// rounds and one that is as large as factors get.
func TestEveryByteIsWidenedExactly(t *testing.T) {
	all := make([]byte, 2*256) // a row of all, and one without those that are no numbers, which takes another way
	for i := range all {
		if all[i] = byte(i); i >= 256 && i&0x7f == 0x7f {
			all[i] = 0
		}
	}
	eachTable(t, func(t *testing.T, d *device) {
		for _, factor := range []float32{1, 0.0123456789, -3, 0x1p100, 0x1p-126} {
			m := blockScaled(128, 256, cuda.F32, 2, 256)
			copy(m.Plane(0).Raw(), all)
			binary.LittleEndian.PutUint32(m.Plane(1).Raw(), math.Float32bits(factor))
			got := make([]float32, len(all))
			d.run(t, embed(got, []int32{0, 1}, m))
			for i, v := range got {
				want := float32(fp8Table(all[i])) * factor
				if spec := spec.Element(m, i); !same(v, want) || !same(spec, want) {
					t.Fatalf("%#02x times %g: %g, the specification says %g, the standard %g", all[i], factor, v, spec, want)
				}
			}
		}
	})
}

// TestFP8IsTheSameMatrixInF32 multiplies by weights in FP8 and by the same weights dequantized before: equal bits, few rows
// and many, whatever the blocks.
func TestFP8IsTheSameMatrixInF32(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(21, 1))
		for range 40 {
			rows, in, out := []int{1, 2, 3, 5, 16, 17, 98, 100}[rng.IntN(8)], 1+rng.IntN(1100), 1+rng.IntN(70)
			x, w := random(rng, rows*in), randomF8(rng, out, in)
			wide := make([]float32, out*in)
			for i := range wide {
				wide[i] = spec.Element(w, i)
			}
			got, want := make([]float32, rows*out), make([]float32, rows*out)
			d.run(t, matmul(got, x, w))
			d.run(t, matmul(want, x, matrixOf(wide, cuda.F32, out, in)))
			sameBits(t, shape(rows, in, out, w.Layout.Planes[1].Rows, w.Layout.Planes[1].Cols), got, want)
		}
	})
}

// TestHugeFactorsStayFinite: factors around and far above the largest that the fast way can take, in blocks that it would take, alone
// and beside small ones.
func TestHugeFactorsStayFinite(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(21, 5))
		for _, huge := range []float32{127.5, 128, 2340, 0x1p60} {
			for _, rows := range []int{1, 2, 3, 4, 40} {
				const in, out = 384, 9
				x, w := random(rng, rows*in), blockScaled(1, 128, cuda.F32, out, in)
				copy(w.Plane(0).Raw(), randomMatrix(rng, "f8e4m3", out, in).Plane(0).Raw())
				factors, wide := w.Plane(1).Raw(), make([]float32, out*in)
				for ; len(factors) > 0; factors = factors[4:] {
					binary.LittleEndian.PutUint32(factors, math.Float32bits([]float32{1.0 / 448, -huge, huge}[rng.IntN(3)]))
				}
				for i := range wide {
					wide[i] = spec.Element(w, i)
				}
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				d.run(t, matmul(got, x, w))
				d.run(t, matmul(want, x, matrixOf(wide, cuda.F32, out, in)))
				sameBits(t, shape(rows, in, out), got, want)
			}
		}
	})
}

// TestFP8RowsAreLookedUp as they are widened, blocks across rows included.
func TestFP8RowsAreLookedUp(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(21, 2))
		for range 20 {
			table, tokens := randomF8(rng, 140, 1+rng.IntN(300)), []int32{139, 0, 3, 3, 127, 128}
			got, want := make([]float32, len(tokens)*table.Cols), make([]float32, len(tokens)*table.Cols)
			d.run(t, embed(got, tokens, table))
			spec.Embed(want, tokens, table)
			sameBits(t, shape(table.Cols, table.Layout.Planes[1].Rows, table.Layout.Planes[1].Cols), got, want)
		}
	})
}

// TestNotANumberStaysSo: a broken weight must not become 480.
func TestNotANumberStaysSo(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(21, 3))
		for _, rows := range []int{1, 4, 40} {
			w := randomF8(rng, 9, 130)
			poison(w, 4*130+77)
			y := make([]float32, rows*9)
			d.run(t, matmul(y, random(rng, rows*130), w))
			for i, v := range y {
				if math.IsNaN(float64(v)) != (i%9 == 4) {
					t.Errorf("%d rows: out %d is %g", rows, i%9, v)
				}
			}
		}
	})
}
