package spec

import (
	"math"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
)

// matrix.go says what the elements of a matrix are in each layout.

// elements gives element (row, col) of a matrix in the memory of this process, by the layout's name.
var elements = map[string]func(m cuda.Matrix, row, col int) float32{
	"f32":         func(m cuda.Matrix, row, col int) float32 { return f32At(plane(m, 0), row*m.Cols+col) },
	"bf16":        func(m cuda.Matrix, row, col int) float32 { return bf16At(plane(m, 0), row*m.Cols+col) },
	"f16":         func(m cuda.Matrix, row, col int) float32 { return f16At(plane(m, 0), row*m.Cols+col) },
	"f8e4m3/f32":  func(m cuda.Matrix, row, col int) float32 { return scaled(m, row, col, f32At) },
	"f8e4m3/bf16": func(m cuda.Matrix, row, col int) float32 { return scaled(m, row, col, bf16At) },
	"bf16x16": func(m cuda.Matrix, row, col int) float32 { // blocks of 16 x 32
		block := row/16*((m.Cols+31)/32) + col/32
		return bf16At(plane(m, 0), block*512+row%16*32+col%32)
	},
	"q8":  coded,
	"q4":  coded,
	"q4k": inK,
	"q6k": inK,
}

// Element is element i of a matrix, counted along its rows.
func Element(m cuda.Matrix, i int) float32 {
	return elements[m.Layout.Name](m, i/max(m.Cols, 1), i%max(m.Cols, 1))
}

// Elements are all elements of a matrix, row by row: what takes each more than once takes them from here.
func Elements(m cuda.Matrix) []float32 {
	at, all := elements[m.Layout.Name], make([]float32, 0, m.Rows*m.Cols)
	for row := range m.Rows {
		for col := range m.Cols {
			all = append(all, at(m, row, col))
		}
	}
	return all
}

// scaled is an 8-bit float (Micikevicius et al., "FP8 formats for deep learning", 2022; E4M3 without infinities) times the factor of its
// block: 1 bit of sign, 4 of exponent with a bias of 7, 3 of mantissa; exponent 0 means m/8 · 2^-6, 0x7f and 0xff are no number, the
// largest is 448. The product is rounded to f32 once, as whoever dequantizes before multiplying has it.
func scaled(m cuda.Matrix, row, col int, factor func(p []byte, i int) float32) float32 {
	b := m.Layout.Planes[1]
	perRow := (m.Cols + b.Cols - 1) / b.Cols
	return widenF8(plane(m, 0)[row*m.Cols+col]) * factor(plane(m, 1), row/b.Rows*perRow+col/b.Cols)
}

// coded is a code times the factor of its block.
func coded(m cuda.Matrix, row, col int) float32 {
	return float32(Code(m, row, col)) * CodeFactor(m, row, col/codeCols)
}

const codeRows, codeCols = 16, 128 // of a block of codes

// Code is the whole number that an element of a matrix in q8 or q4 is before it is multiplied by its factor.
func Code(m cuda.Matrix, row, col int) int {
	block, r, c := codeBlock(m, row, col/codeCols), row%codeRows, col%codeCols
	if m.Layout.Name == cuda.Q8 {
		return int(int8(plane(m, 0)[block*codeRows*codeCols+(c/4*codeRows+r)*4+c%4]))
	}
	sub, in := c/32, c%32 // of 32 columns the first 16 are the lower halves of bytes
	pair := plane(m, 0)[block*codeRows*codeCols/2+sub*codeRows*16+(in%16/4*codeRows+r)*4+in%4]
	whole := plane(m, 1)[block*64+32+sub/2*codeRows+r]
	return (int(pair>>(in/16*4)&15) - 8) * int(whole>>(sub%2*4)&15)
}

// CodeFactor is the factor of a row for a block of columns.
func CodeFactor(m cuda.Matrix, row, block int) float32 {
	at := codeBlock(m, row, block) * m.Layout.Planes[1].Bytes
	return bf16At(plane(m, 1)[at:], row%codeRows)
}

func codeBlock(m cuda.Matrix, row, block int) int {
	return row/codeRows*((m.Cols+codeCols-1)/codeCols) + block
}

func plane(m cuda.Matrix, i int) []byte {
	t := m.Plane(i)
	return unsafe.Slice((*byte)(t.Pointer()), t.Bytes())
}

func f32At(p []byte, i int) float32 {
	return math.Float32frombits(uint32(p[4*i]) | uint32(p[4*i+1])<<8 | uint32(p[4*i+2])<<16 | uint32(p[4*i+3])<<24)
}

func bf16At(p []byte, i int) float32 {
	return math.Float32frombits(uint32(p[2*i])<<16 | uint32(p[2*i+1])<<24)
}

func f16At(p []byte, i int) float32 { return widenF16(uint16(p[2*i]) | uint16(p[2*i+1])<<8) }

func widenF16(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h)&1023
	switch {
	case exp == 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	case exp == 0: // subnormal: frac · 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
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
