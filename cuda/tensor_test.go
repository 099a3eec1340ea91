package cuda_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// TestViewsShareMemory: heads, flat and slice look at the same elements under other shapes.
func TestViewsShareMemory(t *testing.T) {
	data := make([]float32, 24)
	for i := range data {
		data[i] = float32(i)
	}
	x, err := cuda.FromF32(data, 4, 6)
	must(t, err)
	h := x.Heads(2)
	if h.NDim() != 3 || h.Dim(0) != 4 || h.Dim(1) != 3 || h.Dim(2) != 2 || h.Dim(-1) != 2 || h.Dim(3) != 0 || h.Dim(-4) != 0 {
		t.Errorf("heads of 2: %v", h)
	}
	if !h.Flat().SameShape(x) {
		t.Errorf("flat is not the inverse of heads: %v", h.Flat())
	}
	mid := h.Slice(1, 3)
	if mid.Rows() != 2 || !slices.Equal(mid.F32(), data[6:18]) {
		t.Errorf("rows 1 and 2: %v", mid.F32())
	}
	mid.F32()[0] = -1
	if data[6] != -1 {
		t.Error("a view has memory of its own")
	}
	if x.Bytes() != 96 || x.Len() != 24 || x.Place() != "cpu" || x.Device() != nil || len(x.Raw()) != 96 || x.I32() != nil {
		t.Errorf("a tensor of 24 floats: %v, %d bytes", x, x.Bytes())
	}
	if h.Slice(4, 4).Len() != 0 || h.Slice(4, 4).IsZero() {
		t.Error("no rows are a tensor too")
	}
}

// TestViewsThatDoNotFitAreNoTensors: they never panic, and what is made of them is none either.
func TestViewsThatDoNotFitAreNoTensors(t *testing.T) {
	x, err := cuda.FromF32(make([]float32, 24), 4, 6)
	must(t, err)
	for name, v := range map[string]cuda.Tensor{
		"heads of 4 from 6": x.Heads(4), "heads of 0": x.Heads(0), "heads twice": x.Heads(2).Heads(1), "flat of two": x.Flat(),
		"slice past the end": x.Slice(0, 5), "slice backwards": x.Slice(3, 2), "slice before": x.Slice(-1, 2),
		"view of nothing": cuda.Tensor{}.Heads(2).Flat().Slice(0, 0),
	} {
		if !v.IsZero() || v.Len() != 0 || v.Rows() != 0 || v.F32() != nil || v.Heads(1).Dim(0) != 0 || v.String() != "nothing" {
			t.Errorf("%s: %v", name, v)
		}
	}
}

// TestHostTensorChecksItsBytes: shapes that overflow, do not match or make no sense.
func TestHostTensorChecksItsBytes(t *testing.T) {
	big := math.MaxInt32
	for _, c := range []struct {
		bytes int
		dtype cuda.DType
		shape []int
		want  string
	}{
		{8, cuda.F32, []int{3}, "has 12 bytes, not 8"},
		{0, cuda.F32, []int{big, big, big, big}, "impossible"},
		{0, cuda.F32, []int{-1, 0}, "impossible"},
		{0, cuda.F32, []int{big + 1}, "impossible"},
		{0, cuda.F32, nil, "1 to 4 dimensions"},
		{0, cuda.F32, []int{1, 1, 1, 1, 0}, "1 to 4 dimensions"},
		{0, cuda.DType(200), []int{0}, "dtype 200"},
	} {
		x, err := cuda.HostTensor(make([]byte, c.bytes), c.dtype, c.shape...)
		if err == nil || !strings.Contains(err.Error(), c.want) || !x.IsZero() {
			t.Errorf("%v of %v: %v, %v", c.dtype, c.shape, x, err)
		}
	}
	x, err := cuda.HostTensor(make([]byte, 6), cuda.BF16, 3, 1)
	must(t, err)
	if x.String() != "bf16 (3, 1) on cpu" || x.F32() != nil {
		t.Errorf("%v", x)
	}
}

// FuzzHostTensor: no shape makes a tensor that reaches beyond its bytes, and no view does.
func FuzzHostTensor(f *testing.F) {
	f.Add(24, uint8(0), 2, 3, 1, 2, 0, 1)
	f.Add(0, uint8(1), 0, 0, 0, 1, 0, 0)
	f.Add(16, uint8(4), math.MaxInt32, math.MaxInt32, math.MaxInt32, 1, 1, 2)
	f.Fuzz(func(t *testing.T, bytes int, dtype uint8, a, b, c, heads, from, to int) {
		data := make([]byte, min(max(bytes, 0), 1<<16))
		x, err := cuda.HostTensor(data, cuda.DType(dtype), a, b, c)
		if err != nil {
			return
		}
		flat := x.Flat()
		for _, v := range []cuda.Tensor{x, flat, flat.Heads(heads), x.Slice(from, to)} {
			if raw := v.Raw(); len(raw) > len(data) || v.Len() < 0 {
				t.Fatalf("a view of %d bytes has %d", len(data), len(raw))
			}
		}
	})
}

// TestDeviceTensorStaysInItsMemory.
func TestDeviceTensorStaysInItsMemory(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	m, err := c.Alloc(100, cuda.ForWeights)
	must(t, err)
	defer c.Free(m)
	x, err := cuda.DeviceTensor(c, m, 20, cuda.F32, 4, 5)
	must(t, err)
	if x.Device() != nil || len(x.F32()) != 20 || x.F32()[19] != 0 {
		t.Errorf("%v", x)
	}
	for _, offset := range []int64{-1, 24, 101, math.MaxInt64} {
		if _, err := cuda.DeviceTensor(c, m, offset, cuda.F32, 4, 5); err == nil {
			t.Errorf("80 bytes at %d of 100 were accepted", offset)
		}
	}
}
