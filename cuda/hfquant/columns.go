// columns.go has AWQ and GPTQ, whose codes lie by input: a row of theirs is a column of the matrix, or eight.

package hfquant

import (
	"encoding/binary"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/weights"
)

// columns reads qweight, qzeros and scales.
func (r *reader) columns(base string) (weights.View, error) {
	v, _ := r.get(base + ".qweight")
	a, b, err := matrix(base+".qweight", v, "I32")
	if err != nil {
		return v, err
	}
	bits := r.bits[0]
	c := &byColumn{codes: v.Data, bits: bits, awq: r.method == awq}
	if c.awq { // (in, out/8)
		c.in, c.out = a, 8*b
	} else { // (in*bits/32, out)
		c.in, c.out = a*32/bits, b
	}
	scales, ok := r.get(base + ".scales")
	factors, read := weights.Numbers(scales)
	if !ok || !read || len(scales.Shape) != 2 || scales.Shape[1] != c.out || scales.Shape[0] < 1 || c.in%scales.Shape[0] != 0 {
		return v, fmt.Errorf("tensor %q: is %s %v, no factors of %d inputs to %d outputs", base+".scales", scales.Format, scales.Shape, c.in, c.out)
	}
	groups := scales.Shape[0]
	c.factors, c.each = factors, max(1, c.in/groups)
	zeros, ok := r.get(base + ".qzeros")
	if !ok || zeros.Format != "I32" || len(zeros.Shape) != 2 || zeros.Shape[0] != groups || zeros.Shape[1] != c.out*bits/32 || c.out*bits%32 != 0 {
		return v, fmt.Errorf("tensor %q: is %s %v, no zeros of %d groups of %d outputs", base+".qzeros", zeros.Format, zeros.Shape, groups, c.out)
	}
	c.zeros = zeros.Data
	if !c.awq && !r.v2 {
		c.carry = carries[bits]
	}
	if c.group, err = r.groupOf(base+".g_idx", c.in, groups); err != nil {
		return v, err
	}
	return coded(fmt.Sprintf("%d bits of %s", bits, r.method), c.out, c.in, c), nil
}

// carries is what is added to a word of zeros that are written one less: to each of them one, and what is carried goes into the next.
var carries = map[int]uint32{2: 0x55555555, 4: 0x11111111, 8: 0x01010101}

// byColumn is a matrix whose codes lie by input.
type byColumn struct {
	codes, zeros  []byte
	bits          int
	in, out, each int // each: inputs of a group
	factors       weights.Coded
	group         []int
	carry         uint32
	awq           bool
}

// awqOrder is where in a word of AWQ an output's code is.
var awqOrder = [8]int{0, 4, 1, 5, 2, 6, 3, 7}

// Widen implements weights.Coded. It goes through the codes as they lie, since a matrix's row is nowhere together.
func (c *byColumn) Widen(to []float32, row int) {
	if c.in == 0 {
		return
	}
	n := len(to) / c.in
	factors, zeros, all := make([]float32, n), make([]float32, n), make([]float32, c.out)
	last := -1
	for i := range c.in {
		g := i / c.each
		if c.group != nil {
			g = c.group[i]
		}
		if g != last {
			last = g
			c.factors.Widen(all, g)
			copy(factors, all[row:row+n])
			for o := range n {
				zeros[o] = float32(c.zero(g, row+o))
			}
		}
		for o := range n {
			to[o*c.in+i] = (float32(c.code(i, row+o)) - zeros[o]) * factors[o]
		}
	}
}

// File implements weights.Coded.
func (*byColumn) File(int, int) []byte { return nil }

func (c *byColumn) code(in, out int) uint32 {
	if c.awq {
		return binary.LittleEndian.Uint32(c.codes[4*(in*(c.out/8)+out/8):]) >> (4 * awqOrder[out%8]) & 15
	}
	each := 32 / c.bits
	return binary.LittleEndian.Uint32(c.codes[4*(in/each*c.out+out):]) >> (in % each * c.bits) & (1<<c.bits - 1)
}

func (c *byColumn) zero(group, out int) uint32 {
	each := 32 / c.bits
	word := binary.LittleEndian.Uint32(c.zeros[4*(group*(c.out/each)+out/each):]) + c.carry
	if c.awq {
		return word >> (4 * awqOrder[out%8]) & 15
	}
	return word >> (out % each * c.bits) & (1<<c.bits - 1)
}
