package kernels

import (
	"math/bits"
	"testing"
	"unsafe"
)

// The structs of abi.go are those of op.h, which has 8-byte addresses and no gaps that a compiler chooses.
func TestOpHasTheSizeOfOpH(t *testing.T) {
	if want := 19*32 + 6*56 + 16 + 12 + 8 + 20 + 24; OpBytes != want {
		t.Errorf("an op has %d bytes, not %d as in op.h", OpBytes, want)
	}
	if at := unsafe.Offsetof(Mapped{}.Map); at%64 != 0 || at-uintptr(OpBytes) >= 64 {
		t.Errorf("maps begin at byte %d of what a kernel is given, not at the next multiple of 64 behind the op", at)
	}
}

// Kernels divide by the rows and columns that share a factor as this does; products with 8-bit floats go through the kernels' own.
func TestQuotientsAreThoseOfDivisions(t *testing.T) {
	divided := func(n, d int) int {
		return int(uint64(2*n) * uint64(magic(d)) >> 32 >> bits.Len(uint(d-1)))
	}
	for _, d := range []int{1, 2, 3, 5, 7, 64, 127, 128, 129, 1000, 65535, 65537, 1<<20 + 1, 1<<30 - 1, 1 << 30, 1<<31 - 1} {
		for _, n := range []int{0, 1, d - 1, d, d + 1, 2*d - 1, 2 * d, 151935, 1<<31 - d, 1<<31 - 1} {
			if n < 1<<31 && divided(n, d) != n/d {
				t.Errorf("%d / %d is %d, not %d", n, d, divided(n, d), n/d)
			}
		}
	}
}
