package cuda_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// bytesFor gives n bytes, none of which is an 8-bit float that is no number.
func bytesFor(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7+3) & 0x77
	}
	return data
}

func scaled(t *testing.T, rows, cols int, factors cuda.DType) cuda.Matrix {
	t.Helper()
	l, err := cuda.BlockScaled(128, 128, factors)
	must(t, err)
	blocks := (rows + 127) / 128 * ((cols + 127) / 128)
	m, err := cuda.HostMatrix(l, rows, cols, bytesFor(rows*cols), bytesFor(blocks*factors.Size()))
	must(t, err)
	return m
}

// TestPlanesMustFitTheirMatrix: their number, their bytes, the blocks, the shape.
func TestPlanesMustFitTheirMatrix(t *testing.T) {
	for _, tt := range []struct {
		rows, cols   int // of a block
		factors      cuda.DType
		planes       [][]byte
		outs, ins    int
		want, layout string
	}{
		{128, 128, cuda.F32, [][]byte{bytesFor(130 * 40), bytesFor(8)}, 130, 40, "", ""},
		{1, 32, cuda.BF16, [][]byte{bytesFor(130 * 40), bytesFor(130 * 2 * 2)}, 130, 40, "", ""},
		{128, 128, cuda.F32, [][]byte{bytesFor(130 * 40), bytesFor(4)}, 130, 40, "plane 1 of a matrix of 130 x 40 in f8e4m3/f32 has 4 bytes, not 8", ""},
		{128, 128, cuda.F32, [][]byte{bytesFor(130 * 40)}, 130, 40, "1 planes of a matrix in f8e4m3/f32, which has 2", ""},
		{128, 128, cuda.F32, [][]byte{nil, nil}, -1, 40, "a matrix of -1 x 40 is impossible", ""},
		{128, 128, cuda.F32, [][]byte{nil, nil}, math.MaxInt32, math.MaxInt32 + 1, "is impossible", ""},
		{0, 128, cuda.F32, nil, 130, 40, "", "blocks of 0 x 128"},
		{1 << 32, 128, cuda.F32, nil, 130, 40, "", "blocks of 4294967296 x 128"}, // kernels have 32 bits for them
		{128, 128, cuda.F16, nil, 130, 40, "", "block scales are f32 or bf16, not f16"},
	} {
		l, err := cuda.BlockScaled(tt.rows, tt.cols, tt.factors)
		if tt.layout != "" {
			if err == nil || !strings.Contains(err.Error(), tt.layout) {
				t.Errorf("blocks of %d x %d: %v, want %q", tt.rows, tt.cols, err, tt.layout)
			}
			continue
		}
		must(t, err)
		m, err := cuda.HostMatrix(l, tt.outs, tt.ins, tt.planes...)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !m.IsZero()) {
			t.Errorf("%d x %d in %s: %v, want %q", tt.outs, tt.ins, l.Name, err, tt.want)
		}
	}
	if _, err := cuda.MatrixOf(cuda.Tensor{}); err == nil {
		t.Error("nothing is a matrix")
	}
	ints, err := cuda.FromI32([]int32{1, 2})
	must(t, err)
	if _, err := cuda.MatrixOf(ints); err == nil || !strings.Contains(err.Error(), "no matrix of weights") {
		t.Errorf("integers as weights: %v", err)
	}
}

// TestAMatrixIsItsTensorsRows: the last dimension is the columns.
func TestAMatrixIsItsTensorsRows(t *testing.T) {
	for want, shape := range map[string][]int{"f32 (1, 6) on cpu": {6}, "f32 (2, 3) on cpu": {2, 3}, "f32 (4, 2) on cpu": {2, 2, 2}} {
		x := tensor(t, make([]float32, product(shape)), shape...)
		m, err := cuda.MatrixOf(x)
		if err != nil || m.String() != want || m.Bytes() != x.Bytes() {
			t.Errorf("%v is %v, %v", x, m, err)
		}
	}
}

// An FP8 weight is laid out on a device with its factors, copied, and computed with there: the bits of the CPU.
func TestScaledWeightsMove(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	d := far.New("far", 0, 0, 0, c)
	m := &cuda.Module{ID: "layers.0"}
	w, file := cuda.NewWeight(130, 40), scaled(t, 130, 40, cuda.BF16)
	w.Bind("w", m, file)
	layout := d.Layout(file)
	if n := layout.DeviceBytes(130, 40); w.Bytes() != 130*40+4 || m.WeightBytes() != w.Bytes() || n != 5248+64 {
		t.Fatalf("%d bytes, %d in the module, %d on a device", w.Bytes(), m.WeightBytes(), n)
	}
	mem, err := d.Alloc(64+5248+64, cuda.ForWeights)
	must(t, err)
	defer d.Free(mem)
	there, err := layout.Lay(d, mem, 64, 130, 40)
	must(t, err)
	if _, err := layout.Lay(d, mem, 128, 130, 40); err == nil {
		t.Error("a matrix was laid over the end of its memory")
	}
	if at := uintptr(there.Plane(1).Pointer()); at%cuda.WeightAlign != 0 { // devices load them as vectors
		t.Errorf("the factors begin at %#x", at)
	}
	q := d.NewQueue()
	q.Fill(there, file)
	must(t, q.Sync())
	w.Put(1, there)
	if there.Device() != cuda.Device(d) || there.Plane(1).Device() != cuda.Device(d) || there.Plane(1).Bytes() != 4 || !there.Plane(2).IsZero() {
		t.Errorf("%v has planes %v and %v", there, there.Plane(0), there.Plane(1))
	}

	s := cuda.NewStep([]cuda.Device{c, d}, []*cuda.Module{m}, nil)
	rows, err := cuda.HostTensor(bytesFor(5*40*2), cuda.BF16, 5, 40)
	must(t, err)
	table := bind(t, "table", nil, rows)
	var on [2][]float32
	for dev := range on {
		must(t, s.Reserve(dev, cuda.Sizes{Step: 1 << 16, Even: 1 << 16, Odd: 1 << 16}))
		defer s.Release(dev)
		m.Settle(dev)
		s.Begin()
		x := s.Embed(s.Input([]int32{4, 0, 2}), table)
		s.EnterLayer(0)
		y := s.ToHost(s.MatMul(x, w))
		must(t, s.End())
		on[dev] = slices.Clone(y.F32())
	}
	if len(on[0]) != 3*130 || !slices.Equal(on[0], on[1]) {
		t.Errorf("on the cpu %v\non far %v", on[0], on[1])
	}
	q.Fill(there, scaled(t, 131, 40, cuda.BF16))
	if err := q.Sync(); err == nil || !strings.Contains(err.Error(), "cannot be filled from") {
		t.Errorf("filled from a matrix of another shape: %v", err)
	}
}

// Rows of a matrix are where they are in the whole, in each plane; where no block ends there is no cut.
func TestRowsOfAMatrix(t *testing.T) {
	l, err := cuda.BlockScaled(24, 40, cuda.F32)
	must(t, err)
	m, err := cuda.HostMatrix(l, 60, 100, bytesFor(60*100), bytesFor(3*3*4))
	must(t, err)
	q4, c := cuda.Quantised(cuda.Q4), cpu.New(1)
	defer c.Close()
	mem, err := c.Alloc(q4.DeviceBytes(60, 300), cuda.ForWeights)
	must(t, err)
	defer c.Free(mem)
	packed, err := q4.Lay(c, mem, 0, 60, 300)
	must(t, err)
	for _, tt := range []struct {
		m        cuda.Matrix
		from, to int
		offsets  []int // of planes; nil: it cannot be cut there
	}{
		{m, 0, 60, []int{0, 0}}, {m, 24, 48, []int{24 * 100, 3 * 4}}, {m, 48, 60, []int{48 * 100, 6 * 4}}, {m, 60, 60, []int{60 * 100, 2 * 3 * 4}},
		{m, 0, 16, nil}, {m, 16, 60, nil}, {m, 48, 24, nil}, {m, 0, 72, nil}, {m, -24, 24, nil}, {cuda.Matrix{}, 0, 0, nil},
		{packed, 32, 60, []int{2 * 3 * 1024, 2 * 3 * 64}}, {packed, 16, 32, []int{3 * 1024, 3 * 64}}, {packed, 24, 48, nil},
	} {
		s, err := tt.m.Slice(tt.from, tt.to)
		if (err == nil) != (tt.offsets != nil) {
			t.Errorf("rows %d to %d of %v: %v", tt.from, tt.to, tt.m, err)
		}
		if err != nil {
			continue
		}
		for i, want := range tt.offsets {
			if got := uintptr(s.Pointer(i)) - uintptr(tt.m.Pointer(i)); s.Rows != tt.to-tt.from || s.Cols != tt.m.Cols || int(got) != want {
				t.Errorf("rows %d to %d of %v: %v, plane %d at byte %d, not %d", tt.from, tt.to, tt.m, s, i, got, want)
			}
		}
	}
}
