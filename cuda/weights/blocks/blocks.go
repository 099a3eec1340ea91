// Package blocks widens numbers that files keep in blocks: a few bits for each, and factors for some of them together.
//
// The types are ggml's, as GGUF files number and name them. Each function is the formula of the type in float32, in the order of operations
// that the reference has, so that results are equal to the bit: products are rounded before they are added. These formulas are the specification;
// what is widened goes through the loops of widen.h, which tests hold to them.
package blocks

import (
	"encoding/binary"
	"math"
)

// Format is a type: blocks of Values numbers that take Bytes.
type Format struct {
	Name          string
	Values, Bytes int

	number uint32
	plain  func(to []float32, block []byte)
}

// formats by the numbers that files have.
var formats = map[uint32]*Format{
	2:  {"Q4_0", 32, 18, 2, q4x0},
	3:  {"Q4_1", 32, 20, 3, q4x1},
	6:  {"Q5_0", 32, 22, 6, q5x0},
	7:  {"Q5_1", 32, 24, 7, q5x1},
	8:  {"Q8_0", 32, 34, 8, q8x0},
	10: {"Q2_K", 256, 84, 10, q2k},
	11: {"Q3_K", 256, 110, 11, q3k},
	12: {"Q4_K", 256, 144, 12, q4k},
	13: {"Q5_K", 256, 176, 13, q5k},
	14: {"Q6_K", 256, 210, 14, q6k},
	20: {"IQ4_NL", 32, 18, 20, iq4nl},
	23: {"IQ4_XS", 256, 136, 23, iq4xs},
	39: {"MXFP4", 32, 17, 39, mxfp4},
	40: {"NVFP4", 64, 36, 40, nvfp4},
}

// Of is the format of a number; nil for one that is not built, and for plain numbers, which need none.
func Of(number uint32) *Format { return formats[number] }

// Widen writes the numbers of whole blocks.
func (f *Format) Widen(to []float32, blocks []byte) {
	widenBlocks(true, f.number, to, blocks, min(len(to)/f.Values, len(blocks)/f.Bytes))
}

// Plain is Widen by the formulas, a block at a time: for tests.
func (f *Format) Plain(to []float32, blocks []byte) {
	for ; len(to) >= f.Values && len(blocks) >= f.Bytes; to, blocks = to[f.Values:], blocks[f.Bytes:] {
		f.plain(to[:f.Values:f.Values], blocks[:f.Bytes:f.Bytes])
	}
}

// halves are all numbers of IEEE's half precision.
var halves = func() *[1 << 16]float32 {
	var t [1 << 16]float32
	for i := range t {
		sign, exponent, fraction := uint32(i)>>15<<31, uint32(i)>>10&31, uint32(i)&1023
		switch {
		case exponent == 31:
			t[i] = math.Float32frombits(sign | 0x7F800000 | fraction<<13)
		case exponent == 0:
			t[i] = float32(fraction) / (1 << 24)
			if sign != 0 {
				t[i] = -t[i]
			}
		default:
			t[i] = math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
		}
	}
	return &t
}()

// Half is a number in half precision.
func Half(b []byte) float32 { return half(b) }

func half(b []byte) float32 { return halves[binary.LittleEndian.Uint16(b)] }

// Types with 4 bits keep element j in the low and j+16 in the high half of byte j.

func q4x0(to []float32, b []byte) {
	d := half(b)
	for j, q := range b[2:18] {
		to[j], to[j+16] = float32(int(q&15)-8)*d, float32(int(q>>4)-8)*d
	}
}

func q4x1(to []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for j, q := range b[4:20] {
		to[j], to[j+16] = float32(float32(q&15)*d)+m, float32(float32(q>>4)*d)+m
	}
}

func q5x0(to []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for j, q := range b[6:22] {
		to[j] = float32(int(q&15|fifth(high, j))-16) * d
		to[j+16] = float32(int(q>>4|fifth(high, j+16))-16) * d
	}
}

func q5x1(to []float32, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for j, q := range b[8:24] {
		to[j] = float32(float32(q&15|fifth(high, j))*d) + m
		to[j+16] = float32(float32(q>>4|fifth(high, j+16))*d) + m
	}
}

// fifth is the fifth bit of a code.
func fifth(high uint32, j int) byte { return byte(high>>j&1) << 4 }

func q8x0(to []float32, b []byte) {
	d := half(b)
	for j, q := range b[2:34] {
		to[j] = float32(int8(q)) * d
	}
}

var iq4 = [16]float32{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}

func iq4nl(to []float32, b []byte) {
	d := half(b)
	for j, q := range b[2:18] {
		to[j], to[j+16] = d*iq4[q&15], d*iq4[q>>4]
	}
}

// e2m1 are the numbers of 4 bits with an exponent of two and a fraction of one, twice as large, to be whole.
var e2m1 = [16]float32{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}

// e8m0 are half of the numbers of 8 bits that are an exponent alone (OCP Microscaling Formats, 2023). None is special here.
var e8m0 = func() *[256]float32 {
	var t [256]float32
	for i := range t {
		t[i] = float32(math.Ldexp(1, i-128))
	}
	return &t
}()

func mxfp4(to []float32, b []byte) {
	d := e8m0[b[0]]
	for j, q := range b[1:17] {
		to[j], to[j+16] = d*e2m1[q&15], d*e2m1[q>>4]
	}
}

// ue4m3 are half of the numbers of 8 bits with an exponent of four and a fraction of three, whose sign is not read.
var ue4m3 = func() *[256]float32 {
	var t [256]float32
	for i := range t {
		exponent, fraction := i>>3&15, float64(i&7)/8
		if exponent == 0 {
			exponent = 1
		} else {
			fraction++
		}
		t[i] = float32(math.Ldexp(fraction, exponent-8))
	}
	t[0x7F] = 0
	return &t
}()

// e4m3 are the numbers of 8 bits with a sign, an exponent of four and a fraction of three, without infinities.
var e4m3 = func() *[256]float32 {
	var t [256]float32
	for i := range t {
		if t[i] = 2 * ue4m3[i&0x7F]; i >= 0x80 {
			t[i] = -t[i]
		}
	}
	t[0x7F], t[0xFF] = float32(math.NaN()), float32(math.NaN())
	return &t
}()

// E4M3 is a number of 8 bits as weights have it.
func E4M3(b byte) float32 { return e4m3[b] }

// E8M0 is a factor of 8 bits that is an exponent alone.
func E8M0(b byte) float32 { return 2 * e8m0[b] }

// E2M1 is a number of the low 4 bits.
func E2M1(b byte) float32 { return e2m1[b&15] / 2 }

// nvfp4: four parts of 16, each with a factor. The factor of the whole tensor is another tensor.
func nvfp4(to []float32, b []byte) {
	for part := range 4 {
		d, to := ue4m3[b[part]], to[16*part:16*part+16]
		for j, q := range b[4+8*part : 12+8*part] {
			to[j], to[j+8] = d*e2m1[q&15], d*e2m1[q>>4]
		}
	}
}
