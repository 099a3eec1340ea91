package sim

// #cgo CFLAGS: -I${SRCDIR}/../../include
// #include "matrix_map.h"
// #include "op.h"
//
// static CUresult pio_map(void *describe, const pio_matrix_map *m, void *to) { return pio_describe((__typeof__(&cuTensorMapEncodeTiled))describe, m, to); }
import "C"

import (
	"fmt"
	"unsafe"
)

// Op is what a kernel is given (pio_op of op.h), for tests of kernels by themselves.
type Op struct {
	c    C.pio_op
	_    [(64 - C.sizeof_pio_op%64) % 64]byte
	maps [2][128]byte // pio_mapped of hopper.cuh, for the kernels that have them
}

// The go command does not look into op.h, which lies in another folder: this number, which has to change with it, has it compile the package anew.
const opBytes = 1024

var _ = [1]struct{}{}[opBytes-C.sizeof_pio_op]

// The types of tensors.
const (
	F32  = C.PIO_F32
	BF16 = C.PIO_BF16
	I32  = C.PIO_I32
)

// Pointer and Size are the op as a launch takes it.
func (o *Op) Pointer() unsafe.Pointer { return unsafe.Pointer(&o.c) }

// Size is its size in bytes.
func (o *Op) Size() uintptr { return unsafe.Sizeof(o.c) }

// Out and In add a tensor of up to four dimensions at an address.
func (o *Op) Out(at unsafe.Pointer, dtype int, dims ...int) *Op {
	o.c.out[o.c.outs] = tensor(at, dtype, dims)
	o.c.outs++
	return o
}

// In: see Out.
func (o *Op) In(at unsafe.Pointer, dtype int, dims ...int) *Op {
	o.c.in[o.c.ins] = tensor(at, dtype, dims)
	o.c.ins++
	return o
}

// P sets what the launch's plan tells the kernel.
func (o *Op) P(numbers ...int) *Op {
	for i, n := range numbers {
		o.c.p[i] = C.int32_t(n)
	}
	return o
}

func tensor(at unsafe.Pointer, dtype int, dims []int) C.pio_tensor {
	t := C.pio_tensor{at: C.uint64_t(uintptr(at)), _type: C.int32_t(dtype), nd: C.int32_t(len(dims)), dim: [4]C.int32_t{1, 1, 1, 1}}
	for i, d := range dims {
		t.dim[i] = C.int32_t(d)
	}
	return t
}

// Hidden adds a tensor to read that the op does not say it has: an address that a kernel finds elsewhere.
func (o *Op) Hidden(at unsafe.Pointer, dtype int, dims ...int) *Op {
	o.c.in[o.c.ins] = tensor(at, dtype, dims)
	return o
}

// Map gives a kernel a map of a matrix of bf16, of which it copies tiles, swizzled as the driver numbers it: 0 not, 1, 2, 3 within 32, 64, 128 bytes.
func (o *Op) Map(d *Driver, at unsafe.Pointer, rows, cols, tileRows, tileCols, swizzle int) error {
	m := C.pio_matrix_map{at: C.uint64_t(uintptr(at)), rows: C.uint64_t(rows), cols: C.uint64_t(cols), tile_rows: C.uint32_t(tileRows), tile_cols: C.uint32_t(tileCols),
		swizzle: C.uint32_t(swizzle)}
	refused := C.pio_map(d.symbol("cuTensorMapEncodeTiled"), &m, unsafe.Pointer(&o.maps[0]))
	if refused != 0 {
		return fmt.Errorf("cuTensorMapEncodeTiled: %d", int(refused))
	}
	return nil
}
