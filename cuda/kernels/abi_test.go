package kernels

import "testing"

// The structs of abi.go are those of op.h, which has 8-byte addresses and no gaps that a compiler chooses.
func TestOpHasTheSizeOfOpH(t *testing.T) {
	if want := 11*32 + 2*48 + 16 + 12 + 8 + 20 + 24; OpBytes != want {
		t.Errorf("an op has %d bytes, not %d as in op.h", OpBytes, want)
	}
}
