package cpu_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// Products that round activations to bf16. That their rows are independent of each other is tested with all others.

// roundedSizes are rows, in, out around the borders of tiles of 16 x 32, of strips, of tasks of few rows and of many.
var roundedSizes = [][3]int{{1, 32, 16}, {1, 1, 1}, {1, 130, 67}, {2, 33, 5}, {3, 64, 31}, {4, 9, 17}, {5, 513, 33}, {7, 1024, 49},
	{16, 129, 48}, {17, 40, 61}, {33, 260, 97}, {97, 24, 65}, {18, 1100, 70}, {100, 515, 3}, {290, 70, 33}, {193, 7, 33}}

// TestRoundedProductsAreNearTheSpecification: activations lose 2^-8 of their size at most. A sum of the pairs goes through 128 of them, or
// 256, and there is one for each 128 columns; what is subnormal counts as nothing.
func TestRoundedProductsAreNearTheSpecification(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(61, 1))
		for _, layout := range []string{"f32", "bf16", "f16", "f8e4m3", "bf16x16"} {
			for _, s := range roundedSizes {
				rows, in, out := s[0], s[1], s[2]
				x, w := random(rng, rows*in), randomMatrix(rng, layout, out, in)
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				d.run(t, matmul(got, x, w))
				spec.MatMul(want, x, w)
				exact, terms := matmulBound(x, w), float64(2*(in/8+1)+4)
				within(t, layout+shape(s[:]...), got, want, func(i int) float64 {
					return exact(i) * (1 + (1.0/256+eps*float64(260+in/128))/(eps*terms)) // the same sum of sizes by other roundings
				})
			}
		}
	})
}

// TestProductsOfSmallWholeNumbersAreExact, as bf16 holds them and no sum of them rounds: every weight meets its own activation.
func TestProductsOfSmallWholeNumbersAreExact(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(61, 2))
		for _, layout := range []string{"f32", "bf16", "f16", "f8e4m3", "bf16x16"} {
			for _, s := range roundedSizes {
				rows, in, out := s[0], s[1], s[2]
				x, w := make([]float32, rows*in), wholeNumbers(rng, layout, out, in)
				for i := range x {
					x[i] = float32(rng.IntN(257) - 128)
				}
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				d.run(t, matmul(got, x, w))
				spec.MatMul(want, x, w)
				sameBits(t, layout+shape(s[:]...), got, want)
			}
		}
	})
}

// wholeNumbers is a matrix of -8 to 8; of 8-bit floats with a factor of 2 or 4 for each block of the published size.
func wholeNumbers(rng *rand.Rand, layout string, rows, cols int) cuda.Matrix {
	switch layout {
	case packed.Name:
		return pack(wholeNumbers(rng, "bf16", rows, cols))
	case "f8e4m3":
		w := blockScaled(128, 128, cuda.F32, rows, cols)
		for i := range w.Plane(0).Raw() {
			w.Plane(0).Raw()[i] = []byte{0, 0x38, 0x40, 0x44, 0xb8, 0xc0, 0xc8, 0x50}[rng.IntN(8)]
		}
		for at := w.Plane(1).Raw(); len(at) > 0; at = at[4:] {
			binary.LittleEndian.PutUint32(at, math.Float32bits([]float32{2, 4}[rng.IntN(2)]))
		}
		return w
	}
	typ := plain[layout]
	b := make([]byte, rows*cols*typ.Size()+1)[1:]
	for i := range rows * cols {
		v := rng.IntN(17) - 8
		switch at := b[i*typ.Size():]; typ {
		case cuda.F32:
			binary.LittleEndian.PutUint32(at, math.Float32bits(float32(v)))
		case cuda.BF16:
			binary.LittleEndian.PutUint16(at, uint16(math.Float32bits(float32(v))>>16))
		case cuda.F16:
			half := []uint16{0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800}
			binary.LittleEndian.PutUint16(at, half[max(v, -v)]|uint16(uint32(v)>>31<<15))
		}
	}
	return hostMatrix(cuda.Plain(typ), rows, cols, b)
}

// TestEveryByteIsAFactor: all 8-bit floats, the subnormal ones among them, are multiplied as what they are.
func TestEveryByteIsAFactor(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		w := blockScaled(128, 128, cuda.F32, 256, 1)
		for i := range w.Plane(0).Raw() {
			w.Plane(0).Raw()[i] = byte(i)
		}
		binary.LittleEndian.PutUint32(w.Plane(1).Raw(), math.Float32bits(1))
		binary.LittleEndian.PutUint32(w.Plane(1).Raw()[4:], math.Float32bits(1))
		got := make([]float32, 256)
		d.run(t, matmul(got, []float32{1}, w))
		for i, v := range got {
			if want := float32(fp8Table(byte(i))); v != want && (v == v || want == want) {
				t.Errorf("%#02x is %g, not %g", i, v, want)
			}
		}
	})
}
