package cpu_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// randomCodes is a matrix of codes at random, the greatest of both signs among them, with factors near one part in a hundred.
func randomCodes(rng *rand.Rand, layout string, rows, cols int) cuda.Matrix {
	l := cuda.Quantised(layout)
	blocks := (rows + 15) / 16 * ((cols + 127) / 128)
	codes, factors := make([]byte, blocks*l.Planes[0].Bytes), make([]byte, blocks*l.Planes[1].Bytes)
	for i := range codes {
		switch codes[i] = byte(rng.UintN(256)); {
		case layout == cuda.Q8 && codes[i] == 0x80, layout == cuda.Q8 && i%7 == 0:
			codes[i] = []byte{127, 0x81}[rng.UintN(2)]
		case i%7 == 0:
			codes[i] = []byte{0, 0xff}[rng.UintN(2)]
		}
	}
	for i := range factors {
		factors[i] = byte(1+rng.UintN(15)) | byte(1+rng.UintN(15))<<4 // the whole numbers of q4
	}
	for b := range blocks {
		for r := range 16 {
			half := math.Float32bits(float32(rng.NormFloat64())/100) >> 16
			factors[b*l.Planes[1].Bytes+2*r], factors[b*l.Planes[1].Bytes+2*r+1] = byte(half), byte(half>>8)
		}
	}
	return hostMatrix(l, rows, cols, codes, factors)
}

// codedLayouts are those whose products with activations in codes are told to the bit.
var codedLayouts = []string{cuda.Q8, cuda.Q4, cuda.Q4K, cuda.Q6K}

// factorAt is the bytes of the factor of an element.
func factorAt(w cuda.Matrix, row, col int) []byte {
	if at := kFactors[w.Layout.Name]; at > 0 {
		return kBlock(w, row, col)[at+row%16*2:][:2]
	}
	block := row/16*((w.Cols+127)/128) + col/128
	return w.Plane(1).Raw()[block*w.Layout.Planes[1].Bytes+row%16*2:][:2]
}

// codedSizes are rows, in, out around the borders of groups of outs, of blocks of columns and of their quarters, few rows and many.
var codedSizes = [][3]int{{1, 128, 16}, {1, 1, 1}, {1, 130, 67}, {2, 33, 5}, {3, 64, 31}, {4, 9, 17}, {5, 513, 33}, {7, 1024, 36},
	{11, 40, 61}, {13, 260, 97}, {17, 40, 61}, {97, 24, 65}, {18, 1100, 70}, {100, 515, 3}, {193, 7, 33}, {1, 1024, 200}}

// TestCodesAreMultipliedBitForBit: with fast numerics every table gives what the specification gives, whatever the sizes.
func TestCodesAreMultipliedBitForBit(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(71, 1))
		for _, layout := range codedLayouts {
			for _, s := range codedSizes {
				rows, in, out := s[0], s[1], s[2]
				x, w := random(rng, rows*in), randomMatrix(rng, layout, out, in)
				x[0], x[len(x)-1] = 0, -17
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				d.run(t, matmul(got, x, w))
				spec.MatMulCoded(want, x, w)
				sameBits(t, layout+shape(s[:]...), got, want)
			}
		}
	})
}

// TestWhatIsNoNumberIsNotCoded: a row with one, or with an infinity, gives no numbers, and its neighbours are as they were.
func TestWhatIsNoNumberIsNotCoded(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(71, 2))
		for _, layout := range codedLayouts {
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				const rows, in, out = 6, 200, 33
				x, w := random(rng, rows*in), randomMatrix(rng, layout, out, in)
				x[4*in+150] = float32(bad)
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				d.run(t, matmul(got, x, w))
				spec.MatMulCoded(want, x, w)
				for i, v := range got {
					if good := i/out != 4; good && math.Float32bits(v) != math.Float32bits(want[i]) || !good && !math.IsNaN(float64(v)) {
						t.Fatalf("%s, %g: row %d is %g", layout, bad, i/out, v)
					}
				}
			}
		}
	})
}

// TestSmallNumbersAreCoded down to those that become zeros, and up to the largest.
func TestSmallNumbersAreCoded(t *testing.T) {
	eachFast(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(71, 3))
		for _, layout := range codedLayouts {
			w := randomMatrix(rng, layout, 20, 130)
			for _, size := range []float32{1e-45, 1e-40, 1.2e-38, 3e-37, 8e-37, 1e-30, 1e30, 3e38} {
				x := make([]float32, 130)
				x[3], x[7], x[129] = size, -size/2, size
				got, want := make([]float32, 20), make([]float32, 20)
				d.run(t, matmul(got, x, w))
				spec.MatMulCoded(want, x, w)
				sameBits(t, layout+shape(int(math.Log10(float64(size)))), got, want)
			}
		}
	})
}

// TestFillCodes: packing gives every table the same bytes, and numbers as near as the form allows: half a step of q8; of q4 what a step
// by the largest of 32 columns would lose, in the sense of squares, and a little more for its two levels.
func TestFillCodes(t *testing.T) {
	for _, layout := range []string{cuda.Q8, cuda.Q4} {
		var first []byte
		eachTable(t, func(t *testing.T, d *device) {
			rng := rand.New(rand.NewPCG(72, 1))
			for _, s := range [][2]int{{1, 1}, {16, 128}, {7, 9}, {130, 33}, {3, 1000}, {100, 515}} {
				w := randomMatrix(rng, "bf16", s[0], s[1])
				got := fill(t, d, cuda.Quantised(layout), w)
				lostWithin(t, layout+shape(s[:]...), got, w)
				if all := append(bytes.Clone(got.Plane(0).Raw()), got.Plane(1).Raw()...); s[0] == 100 && first == nil {
					first = all
				} else if s[0] == 100 && !bytes.Equal(first, all) {
					t.Errorf("%s: other bytes than those of the first table", layout)
				}
			}
		})
	}
}

// lostWithin compares codes of a matrix with the matrix, block by block of its rows.
func lostWithin(t *testing.T, what string, got, w cuda.Matrix) {
	t.Helper()
	square := func(v float64) float64 { return v * v }
	for row := range w.Rows {
		for at := 0; at < w.Cols; at += 128 {
			most, lost, limit := 0.0, 0.0, 0.0
			end := min(at+128, w.Cols)
			for c := at; c < end; c++ {
				v := float64(spec.Element(w, row*w.Cols+c))
				most = max(most, math.Abs(v))
				lost += square(v - float64(spec.Element(got, row*w.Cols+c)))
				if got.Layout.Name == cuda.Q4 && (c%32 == 31 || c == end-1) { // half a step each
					limit, most = limit+float64(c%32+1)*square(most/7/2), 0
				}
			}
			if got.Layout.Name == cuda.Q8 {
				limit = float64(end-at) * square(most/127/2)
			}
			if lost > limit*1.02 { // the factor is rounded
				t.Fatalf("%s: row %d, columns from %d: lost %g of %g", what, row, at, lost, limit)
			}
		}
	}
}

// TestFillCodesOfWhatIsNoNumber: the block of its row is none, and no other.
func TestFillCodesOfWhatIsNoNumber(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, layout := range []string{cuda.Q8, cuda.Q4} {
			w := randomMatrix(rand.New(rand.NewPCG(72, 2)), "f32", 20, 300)
			poison(w, 17*300+140)
			got := fill(t, d, cuda.Quantised(layout), w)
			for i := range 20 * 300 {
				bad := i/300 == 17 && i%300/128 == 1
				if v := float64(spec.Element(got, i)); math.IsNaN(v) != bad {
					t.Fatalf("%s: element (%d, %d) is %g", layout, i/300, i%300, v)
				}
			}
		}
	})
}
