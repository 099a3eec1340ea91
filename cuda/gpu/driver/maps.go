//go:build cuda && cgo

package driver

// #cgo noescape pio_map
// #cgo nocallback pio_map
// #include "calls.h"
import "C"

import "unsafe"

// Matrix is a row-major matrix of bf16 in a device's memory, of which the copy engine of Hopper and later copies tiles to shared memory. Swizzled is
// of 128 bytes (matrix_map.h).
type Matrix struct {
	At                 uint64
	Rows, Cols         int
	TileRows, TileCols int
	Swizzled           bool
}

// Map describes a matrix as a kernel's launch takes it.
func Map(m Matrix) (to [128]byte, err error) {
	c := C.pio_matrix_map{at: C.uint64_t(m.At), rows: C.uint64_t(m.Rows), cols: C.uint64_t(m.Cols), tile_rows: C.uint32_t(m.TileRows), tile_cols: C.uint32_t(m.TileCols)}
	if m.Swizzled {
		c.swizzle = C.CU_TENSOR_MAP_SWIZZLE_128B
	}
	err = failed("cuTensorMapEncodeTiled", C.pio_map(&c, unsafe.Pointer(&to[0])))
	return to, err
}
