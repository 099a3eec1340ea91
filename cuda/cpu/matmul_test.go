package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

func matmul(y, x []float32, w cuda.Matrix) *cuda.Op {
	return cuda.NewOp(cuda.OpMatMul).Gives(f32(y, w.Rows)).Takes(f32(x, w.Cols)).By(w)
}

// matmulBound is what rounding can do to a sum of products. With W lanes an element takes in/W fused steps, two roundings
// each where they are not fused, and the lanes log2(W) more; W is 8 where they are not, 4 or more where they are. The tail counts as a step.
func matmulBound(x []float32, w cuda.Matrix) func(i int) float64 {
	elements := spec.Elements(w)
	return func(i int) float64 {
		r, o, sum := i/w.Rows, i%w.Rows, 0.0
		for k := range w.Cols {
			sum += math.Abs(float64(x[r*w.Cols+k]) * float64(elements[o*w.Cols+k]))
		}
		return eps*sum*float64(2*(w.Cols/8+1)+4) + 1e-44
	}
}

// TestMatMulMatchesTheSpecification goes through the borders of every blocking: rows around the few and the many, outs
// around a panel and a task, k around a vector and a depth.
func TestMatMulMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(1, 1))
		for _, layout := range layouts {
			for _, s := range [][3]int{{1, 8, 8}, {1, 1, 1}, {1, 130, 67}, {2, 33, 5}, {3, 64, 31}, {4, 9, 17}, {5, 513, 33},
				{7, 1024, 36}, {14, 40, 61}, {17, 40, 61}, {97, 24, 65}, {18, 1100, 70}, {100, 515, 3}, {193, 7, 33}} {
				rows, in, out := s[0], s[1], s[2]
				x, w := random(rng, rows*in), randomMatrix(rng, layout, out, in)
				got, want := make([]float32, rows*out), make([]float32, rows*out)
				d.run(t, matmul(got, x, w))
				spec.MatMul(want, x, w)
				within(t, layout+shape(s[:]...), got, want, matmulBound(x, w))
			}
		}
	})
}

// TestMatMulOverNothingIsZero, with few rows and with many.
func TestMatMulOverNothingIsZero(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, rows := range []int{1, 16, 17, 100} {
			got, want := random(rand.New(rand.NewPCG(1, 2)), rows*33), make([]float32, rows*33)
			x, err := cuda.FromF32(nil, rows, 0)
			must(t, err)
			w := hostMatrix(cuda.Plain(cuda.F32), 33, 0, nil)
			d.run(t, cuda.NewOp(cuda.OpMatMul).Gives(f32(got, 33)).Takes(x).By(w))
			sameBits(t, shape(rows), got, want)
		}
	})
}

// TestMatMulRowIsTheSameInAnyBatch computes rows alone, in twos, in fours and all together, on one thread and on several.
func TestMatMulRowIsTheSameInAnyBatch(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(2, 2))
		one := newDevice(t, 1, lastName(t))
		for _, layout := range layouts {
			for _, s := range [][3]int{{101, 70, 37}, {23, 1027, 70}, {199, 512, 9}} {
				rows, in, out := s[0], s[1], s[2]
				x, w := random(rng, rows*in), randomMatrix(rng, layout, out, in)
				all := make([]float32, rows*out)
				d.run(t, matmul(all, x, w))
				for _, batch := range []int{1, 2, 3, 4, 7, 16, 17, 98, rows} {
					for _, on := range []*device{d, one} {
						got := make([]float32, rows*out)
						for r := 0; r < rows; r += batch {
							n := min(batch, rows-r)
							on.run(t, matmul(got[r*out:(r+n)*out], x[r*in:(r+n)*in], w))
						}
						sameBits(t, layout+shape(s[:]...)+" in batches of "+shape(batch), got, all)
					}
				}
			}
		}
	})
}

// TestMatMulOfNoRows computes nothing, and goes well.
func TestMatMulOfNoRows(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		for _, layout := range layouts {
			d.run(t, matmul(nil, nil, randomMatrix(rand.New(rand.NewPCG(3, 3)), layout, 2, 4)))
		}
	})
}

// TestWhatLiesBehindARowDoesNotCount has no number lie behind every row, of x and of weights, where a vector that is too long would
// find it: 0 times it is no number either. Every third row is such a neighbour itself, so that the place in which one was widened is
// used again for one that is good.
func TestWhatLiesBehindARowDoesNotCount(t *testing.T) {
	nan := float32(math.NaN())
	eachNumerics(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(4, 4))
		for _, layout := range layouts {
			for _, s := range [][3]int{{1, 1, 9}, {3, 7, 9}, {40, 15, 17}, {3, 130, 9}, {40, 130, 21}, {1, 515, 9}, {40, 515, 21}, {40, 1025, 9}} {
				rows, in, out := s[0], s[1], s[2]
				x, w := random(rng, rows*in), randomMatrix(rng, layout, out, in)
				for i := range rows * in {
					if i/in%3 == 1 {
						x[i] = nan
					}
				}
				for i := range out * in {
					if i/in%3 == 1 {
						poison(w, i)
					}
				}
				y := make([]float32, rows*out)
				d.run(t, matmul(y, x, w))
				for i, v := range y {
					if bad := i/out%3 == 1 || i%out%3 == 1; math.IsNaN(float64(v)) != bad {
						t.Fatalf("%s%s: row %d, out %d is %g", layout, shape(s[:]...), i/out, i%out, v)
					}
				}
			}
		}
	})
}
