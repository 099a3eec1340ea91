// columns.go has AWQ and GPTQ, whose codes lie by input: a row of theirs is a column of the matrix, or eight.

package hfquant

import (
	"encoding/binary"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/weights"
)

// columns reads qweight, qzeros and scales. How many bits codes have is told by the zeros, because a config can have single modules with others.
func (r *reader) columns(base string) (weights.View, error) {
	v, _ := r.get(base + ".qweight")
	a, b, err := matrix(base+".qweight", v, "I32")
	if err != nil {
		return v, err
	}
	zeros, ok := r.get(base + ".qzeros")
	if !ok || zeros.Format != "I32" || len(zeros.Shape) != 2 || zeros.Shape[0] < 1 {
		return v, fmt.Errorf("tensor %q: is %s %v, no zeros of groups", base+".qzeros", zeros.Format, zeros.Shape)
	}
	c := &byColumn{codes: v.Data, zeros: zeros.Data, awq: r.method == awq}
	if c.awq { // (in, out/8)
		c.bits, c.in, c.out = 4, a, 8*b
	} else if c.bits = zeros.Shape[1] * 32 / max(1, b); c.bits == 2 || c.bits == 4 || c.bits == 8 { // (in*bits/32, out)
		c.in, c.out = a*32/c.bits, b
	} else {
		return v, fmt.Errorf("tensor %q: has codes of %d bits, which are not built for gptq; only 2, 4 and 8 are: %s", base+".qweight", c.bits, Instead("other"))
	}
	groups := zeros.Shape[0]
	if c.each = max(1, c.in/groups); r.size > 0 && (c.in+r.size-1)/r.size == groups { // the last may have fewer
		c.each = r.size
	}
	if zeros.Shape[1]*32 != c.out*c.bits || (c.in+c.each-1)/c.each != max(1, min(groups, c.in)) {
		return v, fmt.Errorf("tensor %q: is %v, no zeros of groups of %d inputs to %d outputs", base+".qzeros", zeros.Shape, c.in, c.out)
	}
	if !c.awq && !r.v2 {
		c.carry = carries[c.bits]
	}
	scales, ok := r.get(base + ".scales")
	if !ok || len(scales.Shape) != 2 || scales.Shape[0] != groups || scales.Shape[1] != c.out {
		return v, fmt.Errorf("tensor %q: is %s %v, no factors of %d groups of %d outputs", base+".scales", scales.Format, scales.Shape, groups, c.out)
	}
	scales.Shape = []int{groups * c.out, 1} // any of them is a row
	var read bool
	if c.factors, read = weights.Numbers(scales); !read {
		return v, fmt.Errorf("tensor %q: is %s, no factors", base+".scales", scales.Format)
	}
	if c.group, err = r.groupOf(base+".g_idx", c.in, c.each, groups); err != nil {
		return v, err
	}
	return coded(fmt.Sprintf("%d bits of %s", c.bits, r.method), c.out, c.in, c.whole(groups)), nil
}

// carries is what is added to a word of zeros that are written one less: to each of them one, and what is carried goes into the next.
var carries = map[int]uint32{2: 0x55555555, 4: 0x11111111, 8: 0x01010101}

// byColumn is a matrix whose codes lie by input.
type byColumn struct {
	codes, zeros  []byte
	bits          int
	in, out, each int           // each: inputs of a group
	factors       weights.Coded // (groups * out, 1)
	group         groupIndex
	carry         uint32
	awq           bool
}

// awqOrder is where in a word of AWQ an output's code is.
var awqOrder = [8]int{0, 4, 1, 5, 2, 6, 3, 7}

// Widen implements weights.Coded.
func (c *byColumn) Widen(to []float32, row int) {
	if c.in == 0 {
		return
	}
	n, groups := len(to)/c.in, (c.in+c.each-1)/c.each
	steps, factors := make([]int16, n*c.in), make([]float32, groups*n)
	c.steps(steps, row)
	for g := range groups {
		c.factors.Widen(factors[g*n:(g+1)*n], g*c.out+row)
	}
	for o := range n {
		line, from := to[o*c.in:(o+1)*c.in], steps[o*c.in:(o+1)*c.in]
		if c.group != nil {
			for i, s := range from {
				line[i] = float32(s) * factors[c.group.at(i)*n+o]
			}
			continue
		}
		for g := range groups {
			factor, part := factors[g*n+o], from[g*c.each:min((g+1)*c.each, c.in)]
			for i, s := range part {
				line[g*c.each+i] = float32(s) * factor
			}
		}
	}
}

// together is how many inputs are gone through for one row before the next: their words stay at hand, since those of the next row lie beside.
const together = 256

// steps writes what codes are above their zeros, of whole rows.
func (c *byColumn) steps(to []int16, row int) {
	for from := 0; from < c.in; from += together {
		for o := range len(to) / c.in {
			line := to[o*c.in+from : o*c.in+min(from+together, c.in)]
			if c.awq {
				c.awqCodes(line, from, row+o)
			} else {
				c.gptqCodes(line, from, row+o)
			}
			c.lessZeros(line, from, row+o)
		}
	}
}

// awqCodes are those of an output for inputs from one on.
func (c *byColumn) awqCodes(to []int16, from, out int) {
	wide, shift := 4*(c.out/8), 4*awqOrder[out%8]
	at := from*wide + 4*(out/8)
	for i := range to {
		to[i] = int16(binary.LittleEndian.Uint32(c.codes[at:]) >> shift & 15)
		at += wide
	}
}

// gptqCodes are those of an output for inputs from a multiple of 256 on, of which whole words are.
func (c *byColumn) gptqCodes(to []int16, from, out int) {
	each, mask := 32/c.bits, uint32(1)<<c.bits-1
	at := 4 * (from/each*c.out + out)
	for ; len(to) > 0; to = to[each:] {
		word := binary.LittleEndian.Uint32(c.codes[at:])
		for i := range each {
			to[i] = int16(word & mask)
			word >>= c.bits
		}
		at += 4 * c.out
	}
}

// lessZeros takes from codes their groups' zeros.
func (c *byColumn) lessZeros(to []int16, from, out int) {
	if c.group != nil {
		last, zero := -1, int16(0)
		for i := range to {
			if g := c.group.at(from + i); g != last {
				last, zero = g, int16(c.zero(g, out))
			}
			to[i] -= zero
		}
		return
	}
	for i := 0; i < len(to); {
		g := (from + i) / c.each
		zero := int16(c.zero(g, out))
		for end := min(len(to), (g+1)*c.each-from); i < end; i++ {
			to[i] -= zero
		}
	}
}

// File implements weights.Coded: all of it is read for every row, and nobody reads it again after the last one.
func (c *byColumn) File(_, to int) []byte {
	if to < c.out {
		return nil
	}
	return c.codes
}

func (c *byColumn) zero(group, out int) uint32 {
	each := 32 / c.bits
	word := binary.LittleEndian.Uint32(c.zeros[4*(group*(c.out/each)+out/each):]) + c.carry
	if c.awq {
		return word >> (4 * awqOrder[out%8]) & 15
	}
	return word >> (out % each * c.bits) & (1<<c.bits - 1)
}

// whole is the same as whole numbers with a factor for 128 columns, if that is what it is.
func (c *byColumn) whole(groups int) weights.Coded {
	if c.group != nil || groups > 1 && c.each%blockCols != 0 {
		return c
	}
	w := wholeColumns{c, -1<<c.bits + 1, 1<<c.bits - 1}
	if half := 1 << (c.bits - 1); c.allZeros(uint32(half)) {
		w.least, w.most = -half, half-1
	}
	return w
}

// allZeros says that all zeros are the same; it gives up at the first that is not.
func (c *byColumn) allZeros(zero uint32) bool {
	want := zero*carries[c.bits] - c.carry
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
	steps, one := make([]int16, len(to)), make([]float32, len(to)/max(1, w.in))
	w.steps(steps, row)
	for i, s := range steps {
		to[i] = int8(s)
	}
	blocks := (w.in + blockCols - 1) / blockCols
	for b := range blocks {
		w.factors.Widen(one, b*blockCols/w.each*w.out+row)
		for o, f := range one {
			factors[o*blocks+b] = f
		}
	}
}
