// Package optest is what tests of every back end need: operands made of slices and at random, and comparisons with the specification.
package optest

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// operands.go has tensors and matrices.

// F32 views a slice as a tensor whose first dimension is as large as the others leave it.
func F32(x []float32, dims ...int) cuda.Tensor { return View(BytesOf(x), cuda.F32, dims) }

// BF16 is F32 for the upper halves of floats.
func BF16(x []uint16, dims ...int) cuda.Tensor { return View(BytesOf(x), cuda.BF16, dims) }

// I32 is F32 for integers.
func I32(x []int32, dims ...int) cuda.Tensor { return View(BytesOf(x), cuda.I32, dims) }

// Coded gives rows of dim numbers as a cache in codes has them.
func Coded(x []float32, heads, size, dim int) cuda.Tensor {
	return View(spec.CodeRows(x, dim), cuda.Q8Row, []int{heads, size, cuda.Q8Row.RowLen(dim)})
}

// View is F32 for bytes.
func View(data []byte, d cuda.DType, dims []int) cuda.Tensor {
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

// BytesOf are the bytes of a slice.
func BytesOf[E any](x []E) []byte {
	var e E
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(e)))
}

// Dims is a tensor's shape.
func Dims(t cuda.Tensor) []int {
	dims := make([]int, t.NDim())
	for i := range dims {
		dims[i] = t.Dim(i)
	}
	return dims
}

// Narrow is a tensor of f32 in bf16, Wide the other way round.
func Narrow(t cuda.Tensor) cuda.Tensor { return BF16(spec.Round(t.F32()), Dims(t)[1:]...) }

// Wide is a tensor of bf16 in f32.
func Wide(t cuda.Tensor) cuda.Tensor {
	halves := make([]uint16, t.Len())
	copy(BytesOf(halves), t.Raw())
	return F32(spec.Widen(halves), Dims(t)[1:]...)
}

// Pages are the operands that address rows in a paged cache.
func Pages(g spec.Pages) []cuda.Tensor {
	return []cuda.Tensor{I32(g.Positions), I32(g.Seqs), I32(g.Tables, g.Width)}
}

// Matrix views plain elements as a matrix.
func Matrix[E any](x []E, d cuda.DType, rows, cols int) cuda.Matrix {
	return HostMatrix(cuda.Plain(d), rows, cols, BytesOf(x))
}

// HostMatrix is cuda.HostMatrix of what fits.
func HostMatrix(l *cuda.Layout, rows, cols int, planes ...[]byte) cuda.Matrix {
	m, err := cuda.HostMatrix(l, rows, cols, planes...)
	if err != nil {
		panic(err) // a mistake of the test's
	}
	return m
}

// Random gives numbers with a normal distribution.
func Random(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// PlainTypes are those that vectors of weights have.
var PlainTypes = []cuda.DType{cuda.F32, cuda.BF16, cuda.F16}

// Plain holds normal values rounded to a plain type.
func Plain(rng *rand.Rand, typ cuda.DType, rows, cols int) cuda.Matrix {
	b := make([]byte, rows*cols*typ.Size())
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
	return HostMatrix(cuda.Plain(typ), rows, cols, b)
}

// UpTo gives integers below a number.
func UpTo(rng *rand.Rand, n, most int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(rng.IntN(most))
	}
	return list
}
