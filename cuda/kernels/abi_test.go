package kernels

import (
	"testing"
	"unsafe"
)

// The structs of abi.go are those of op.h, which has 8-byte addresses and no gaps that a compiler chooses.
func TestOpHasTheSizeOfOpH(t *testing.T) {
	if want := 11*32 + 2*48 + 16 + 12 + 8 + 20 + 24; OpBytes != want {
		t.Errorf("an op has %d bytes, not %d as in op.h", OpBytes, want)
	}
	if at := unsafe.Offsetof(Mapped{}.Map); at%64 != 0 || at-uintptr(OpBytes) >= 64 {
		t.Errorf("maps begin at byte %d of what a kernel is given, not at the next multiple of 64 behind the op", at)
	}
}
