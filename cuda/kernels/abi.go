package kernels

import (
	"fmt"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
)

// abi.go writes an op as op.h has it. The structs here are those there, field by field.

type tensor struct {
	At   uint64
	Type int32
	ND   int32
	Dim  [4]int32
}

// Matrix is a matrix of weights as a kernel reads it.
type Matrix struct {
	Plane               [3]uint64
	Layout, Rows, Cols  int32
	BlockRows, BlockCol int32
	RowMagic, ColMagic  uint32
	_                   int32
}

// Op is what a kernel is given: pio_op.
type Op struct {
	Out              [11]tensor
	In               [8]tensor
	W                [6]Matrix
	Experts, Scratch uint64
	ExpertsN         int32
	Outs, Ins        int32
	F                [2]float32
	N                [5]int32
	P                [6]int32
}

// Mapped is what a kernel with maps is given: pio_mapped of hopper.cuh.
type Mapped struct {
	Op  Op
	_   [(64 - OpBytes%64) % 64]byte
	Map [2][128]byte // as the driver writes them
}

// At is where a map's matrix lies.
func (m *Map) At(op *Op) uint64 {
	if m.Scratch {
		return op.Scratch
	}
	return op.W[0].Plane[0]
}

// OpBytes is the size of an Op.
const OpBytes = int(unsafe.Sizeof(Op{}))

// Encode writes an op into o, but for Scratch, P and the table of experts, which whoever launches it has. An error says that no kernel
// reads one of its weights.
func (o *Op) Encode(op *cuda.Op) error {
	out, in, weights := op.Operands()
	*o = Op{Outs: int32(len(out)), Ins: int32(len(in)), F: op.Floats, N: op.Ints}
	for i := range out {
		o.Out[i] = encodeTensor(&out[i])
	}
	for i := range in {
		o.In[i] = encodeTensor(&in[i])
	}
	for i := range weights {
		var err error
		if o.W[i], err = EncodeMatrix(&weights[i]); err != nil {
			return fmt.Errorf("%s: %w", op.Code, err)
		}
	}
	return nil
}

func encodeTensor(t *cuda.Tensor) tensor {
	dim, n := t.Shape()
	return tensor{At: uint64(uintptr(t.Pointer())), Type: int32(t.DType()), ND: int32(n), Dim: dim}
}

// EncodeMatrix writes a matrix; the zero Matrix is one without planes.
func EncodeMatrix(m *cuda.Matrix) (Matrix, error) {
	if m.IsZero() {
		return Matrix{}, nil
	}
	i := slices.Index(Layouts[:], m.Layout.Name)
	if i < 0 {
		return Matrix{}, fmt.Errorf("no kernel reads weights in %s", m.Layout.Name)
	}
	e := Matrix{Layout: int32(i), Rows: int32(m.Rows), Cols: int32(m.Cols)}
	for i, plane := range m.Layout.Planes {
		e.Plane[i] = uint64(uintptr(m.Pointer(i)))
		if i == 1 {
			e.BlockRows, e.BlockCol = int32(plane.Rows), int32(plane.Cols)
			e.RowMagic, e.ColMagic = magic(plane.Rows), magic(plane.Cols/chunk)
		}
	}
	return e, nil
}

// magic is what numbers below 2^31 are multiplied by to divide them by d: see quotient in weights.cuh.
func magic(d int) uint32 {
	d = max(d, 1)
	n := uint64(1) << (31 + bits.Len(uint(d-1)))
	return uint32((n + uint64(d) - 1) / uint64(d))
}
