package cpu_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// hardLogits are rows of which each is hard in its own way, by their length.
func hardLogits(rng *rand.Rand, n int) []float32 {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	fill := func(f func(i int) float32) []float32 {
		row := make([]float32, n)
		for i := range row {
			row[i] = f(i)
		}
		return row
	}
	normal := func(int) float32 { return float32(rng.NormFloat64() * 5) }
	return slices.Concat(
		fill(normal),
		fill(func(int) float32 { return -inf }),
		fill(func(int) float32 { return nan }),
		fill(func(int) float32 { return 1.5 }),
		fill(func(int) float32 { return float32(rng.IntN(4)) }), // many of the largest
		fill(func(i int) float32 { return float32(i) }),         // the last is the largest
		fill(func(i int) float32 { return -float32(i) }),
		fill(func(i int) float32 { // most of them forbidden
			if i%97 == 5 {
				return normal(i)
			}
			return -inf
		}),
		fill(func(i int) float32 { // what is no number, here and there, and at the ends
			if i%3 == 0 || i == n-1 {
				return nan
			}
			return normal(i)
		}),
		fill(func(i int) float32 { // no numbers, and nothing above -inf
			if i%2 == 0 {
				return nan
			}
			return -inf
		}),
		fill(func(i int) float32 {
			if i == n/2 {
				return inf
			}
			return normal(i)
		}),
		fill(func(i int) float32 { // zeros of both signs are equal
			return float32(math.Copysign(0, float64(i%2)-0.5))
		}),
		fill(func(i int) float32 { return normal(i) * 1e30 }),
		fill(func(i int) float32 { return -1e30 - normal(i) }),
	)
}

// columns are lengths around a vector, and a vocabulary.
var columns = []int{1, 2, 7, 8, 9, 64, 1001, 151_936}

// TestArgmaxIsTheFirstOfTheLargest, also of ties, infinities and what is no number; what it is tells whether all are.
func TestArgmaxIsTheFirstOfTheLargest(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, n := range columns {
			x := hardLogits(rand.New(rand.NewPCG(81, 1)), n)
			rows := len(x) / n
			got, want := slices.Repeat([]int32{-1}, rows), make([]int32, rows)
			values, wantValues := make([]float32, rows), make([]float32, rows)
			d.run(t, cuda.NewOp(cuda.OpArgmax).Gives(i32(got), f32(values)).Takes(f32(x, n)))
			spec.Argmax(want, wantValues, x, n)
			sameInts(t, shape(n), got, want)
			for r := range got { // alone
				if !same(values[r], wantValues[r]) {
					t.Fatalf("%d, row %d: the largest is %g, not %g", n, r, values[r], wantValues[r])
				}
				one := []int32{-1}
				d.run(t, cuda.NewOp(cuda.OpArgmax).Gives(i32(one)).Takes(f32(x[r*n:(r+1)*n], n)))
				sameInts(t, "alone", one, want[r:r+1])
			}
		}
	})
}

// TestTopKIsInOrder: the largest first, of equals the first, what is no number last.
func TestTopKIsInOrder(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, n := range columns {
			x := hardLogits(rand.New(rand.NewPCG(82, 1)), n)
			rows := len(x) / n
			for _, k := range []int{1, 2, 20, 64, 1000, n} {
				if k > n || k > 1001 && n > 1001 {
					continue
				}
				index, values := slices.Repeat([]int32{-1}, rows*k), make([]float32, rows*k)
				wantIndex, wantValues := make([]int32, rows*k), make([]float32, rows*k)
				d.run(t, topK(index, values, x, n, k))
				spec.TopK(wantIndex, wantValues, x, n, k)
				for i := range index {
					if index[i] != wantIndex[i] || !same(values[i], wantValues[i]) {
						t.Fatalf("%d of %d, row %d: number %d is %g at %d, not %g at %d", k, n, i/k, i%k, values[i], index[i], wantValues[i], wantIndex[i])
					}
				}
			}
		}
	})
}

func topK(index []int32, values, x []float32, n, k int) *cuda.Op {
	return cuda.NewOp(cuda.OpTopK).Gives(i32(index, k), f32(values, k)).Takes(f32(x, n))
}
