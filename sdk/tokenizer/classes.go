// classes.go says of each rune what the pre-tokenizers ask: letter, number, white space, line break.
//
// The reference asks Unicode 16; Go's tables are at 15 and move with the toolchain. lateLetters and lateNumbers are what came between, so
// that a text with new letters gets the reference's ids. TestClassesAreTheReferences fails when a toolchain knows more.

package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s: White_Space
	newline                   // \r and \n, which are spaces too
)

func lateLetters() []unicode.Range32 {
	return []unicode.Range32{
		{Lo: 0x1c89, Hi: 0x1c8a, Stride: 1}, {Lo: 0xa7cb, Hi: 0xa7cd, Stride: 1}, {Lo: 0xa7da, Hi: 0xa7dc, Stride: 1},
		{Lo: 0x105c0, Hi: 0x105f3, Stride: 1}, {Lo: 0x10d4a, Hi: 0x10d65, Stride: 1},
		{Lo: 0x10d6f, Hi: 0x10d85, Stride: 1}, {Lo: 0x10ec2, Hi: 0x10ec4, Stride: 1}, {Lo: 0x11380, Hi: 0x11389, Stride: 1},
		{Lo: 0x1138b, Hi: 0x1138b, Stride: 1}, {Lo: 0x1138e, Hi: 0x1138e, Stride: 1}, {Lo: 0x11390, Hi: 0x113b5, Stride: 1},
		{Lo: 0x113b7, Hi: 0x113b7, Stride: 1}, {Lo: 0x113d1, Hi: 0x113d1, Stride: 1}, {Lo: 0x113d3, Hi: 0x113d3, Stride: 1},
		{Lo: 0x11bc0, Hi: 0x11be0, Stride: 1}, {Lo: 0x13460, Hi: 0x143fa, Stride: 1}, {Lo: 0x16100, Hi: 0x1611d, Stride: 1},
		{Lo: 0x16d40, Hi: 0x16d6c, Stride: 1}, {Lo: 0x18cff, Hi: 0x18cff, Stride: 1}, {Lo: 0x1e5d0, Hi: 0x1e5ed, Stride: 1},
		{Lo: 0x1e5f0, Hi: 0x1e5f0, Stride: 1}, {Lo: 0x2ebf0, Hi: 0x2ee5d, Stride: 1},
	}
}

func lateNumbers() []unicode.Range32 {
	return []unicode.Range32{
		{Lo: 0x10d40, Hi: 0x10d49, Stride: 1}, {Lo: 0x116d0, Hi: 0x116e3, Stride: 1}, {Lo: 0x11bf0, Hi: 0x11bf9, Stride: 1},
		{Lo: 0x16130, Hi: 0x16139, Stride: 1}, {Lo: 0x16d70, Hi: 0x16d79, Stride: 1}, {Lo: 0x1ccf0, Hi: 0x1ccf9, Stride: 1},
		{Lo: 0x1e5f1, Hi: 0x1e5fa, Stride: 1},
	}
}

// classes is a two-level table: pages of 256 runes, most of which are the one empty page.
type classes struct {
	ascii [utf8.RuneSelf]class
	page  [unicode.MaxRune>>8 + 1]*[256]class
}

func newClasses() *classes {
	c, empty := &classes{}, &[256]class{}
	for i := range c.page {
		c.page[i] = empty
	}
	add := func(lo, hi, stride rune, k class) {
		for r := lo; r <= hi; r += stride {
			p := &c.page[r>>8]
			if *p == empty {
				*p = new([256]class)
			}
			(*p)[r&0xff] |= k
		}
	}
	table := func(t *unicode.RangeTable, late []unicode.Range32, k class) {
		for _, r := range t.R16 {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride), k)
		}
		for _, r := range append(late, t.R32...) {
			add(rune(r.Lo), rune(r.Hi), rune(r.Stride), k)
		}
	}
	table(unicode.L, lateLetters(), letter)
	table(unicode.N, lateNumbers(), number)
	table(unicode.White_Space, nil, space)
	add('\n', '\n', 1, newline)
	add('\r', '\r', 1, newline)
	copy(c.ascii[:], c.page[0][:])
	return c
}

// at returns the class and the length in bytes of the rune that begins at text[i]; text is valid UTF-8 and i is inside it.
func (c *classes) at(text string, i int) (class, int) {
	if b := text[i]; b < utf8.RuneSelf {
		return c.ascii[b], 1
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	return c.page[r>>8][r&0xff], n
}
