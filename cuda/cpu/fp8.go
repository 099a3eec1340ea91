package cpu

import (
	"errors"
	"math"
	"unsafe"
)

// fp8.go holds 8-bit floats in scaled blocks (Micikevicius et al., "FP8 formats for deep learning", 2022; E4M3 without
// infinities): 1 bit of sign, 4 of exponent with a bias of 7, 3 of mantissa; exponent 0 means m/8 · 2^-6, 0x7f and 0xff are no
// number, the largest is 448. A weight is element · factor, rounded to f32 once, as whoever dequantizes before multiplying has it.

// Scale is the factors of a matrix of F8E4M3: one for each block of Rows x Cols elements, blocks at the edges partial. The
// factors are row-major, f32 or bf16, and need not be aligned.
type Scale struct {
	Ptr        unsafe.Pointer
	Type       Type
	Rows, Cols int // of a block
}

func (s Scale) check() error {
	if s.Ptr == nil || s.Rows <= 0 || s.Cols <= 0 || s.Type != F32 && s.Type != BF16 {
		return errors.New("a matrix of f8e4m3 needs block scales in f32 or bf16")
	}
	return nil
}

// at is the factor of element (o, k) of a matrix with so many columns.
func (s Scale) at(o, k, cols int) float32 {
	perRow := (cols + s.Cols - 1) / s.Cols
	return Matrix{Ptr: s.Ptr, Type: s.Type}.Widen(o/s.Rows*perRow + k/s.Cols)
}

func widenF8(b uint8) float32 {
	exp, frac := int(b>>3&15), float64(b&7)
	v := math.Ldexp(8+frac, exp-10)
	switch {
	case b&0x7f == 0x7f:
		v = math.NaN()
	case exp == 0:
		v = math.Ldexp(frac, -9)
	}
	return float32(math.Copysign(v, float64(int8(b))))
}
