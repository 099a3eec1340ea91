package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// hardLogits are rows with ties, with infinities, with both zeros, and with elements that are no numbers, up to all of them.
func hardLogits(rng *rand.Rand, n int) []float32 {
	nan := float32(math.NaN())
	kinds := []func(i int) float32{
		func(int) float32 { return float32(rng.NormFloat64()) },
		func(int) float32 { return float32(rng.IntN(3)) },
		func(int) float32 { return -float32(rng.ExpFloat64()) },
		func(i int) float32 { return float32(math.Copysign(0, float64(i%2)-0.5)) },
		func(int) float32 { return float32(math.Inf(-1)) },
		func(i int) float32 { return []float32{float32(math.Inf(1)), 1, nan}[rng.IntN(3)] },
		func(int) float32 { return nan },
		func(i int) float32 { return map[bool]float32{true: 5, false: nan}[i == n-1] },
	}
	var x []float32
	for _, kind := range kinds {
		for i := range n {
			x = append(x, kind(i))
		}
	}
	return x
}

func TestArgmaxIsTheFirstOfTheLargest(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		for _, n := range []int{1, 2, 37, 1024, 4096, 4097, 20_001} {
			x := hardLogits(newRand(20), n)
			rows := len(x) / n
			index, values, wantI, wantV := make([]int32, rows), filled(rows), make([]int32, rows), filled(rows)
			m.Run(t, cuda.NewOp(cuda.OpArgmax).Gives(I32(index), F32(values)).Takes(F32(x, n)))
			spec.Argmax(wantI, wantV, x, n)
			sameChoice(t, fmt.Sprint("argmax of ", n), index, wantI, values, wantV)
			clear(index)
			m.Run(t, cuda.NewOp(cuda.OpArgmax).Gives(I32(index), cuda.Tensor{}).Takes(F32(x, n)))
			sameChoice(t, fmt.Sprint("argmax without values of ", n), index, wantI, wantV, wantV)
		}
	})
}

func TestTopKIsInOrder(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		for _, c := range [][2]int{{1, 1}, {37, 5}, {37, 37}, {4097, 20}, {12_500, 1100}, {9000, 3000}, {5000, 5000}} {
			n, k := c[0], c[1]
			x := hardLogits(newRand(21), n)
			if n > 5000 {
				x = x[n : 3*n]
			}
			rows := len(x) / n
			index, values, wantI, wantV := make([]int32, rows*k), filled(rows*k), make([]int32, rows*k), filled(rows*k)
			m.Run(t, cuda.NewOp(cuda.OpTopK).Gives(I32(index, k), F32(values, k)).Takes(F32(x, n)))
			spec.TopK(wantI, wantV, x, n, k)
			sameChoice(t, fmt.Sprint("the best of ", c), index, wantI, values, wantV)
		}
		x := filled(40_000)
		if m.Do(cuda.NewOp(cuda.OpTopK).Gives(I32(make([]int32, 20_000), 20_000), F32(filled(20_000), 20_000)).Takes(F32(x, 40_000))) == nil {
			t.Error("more of the best than a block sorts were promised")
		}
	})
}

func sameChoice(t *testing.T, what string, index, wantI []int32, values, wantV []float32) {
	t.Helper()
	if !slices.Equal(index, wantI) {
		t.Fatalf("%s: %v, not %v", what, index, wantI)
	}
	for i, v := range wantV {
		if math.Float32bits(values[i]) != math.Float32bits(v) && (v == v || values[i] == values[i]) {
			t.Fatalf("%s: value %d is %g, not %g", what, i, values[i], v)
		}
	}
}
