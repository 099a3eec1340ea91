// columns.go has AWQ and GPTQ, whose codes lie by input: a row of theirs is a column of the matrix, or eight.

package hfquant

import (
	"encoding/binary"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// columns reads qweight, qzeros and scales. How many bits codes have is told by the zeros, because a config can have single modules with others.
func (r *reader) columns(base string) (weights.View, error) {
	v, _ := r.get(base + ".qweight")
	a, b, err := matrix(base+".qweight", v, "I32")
	if err != nil {
		return v, err
	}
	zeros, ok := r.get(base + ".qzeros")
	if !ok {
		return v, fmt.Errorf("tensor %q is missing", base+".qzeros")
	}
	if zeros.Format != "I32" || len(zeros.Shape) != 2 || zeros.Shape[0] < 1 {
		return v, fmt.Errorf("tensor %q: is %s %v, no zeros of groups", base+".qzeros", zeros.Format, zeros.Shape)
	}
	m := blocks.Columns{Words: v.Data, AWQ: r.method == awq}
	if m.AWQ { // (in, out/8)
		m.Bits, m.In, m.Out = 4, a, 8*b
	} else if m.Bits = zeros.Shape[1] * 32 / max(1, b); m.Bits == 2 || m.Bits == 4 || m.Bits == 8 { // (in*bits/32, out)
		m.In, m.Out = a*32/m.Bits, b
	} else {
		return v, fmt.Errorf("tensor %q: has codes of %d bits, which are not built for gptq; only 2, 4 and 8 are: %s", base+".qweight", m.Bits, Instead("other"))
	}
	c := &byColumn{words: m, zeros: zeros.Data, groups: zeros.Shape[0]}
	if c.each = max(1, m.In/c.groups); r.size > 0 && (m.In+r.size-1)/r.size == c.groups { // the last may have fewer
		c.each = r.size
	}
	if zeros.Shape[1]*32 != m.Out*m.Bits || (m.In+c.each-1)/c.each != max(1, min(c.groups, m.In)) {
		return v, fmt.Errorf("tensor %q: is %v, no zeros of groups of %d inputs to %d outputs", base+".qzeros", zeros.Shape, m.In, m.Out)
	}
	if !m.AWQ && !r.v2 {
		c.carry = carries[m.Bits]
	}
	scales, ok := r.get(base + ".scales")
	if !ok {
		return v, fmt.Errorf("tensor %q is missing", base+".scales")
	}
	if len(scales.Shape) != 2 || scales.Shape[0] != c.groups || scales.Shape[1] != m.Out {
		return v, fmt.Errorf("tensor %q: is %s %v, no factors of %d groups of %d outputs", base+".scales", scales.Format, scales.Shape, c.groups, m.Out)
	}
	scales.Shape = []int{c.groups * m.Out, 1} // any of them is a row
	var read bool
	if c.factors, read = weights.Numbers(scales); !read {
		return v, fmt.Errorf("tensor %q: is %s, no factors", base+".scales", scales.Format)
	}
	if c.group, err = r.groupOf(base+".g_idx", m.In, c.each, c.groups); err != nil {
		return v, err
	}
	return coded(fmt.Sprintf("%d bits of %s", m.Bits, r.method), m.Out, m.In, c.whole()), nil
}

// carries is what is added to a word of zeros that are written one less: to each of them one, and what is carried goes into the next.
var carries = map[int]uint32{2: 0x55555555, 4: 0x11111111, 8: 0x01010101}

// byColumn is a matrix whose codes lie by input.
type byColumn struct {
	words   blocks.Columns
	zeros   []byte
	each    int           // inputs of a group
	groups  int           // that there are factors and zeros for
	factors weights.Coded // (groups * out, 1)
	group   groupIndex
	carry   uint32
}

// awqOrder is where in a word of AWQ an output's code is.
var awqOrder = [8]int{0, 4, 1, 5, 2, 6, 3, 7}

// together is how many rows are gone through at once: a line of memory has words of many of them.
const together = 64

// inStrips goes through rows some at a time. Of each it gives the codes, and for each group the factor and the zero.
func (c *byColumn) inStrips(row, rows int, each func(row int, codes []byte, factors []float32, zeros []byte)) {
	n := min(together, rows)
	codes, wide := make([]byte, n*c.words.In), make([]float32, c.groups*n)
	factors, zeros := make([]float32, c.groups), make([]byte, c.groups)
	for end := row + rows; row < end; row += n {
		n = min(n, end-row)
		c.words.Codes(codes[:n*c.words.In], row)
		for g := range c.groups {
			c.factors.Widen(wide[g*n:(g+1)*n], g*c.words.Out+row)
		}
		for o := range n {
			for g := range c.groups {
				factors[g], zeros[g] = wide[g*n+o], byte(c.zero(g, row+o))
			}
			each(row+o, codes[o*c.words.In:(o+1)*c.words.In], factors, zeros)
		}
	}
}

// Widen implements weights.Coded.
func (c *byColumn) Widen(to []float32, row int) {
	in := c.words.In
	if in == 0 {
		return
	}
	r := blocks.Row{Each: c.each, Zeros: make([]float32, c.groups), Index: c.group}
	c.inStrips(row, len(to)/in, func(at int, codes []byte, factors []float32, zeros []byte) {
		r.Codes, r.Factors = codes, factors
		for g, z := range zeros {
			r.Zeros[g] = float32(z)
		}
		r.Widen(to[(at-row)*in:][:in])
	})
}

// File implements weights.Coded: all of it is read for every row, and nobody reads it again after the last one.
func (c *byColumn) File(_, to int) []byte {
	if to < c.words.Out {
		return nil
	}
	return c.words.Words
}

func (c *byColumn) zero(group, out int) uint32 {
	bits := c.words.Bits
	each := 32 / bits
	word := binary.LittleEndian.Uint32(c.zeros[4*(group*(c.words.Out/each)+out/each):]) + c.carry
	if c.words.AWQ {
		return word >> (4 * awqOrder[out%8]) & 15
	}
	return word >> (out % each * bits) & (1<<bits - 1)
}

// whole is the same as whole numbers with a factor for 128 columns, if that is what it is.
func (c *byColumn) whole() weights.Coded {
	bits := c.words.Bits
	if c.group != nil || c.groups > 1 && c.each%blockCols != 0 {
		return c
	}
	w := wholeColumns{c, -1<<bits + 1, 1<<bits - 1}
	if half := 1 << (bits - 1); c.allZeros(uint32(half)) {
		w.least, w.most = -half, half-1
	}
	return w
}

// allZeros says that all zeros are the same; it gives up at the first that is not.
func (c *byColumn) allZeros(zero uint32) bool {
	want := zero*carries[c.words.Bits] - c.carry
	for i := 0; i+4 <= len(c.zeros); i += 4 {
		if binary.LittleEndian.Uint32(c.zeros[i:]) != want {
			return false
		}
	}
	return true
}

type wholeColumns struct {
	*byColumn
	least, most int
}

// Range implements weights.Whole.
func (w wholeColumns) Range() (least, most int) { return w.least, w.most }

// Codes implements weights.Whole.
func (w wholeColumns) Codes(to []int8, factors []float32, row int) {
	in := w.words.In
	if in == 0 {
		return
	}
	per := (in + blockCols - 1) / blockCols
	w.inStrips(row, len(to)/in, func(at int, codes []byte, own []float32, zeros []byte) {
		at -= row
		blocks.Less(to[at*in:][:in], codes, zeros, w.each)
		for b := range per {
			factors[at*per+b] = own[b*blockCols/w.each]
		}
	})
}
