package cpu_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// eps is the largest relative error of one rounding to f32.
const eps = 1.0 / (1 << 24)

// eachTable runs a test with every kernel table this machine has, each with a pool of three threads.
func eachTable(t *testing.T, f func(t *testing.T, p *cpu.Pool)) {
	for _, name := range cpu.Tables() {
		t.Run(name, func(t *testing.T) { f(t, newPool(t, 3, name)) })
	}
}

func newPool(t testing.TB, threads int, table string) *cpu.Pool {
	t.Helper()
	p, err := cpu.NewPoolWith(threads, table)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

var matrixTypes = []cpu.Type{cpu.F32, cpu.BF16, cpu.F16}

// randomMatrix holds normal values rounded to the type, at an address that is not aligned to it.
func randomMatrix(rng *rand.Rand, typ cpu.Type, rows, cols int) cpu.Matrix {
	b := make([]byte, rows*cols*typ.Size()+1)
	for i := range rows * cols {
		v := float32(rng.NormFloat64())
		switch at := b[1+i*typ.Size():]; typ {
		case cpu.F32:
			binary.LittleEndian.PutUint32(at, math.Float32bits(v))
		case cpu.BF16:
			binary.LittleEndian.PutUint16(at, uint16(math.Float32bits(v)>>16))
		case cpu.F16:
			binary.LittleEndian.PutUint16(at, uint16(rng.UintN(1<<15))&0xbbff|uint16(rng.UintN(2))<<15)
		case cpu.F8E4M3:
			at[0] = byte(rng.UintN(0x7f)) | byte(rng.UintN(2))<<7 // all that are numbers
		}
	}
	if typ == cpu.F8E4M3 {
		return cpu.Matrix{Ptr: unsafe.Pointer(&b[1]), Type: typ, Rows: rows, Cols: cols, Scale: randomScale(rng, rows, cols)}
	}
	return cpu.Matrix{Ptr: unsafe.Pointer(&b[1]), Type: typ, Rows: rows, Cols: cols}
}

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

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func typeName(t cpu.Type) string { return [...]string{"f32", "bf16", "f16", "f8e4m3"}[t] }

func shape(dims ...int) string { return fmt.Sprint(dims) }
