package weights_test

import (
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Tensors of 256 GiB in all have shapes and zeros, and the test's process does not grow by them.
func TestAnOutlineHasShapesAndTakesNoMemory(t *testing.T) {
	o := weights.NewOutline(cuda.BF16)
	defer o.Close()
	before := cuda.Resident()
	for _, shape := range [][]int{{16}, {1 << 10, 64}, {1 << 20, 1 << 16}, {1 << 20, 1 << 16}, {3}, {0, 7}} {
		n := 2
		for _, d := range shape {
			n *= d
		}
		v, ok := o.Get("any", shape)
		if !ok || v.Format != "BF16" || !v.Known || v.DType != cuda.BF16 || !slices.Equal(v.Shape, shape) || len(v.Data) != n {
			t.Fatalf("%v: %s %v, %d bytes, %v", shape, v.Format, v.Shape, len(v.Data), ok)
		}
		if n > 0 && (v.Data[0] != 0 || v.Data[n-1] != 0) {
			t.Errorf("%v is not zero", shape)
		}
	}
	if grew := cuda.Resident() - before; before > 0 && grew > 64<<20 {
		t.Errorf("the process grew by %d bytes", grew)
	}
	if _, ok := o.Get("any", []int{1 << 40, 1 << 40}); ok {
		t.Error("a tensor of 2^81 bytes is there")
	}
}
