package cpu_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// helpers_test.go is what all tests of kernels need: devices, operands made of slices, weights at random in every layout, bounds.

// device is a CPU and a queue of it.
type device struct {
	*cpu.Device
	queue cuda.Queue
}

// do runs an op and gives what the queue says of it.
func (d *device) do(op *cuda.Op) error {
	d.queue.Run(op)
	return d.queue.Sync()
}

// run is do of what must go well.
func (d *device) run(t testing.TB, op *cuda.Op) {
	t.Helper()
	must(t, d.do(op))
}

// newDevice has a table by its name, the one for fast numerics if fast comes behind that.
func newDevice(t testing.TB, threads int, table string) *device {
	t.Helper()
	name, fast := strings.CutSuffix(table, fast)
	return openDevice(t, cpu.Options{Threads: threads, Table: name, Numerics: map[bool]string{false: cpu.Exact, true: cpu.Fast}[fast]})
}

const fast = "-fast"

func openDevice(t testing.TB, o cpu.Options) *device {
	t.Helper()
	d, err := cpu.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	q := d.NewQueue()
	t.Cleanup(func() {
		q.Close()
		d.Close()
	})
	return &device{d, q}
}

// eachTable runs a test with every kernel table this machine has, each on three threads.
func eachTable(t *testing.T, f func(t *testing.T, d *device)) {
	for _, name := range cpu.Tables() {
		t.Run(name, func(t *testing.T) { f(t, newDevice(t, 3, name)) })
	}
}

// eachFast is eachTable for fast numerics.
func eachFast(t *testing.T, f func(t *testing.T, d *device)) {
	for _, name := range cpu.FastTables() {
		t.Run(name+fast, func(t *testing.T) { f(t, newDevice(t, 3, name+fast)) })
	}
}

// eachNumerics is for what holds however numbers are rounded.
func eachNumerics(t *testing.T, f func(t *testing.T, d *device)) {
	eachTable(t, f)
	eachFast(t, f)
}

// lastName is the kernel table of a subtest of eachTable.
func lastName(t *testing.T) string { return path.Base(t.Name()) }

// ---- operands

// f32 views a slice as a tensor whose first dimension is as large as the others leave it.
func f32(x []float32, dims ...int) cuda.Tensor { return view(bytesOf(x), cuda.F32, dims) }

// bf16 is f32 for the upper halves of floats.
func bf16(x []uint16, dims ...int) cuda.Tensor { return view(bytesOf(x), cuda.BF16, dims) }

// i32 is f32 for integers.
func i32(x []int32, dims ...int) cuda.Tensor { return view(bytesOf(x), cuda.I32, dims) }

func view(data []byte, d cuda.DType, dims []int) cuda.Tensor {
	each := d.Size()
	for _, n := range dims {
		each *= n
	}
	t, err := cuda.HostTensor(data, d, append([]int{len(data) / max(each, 1)}, dims...)...)
	if err != nil {
		panic(err) // a mistake of the test's
	}
	return t
}

func bytesOf[E any](x []E) []byte {
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(e)))
}

// pages are the operands that address rows in a paged cache.
func pages(g spec.Pages) []cuda.Tensor {
	return []cuda.Tensor{i32(g.Positions), i32(g.Seqs), i32(g.Tables, g.Width)}
}

// matrixOf views plain elements as a matrix.
func matrixOf[E any](x []E, d cuda.DType, rows, cols int) cuda.Matrix {
	return hostMatrix(cuda.Plain(d), rows, cols, bytesOf(x))
}

func hostMatrix(l *cuda.Layout, rows, cols int, planes ...[]byte) cuda.Matrix {
	m, err := cuda.HostMatrix(l, rows, cols, planes...)
	if err != nil {
		panic(err) // a mistake of the test's
	}
	return m
}

func vector(values ...float32) cuda.Matrix { return matrixOf(values, cuda.F32, 1, len(values)) }

// ---- numbers at random

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// The layouts that weights can have, f8e4m3 with factors of either type; and those of them that vectors can have.
var (
	layouts       = []string{"f32", "bf16", "f16", "f8e4m3", "bf16x16", "q8", "q4", "q4k", "q6k"}
	vectorLayouts = []string{"f32", "bf16", "f16", "bf16x16"}
	plain         = map[string]cuda.DType{"f32": cuda.F32, "bf16": cuda.BF16, "f16": cuda.F16}
	packed        = &cuda.Layout{Name: "bf16x16", Planes: []cuda.Plane{{Rows: 16, Cols: 32, Bytes: 1024}}}
)

// randomMatrix holds normal values rounded to the layout, at an address that is not aligned to it.
func randomMatrix(rng *rand.Rand, layout string, rows, cols int) cuda.Matrix {
	switch layout {
	case "f8e4m3":
		return randomF8(rng, rows, cols)
	case packed.Name:
		return pack(randomMatrix(rng, "bf16", rows, cols))
	case cuda.Q8, cuda.Q4:
		return randomCodes(rng, layout, rows, cols)
	case cuda.Q4K, cuda.Q6K:
		return randomK(rng, layout, rows, cols)
	}
	typ := plain[layout]
	b := make([]byte, rows*cols*typ.Size()+1)[1:]
	for i := range rows * cols {
		v := float32(rng.NormFloat64())
		switch at := b[i*typ.Size():]; typ {
		case cuda.F32:
			binary.LittleEndian.PutUint32(at, math.Float32bits(v))
		case cuda.BF16:
			binary.LittleEndian.PutUint16(at, uint16(math.Float32bits(v)>>16))
		case cuda.F16:
			binary.LittleEndian.PutUint16(at, uint16(rng.UintN(1<<15))&0xbbff|uint16(rng.UintN(2))<<15)
		}
	}
	return hostMatrix(cuda.Plain(typ), rows, cols, b)
}

// pack is the definition of bf16x16 written out: blocks of 16 rows by 32 columns, with zeros where the matrix ends before a block does.
func pack(w cuda.Matrix) cuda.Matrix {
	b := make([]byte, (w.Rows+15)/16*((w.Cols+31)/32)*1024+1)[1:]
	to := hostMatrix(packed, w.Rows, w.Cols, b)
	for i := range w.Rows * w.Cols {
		copy(elementAt(to, i), elementAt(w, i))
	}
	return to
}

// elementAt is the bytes of an element, to be written to.
func elementAt(w cuda.Matrix, i int) []byte {
	at, size := i, w.Layout.Planes[0].Bytes
	if w.Layout.Equal(packed) {
		row, col := i/w.Cols, i%w.Cols
		at, size = (row/16*((w.Cols+31)/32)+col/32)*512+row%16*32+col%32, 2
	}
	return w.Plane(0).Raw()[at*size:][:size]
}

// poison makes an element no number, of codes the factor of its block.
func poison(w cuda.Matrix, i int) {
	var at []byte
	if cuda.Quantised(w.Layout.Name) != nil {
		at = factorAt(w, i/w.Cols, i%w.Cols)
	} else {
		at = elementAt(w, i)
	}
	for j := range at {
		at[j] = 0xff // in any of the types
	}
}

// ---- comparisons

// eps is the largest relative error of one rounding to f32.
const eps = 1.0 / (1 << 24)

// within reports the first element that is further from the specification than its bound.
func within(t *testing.T, what string, got, want []float32, bound func(i int) float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= bound(i)) {
			t.Fatalf("%s: element %d is %g, the specification says %g: off by %g of %g", what, i, got[i], want[i], d, bound(i))
		}
	}
}

// relative is a bound of some roundings of the result itself.
func relative(want []float32, roundings float64) func(int) float64 {
	return func(i int) float64 { return roundings * eps * math.Abs(float64(want[i])) }
}

func sameBits(t *testing.T, what string, a, b []float32) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d and %d elements", what, len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s: element %d is %g and %g", what, i, a[i], b[i])
		}
	}
}

// same is equality to the bit, but for what is no number.
func same(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func sameInts(t *testing.T, what string, got, want []int32) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %v, not %v", what, got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func shape(dims ...int) string { return fmt.Sprint(dims) }
