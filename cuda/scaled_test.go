package cuda_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
)

func host(t *testing.T, d cuda.DType, shape ...int) cuda.Tensor {
	t.Helper()
	n := d.Size()
	for _, s := range shape {
		n *= s
	}
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7+3) & 0x77 // no number that is none
	}
	x, err := cuda.HostTensor(data, d, shape...)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestScalesMustFitTheirMatrix(t *testing.T) {
	w := host(t, cuda.F8E4M3, 130, 40)
	for _, tt := range []struct {
		w, factors cuda.Tensor
		rows, cols int
		want       string
	}{
		{w, host(t, cuda.F32, 2, 1), 128, 128, ""},
		{w, host(t, cuda.BF16, 130, 2), 1, 32, ""},
		{w, host(t, cuda.F32, 1, 1), 128, 128, "not (2, 1)"},
		{w, host(t, cuda.F32, 2), 128, 128, "a matrix of f32 or bf16"},
		{w, host(t, cuda.F16, 2, 1), 128, 128, "a matrix of f32 or bf16"},
		{w, host(t, cuda.F32, 2, 1), 0, 128, "blocks of 0 x 128"},
		{w, cuda.Tensor{}, 128, 128, "a matrix of f32 or bf16"},
		{host(t, cuda.F8E4M3, 130), host(t, cuda.F32, 2, 1), 128, 128, "a matrix of f8e4m3"},
		{host(t, cuda.BF16, 130, 40), host(t, cuda.F32, 2, 1), 128, 128, "a matrix of f8e4m3"},
	} {
		got, err := tt.w.Scaled(tt.factors, tt.rows, tt.cols)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !got.IsZero()) {
			t.Errorf("%v by %v in %d x %d: %v, want %q", tt.w, tt.factors, tt.rows, tt.cols, err, tt.want)
		}
	}
}

// A part of a scaled matrix would need a part of its scales; a view that cannot have them is none.
func TestScaledMatricesHaveNoViews(t *testing.T) {
	w, err := host(t, cuda.F8E4M3, 4, 6).Scaled(host(t, cuda.F32, 1, 1), 128, 128)
	if err != nil {
		t.Fatal(err)
	}
	if !w.Slice(0, 2).IsZero() || !w.Heads(3).IsZero() {
		t.Error("a view of a scaled matrix was given")
	}
	if factors, rows, cols := w.Scale(); factors.IsZero() || rows != 128 || cols != 128 {
		t.Errorf("scale %v, %d x %d", factors, rows, cols)
	}
}

// An FP8 weight is laid out on a device with its scales, copied, and computed with there: the bits of the CPU. What has lost its
// scales is refused.
func TestScaledWeightsMove(t *testing.T) {
	c := cuda.NewCPU(1)
	defer c.Close()
	d := far.New("far", 0, 0, 0, c)
	m := &cuda.Module{ID: "layers.0"}
	w := cuda.NewWeight(130, 40)
	matrix, err := host(t, cuda.F8E4M3, 130, 40).Scaled(host(t, cuda.BF16, 2, 1), 128, 128)
	if err != nil {
		t.Fatal(err)
	}
	w.Bind("w", m, matrix)
	if w.Bytes() != 130*40+4 || m.WeightBytes() != w.Bytes() || w.DeviceBytes() != 5248+64 {
		t.Fatalf("%d bytes, %d in the module, %d on a device", w.Bytes(), m.WeightBytes(), w.DeviceBytes())
	}
	mem, err := d.Alloc(64+w.DeviceBytes(), cuda.ForWeights)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Free(mem)
	there, err := w.Lay(d, mem, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := cuda.CopyWeight(d, there, w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Lay(d, mem, 128); err == nil {
		t.Error("a weight was laid over the end of its memory")
	}
	w.Put(1, there)

	s := cuda.NewStep([]cuda.Device{c, d}, []*cuda.Module{m}, nil)
	table := cuda.NewWeight(5, 40)
	table.Bind("table", nil, host(t, cuda.BF16, 5, 40))
	multiply := func() (cuda.Tensor, error) {
		s.Begin()
		x := s.Embed(s.Input([]int32{4, 0, 2}), table)
		s.EnterLayer(0)
		y := s.ToHost(s.MatMul(x, w))
		return y, s.End()
	}
	for dev := range 2 {
		if err := s.Reserve(dev, cuda.Sizes{Step: 1 << 16, Even: 1 << 16, Odd: 1 << 16}); err != nil {
			t.Fatal(err)
		}
		defer s.Release(dev)
	}
	var on [2][]float32
	for dev := range on {
		m.Settle(dev)
		y, err := multiply()
		if err != nil {
			t.Fatal(err)
		}
		on[dev] = slices.Clone(y.F32())
	}
	if len(on[0]) != 3*130 || !slices.Equal(on[0], on[1]) {
		t.Errorf("on the cpu %v\non far %v", on[0], on[1])
	}
	bare, err := cuda.DeviceTensor(d, mem, 64, cuda.F8E4M3, 130, 40)
	if err != nil {
		t.Fatal(err)
	}
	w.Put(1, bare)
	if _, err := multiply(); err == nil || !strings.Contains(err.Error(), "matmul by w: a matrix of f8e4m3 needs block scales") {
		t.Errorf("without its scales: %v", err)
	}
}
