package spec

import "math"

// half.go says what bf16 is to activations and caches: the upper half of an f32.

// Round gives the nearest numbers that bf16 has, of two the one whose last bit is 0; what is not a number stays so.
func Round(x []float32) []uint16 {
	y := make([]uint16, len(x))
	for i, v := range x {
		bits := math.Float32bits(v)
		below, rest := uint16(bits>>16), bits&0xffff
		switch {
		case v != v:
			y[i] = below | 0x40 // quiet, and not infinite when its lower half is gone
		case rest > 0x8000 || rest == 0x8000 && below&1 == 1:
			y[i] = below + 1 // with a carry into the exponent, which is what comes next
		default:
			y[i] = below
		}
	}
	return y
}

// Widen gives the same numbers in f32.
func Widen(x []uint16) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = math.Float32frombits(uint32(v) << 16)
	}
	return y
}
