// codes.go is the way to the loops of widen.h, which make numbers of many codes at once, and bring codes into another order.

package blocks

// #cgo CFLAGS: -O3 -std=c11 -Wall -Wextra -Wno-psabi
// #cgo noescape pio_widen_blocks
// #cgo nocallback pio_widen_blocks
// #cgo noescape pio_widen_row
// #cgo nocallback pio_widen_row
// #cgo noescape pio_nibbles
// #cgo nocallback pio_nibbles
// #cgo noescape pio_less
// #cgo nocallback pio_less
// #cgo noescape pio_by_column
// #cgo nocallback pio_by_column
// #include "widen.h"
import "C"

import "unsafe"

// Kind is what a byte is a code of.
type Kind int

const (
	Unsigned Kind = C.PIO_UNSIGNED // a whole number
	Signed   Kind = C.PIO_SIGNED   // one in two's complement
	Float8   Kind = C.PIO_E4M3     // see E4M3
	Float4   Kind = C.PIO_E2M1     // see E2M1; the upper half of the byte is zero
)

// Row is a row of codes, of which some columns each, one after the other, have a factor together, and a zero.
type Row struct {
	Codes   []byte
	Kind    Kind
	Each    int       // columns
	Factors []float32 // of the groups
	Zeros   []float32 // likewise; nil: none
	Added   bool      // zeros are added after multiplying; else they are taken away before. Only of Unsigned
	Index   []byte    // nil, or 4 bytes for each column that say which group it is of
}

// Widen writes the numbers of a row: (code - zero) * factor, or code * factor + zero.
func (r Row) Widen(to []float32) { r.widen(true, to) }

func (r Row) widen(fast bool, to []float32) {
	n, each, groups := len(r.Codes), max(1, r.Each), len(r.Factors)
	if n == 0 {
		return
	}
	to, index, zeros := to[:n], r.Index, r.Zeros
	if zeros != nil {
		zeros = zeros[:groups]
	}
	if index != nil {
		index = index[:4*n]
		groups = len(r.Factors[:max(1, groups)])
	} else {
		groups = len(r.Factors[:(n+each-1)/each])
	}
	C.pio_widen_row(flag(fast), floats(to), bytes(r.Codes), floats(r.Factors), floats(zeros), bytes(index), C.size_t(n), C.size_t(each), C.size_t(groups),
		C.int(r.Kind), flag(r.Added), floats(e4m3[:]))
}

// Less writes what codes are above the zeros of their groups of so many columns, whole numbers that a byte holds.
func Less(to []int8, codes, zeros []byte, each int) {
	if n := len(codes); n > 0 {
		each = max(1, each)
		C.pio_less((*C.int8_t)(unsafe.SliceData(to[:n])), bytes(codes), bytes(zeros[:(n+each-1)/each]), C.size_t(n), C.size_t(each))
	}
}

// Nibbles makes bytes of their halves, the lower one first.
func Nibbles(to, from []byte) {
	C.pio_nibbles(bytes(to), bytes(from[:(len(to)+1)/2]), C.size_t(len(to)))
}

// Columns is a matrix of In inputs by Out outputs whose codes lie by input: a word of GPTQ has those of an output for some inputs that follow
// each other, the lowest first, one of AWQ those of eight outputs for one input. Words are whole.
type Columns struct {
	Words   []byte
	In, Out int
	Bits    int // 2, 4 or 8; of AWQ 4
	AWQ     bool
}

// Codes writes the codes of rows, an output each, from one on, as many as there is room for.
func (c Columns) Codes(to []byte, row int) {
	if c.In == 0 {
		return
	}
	words, rows := c.Words[:c.In*c.Out*c.Bits/8], min(len(to)/c.In, c.Out-row)
	if rows > 0 {
		C.pio_by_column(bytes(to), bytes(words), C.size_t(c.In), C.size_t(c.Out), C.int(c.Bits), flag(c.AWQ), C.size_t(row), C.size_t(rows))
	}
}

// widenBlocks writes the numbers of n blocks, which both must have room for.
func widenBlocks(fast bool, number uint32, to []float32, blocks []byte, n int) {
	if n > 0 {
		C.pio_widen_blocks(flag(fast), C.uint32_t(number), floats(to), bytes(blocks), C.size_t(n))
	}
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func floats(x []float32) *C.float { return (*C.float)(unsafe.SliceData(x)) }

func bytes(x []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(x)) }
