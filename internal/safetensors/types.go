// types.go says how much room elements of each type take.

package safetensors

import (
	"math"
	"math/bits"
)

// widths are the bits of an element of each type whose size is known, so that a header's byte counts can be checked.
var widths = map[string]int{
	"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4,
	"I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8,
}

// Bits is the size of an element of a type, false for one that is not known.
func Bits(format string) (int, bool) {
	n, ok := widths[format]
	return n, ok
}

// Size is the bytes of a tensor, or false if its type is not known, or that is more than an int64 holds or no whole number of bytes.
func Size(format string, shape []int) (int64, bool) {
	width, ok := widths[format]
	if !ok {
		return 0, false
	}
	for _, d := range shape {
		if d == 0 {
			return 0, true
		}
	}
	n := uint64(width)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		n = lo
	}
	return int64(n / 8), n%8 == 0
}
