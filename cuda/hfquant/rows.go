// rows.go has the forms in which a row of a matrix lies together.

package hfquant

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/cuda/weights/blocks"
)

// grouped is rows of codes with a factor for each group of columns: (code - zero) * factor, or code * factor + zero.
type grouped struct {
	data       []byte
	rowBytes   int
	cols, each int // columns of a row, and of a group
	bits       int
	unpack     func(to, data []byte, bits int) // to a byte each; nil: that is how they lie
	kind       blocks.Kind                     // of what they then are
	factors    weights.Coded                   // (rows, groups)
	zeros      func(to []float32, row int)     // nil: none
	added      bool                            // zeros are added after multiplying
	group      groupIndex                      // of each column; nil: one group after the other
}

func (g *grouped) groups() int { return (g.cols + g.each - 1) / g.each }

// Widen implements weights.Coded.
func (g *grouped) Widen(to []float32, row int) {
	if g.cols == 0 {
		return
	}
	codes, r := make([]byte, g.cols), blocks.Row{Kind: g.kind, Each: g.each, Factors: make([]float32, g.groups()), Added: g.added, Index: g.group}
	if g.zeros != nil {
		r.Zeros = make([]float32, g.groups())
	}
	for ; len(to) >= g.cols; row, to = row+1, to[g.cols:] {
		r.Codes = g.codes(codes, row)
		g.factors.Widen(r.Factors, row)
		if g.zeros != nil {
			g.zeros(r.Zeros, row)
		}
		r.Widen(to[:g.cols])
	}
}

// codes are those of a row, a byte each: in room, or where they lie.
func (g *grouped) codes(room []byte, row int) []byte {
	data := g.File(row, row+1)
	if g.unpack == nil {
		return data
	}
	g.unpack(room, data, g.bits)
	return room
}

// File implements weights.Coded.
func (g *grouped) File(from, to int) []byte { return g.data[from*g.rowBytes : to*g.rowBytes] }

// constant is the same zero for all.
func constant(z float32) func([]float32, int) {
	return func(to []float32, _ int) {
		for i := range to {
			to[i] = z
		}
	}
}

// factors checks the factors of a matrix: one for each row and group, or one for each row.
func (r *reader) factors(name string, rows, cols int) (f weights.Coded, each int, err error) {
	v, ok := r.get(name)
	if !ok {
		return nil, 0, fmt.Errorf("tensor %q is missing", name)
	}
	if len(v.Shape) == 1 { // one for each row
		v.Shape = []int{v.Shape[0], 1}
	}
	numbers, read := weights.Numbers(v)
	groups := 0
	if n := len(v.Shape); n > 1 { // more than two: those of all experts
		groups = v.Shape[n-1]
	}
	if !read || groups < 1 || groups > max(1, cols) || elements(v.Shape) != rows*groups || cols%groups != 0 && groups != 1 {
		return nil, 0, fmt.Errorf("tensor %q: is %s %v, no factors of %d x %d codes", name, v.Format, v.Shape, rows, cols)
	}
	return numbers, max(1, (cols+groups-1)/groups), nil
}

// packed reads codes of compressed-tensors that are packed into words, or in FP4.
func (r *reader) packed(base string) (weights.View, error) {
	name := base + ".weight_packed"
	v, _ := r.get(name)
	if v.Format == "U8" {
		scale, _ := r.src.Get(base+".weight_scale", nil)
		if scale.Format == "U8" {
			return r.mxfp4(base, v)
		}
		return r.nvfp4(base, v, base+".weight_global_scale", true)
	}
	rows, wide, err := matrix(name, v, "I32")
	if err != nil {
		return v, err
	}
	cols, err := r.shape(base, rows)
	if err != nil {
		return v, err
	}
	bits, across, err := r.layout(name, wide, cols)
	if err != nil {
		return v, err
	}
	g := &grouped{data: v.Data, rowBytes: 4 * wide, cols: cols, bits: bits, unpack: words, zeros: constant(float32(int(1) << (bits - 1)))}
	if across {
		g.unpack = stream
	}
	if g.factors, g.each, err = r.factors(base+".weight_scale", rows, cols); err != nil {
		return v, err
	}
	half := 1 << (bits - 1)
	least, most := -half, half-1
	if asymmetric, err := r.zeroPoints(base, g, rows, across); err != nil {
		return v, err
	} else if asymmetric {
		least, most = -2*half+1, 2*half-1
	}
	if g.group, err = r.groupOf(base+".weight_g_idx", cols, g.each, g.groups()); err != nil {
		return v, err
	}
	return coded(fmt.Sprintf("int%d of compressed-tensors", bits), rows, cols, g.whole(least, most)), nil
}

// shape reads how many columns packed rows have.
func (r *reader) shape(base string, rows int) (cols int, err error) {
	name := base + ".weight_shape"
	v, ok := r.get(name)
	if !ok || len(v.Shape) != 1 || v.Shape[0] != 2 || v.Format != "I64" && v.Format != "I32" {
		return 0, fmt.Errorf("tensor %q is missing, or not two whole numbers", name)
	}
	size := len(v.Data) / 2
	both := [2]int64{whole(v.Data[:size]), whole(v.Data[size:])}
	if both[0] != int64(rows) || both[1] < 1 || both[1] > math.MaxInt32 {
		return 0, fmt.Errorf("tensor %q: says %v of %d rows", name, both, rows)
	}
	return int(both[1]), nil
}

func whole(b []byte) (n int64) {
	for i := range b {
		n |= int64(b[i]) << (8 * i)
	}
	if len(b) == 4 {
		return int64(int32(n))
	}
	return n
}

// layout tells by the number of words how many bits of those in the config a code has, and whether codes lie across words, as from compressed-tensors
// 0.18 on, or not.
func (r *reader) layout(name string, wide, cols int) (bits int, across bool, err error) {
	for _, across := range []bool{true, false} {
		for _, bits := range r.bits {
			if bits >= 1 && bits <= 8 && wordsOf(cols, bits, across) == wide {
				return bits, across, nil
			}
		}
	}
	return 0, false, fmt.Errorf("tensor %q: %d columns in %d words are no codes of %v bits, as config_groups has them", name, cols, wide, r.bits)
}

// wordsOf is how many words n codes take.
func wordsOf(n, bits int, across bool) int {
	if across {
		return (n*bits + 31) / 32
	}
	each := 32 / bits
	return (n + each - 1) / each
}

// zeroPoints reads the zeros of codes that have them, which are packed along the rows' own dimension, as the codes are.
func (r *reader) zeroPoints(base string, g *grouped, rows int, across bool) (found bool, err error) {
	name := base + ".weight_zero_point"
	v, ok := r.get(name)
	if !ok {
		return false, nil
	}
	wide, groups, err := matrix(name, v, "I32")
	if err != nil {
		return false, err
	}
	if groups != g.groups() || wordsOf(rows, g.bits, across) != wide {
		return false, fmt.Errorf("tensor %q: is %v, no zeros of %d rows in %d groups", name, v.Shape, rows, g.groups())
	}
	g.zeros = func(to []float32, row int) {
		at := row * g.bits
		if !across {
			at = row/(32/g.bits)*32 + row%(32/g.bits)*g.bits
		}
		for c := range to {
			word := uint64(binary.LittleEndian.Uint32(v.Data[4*(at/32*groups+c):]))
			if at%32+g.bits > 32 {
				word |= uint64(binary.LittleEndian.Uint32(v.Data[4*((at/32+1)*groups+c):])) << 32
			}
			to[c] = float32(word >> (at % 32) & (1<<g.bits - 1))
		}
	}
	return true, nil
}

// oneFactor reads FP8 whose factors are called as those of blocks are, and are one for the tensor or each row.
func (r *reader) oneFactor(base string, v weights.View) (_ weights.View, read bool, err error) {
	name := base + ".weight_scale_inv"
	scale, ok := r.src.Get(name, nil)
	if !ok || !r.blockless && (len(scale.Shape) > 1 || elements(scale.Shape) > 1) {
		return v, false, nil // it has blocks, or is told to lack them
	}
	return r.scaled(base, v, name)
}

// scaled reads F8_E4M3 and whole numbers with a factor for the tensor, each row, or groups of a row; name is that of the factors. FP8 in blocks is
// left as it is, with the name for its factors that models know; read is then false.
func (r *reader) scaled(base string, v weights.View, name string) (_ weights.View, read bool, err error) {
	rows, cols, err := matrix(base+".weight", v, v.Format)
	if err != nil {
		return v, false, err
	}
	scale, _ := r.src.Get(name, nil)
	if blocks := []int{(rows + 127) / 128, (cols + 127) / 128}; v.Format == "F8_E4M3" && slices.Equal(scale.Shape, blocks) && elements(blocks) > 1 && blocks[0] < rows {
		r.get(name)
		return v, false, r.put(base+".weight_scale_inv", scale)
	}
	g := &grouped{data: v.Data, rowBytes: cols, cols: cols, each: max(1, cols), kind: blocks.Signed}
	if v.Format == "F8_E4M3" {
		g.kind = blocks.Float8
	}
	switch {
	case scale.Format == "U8" && v.Format == "F8_E4M3":
		g.factors, g.each, err = r.powersOf(name, rows, cols)
	case elements(scale.Shape) == 1:
		r.get(name)
		one, ok := weights.Numbers(scale)
		if !ok {
			return v, false, fmt.Errorf("tensor %q: is %s, no factor", name, scale.Format)
		}
		g.factors = same{one}
	default:
		g.factors, g.each, err = r.factors(name, rows, cols)
	}
	if err != nil {
		return v, false, err
	}
	if _, zeros := r.src.Get(base+".weight_zero_point", nil); zeros {
		return v, false, fmt.Errorf("tensor %q: zeros of whole numbers are not read", base+".weight_zero_point")
	}
	c := weights.Coded(g)
	if v.Format == "I8" {
		c = g.whole(-128, 127)
	}
	return coded(v.Format+" with factors", rows, cols, c), true, nil
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// same is one number for all rows.
type same struct{ one weights.Coded }

func (s same) Widen(to []float32, _ int) {
	s.one.Widen(to[:1], 0)
	for i := range to {
		to[i] = to[0]
	}
}
func (same) File(int, int) []byte { return nil }

// halves unpacks codes of which a byte has two, the lower half first.
func halves(to, data []byte, _ int) { blocks.Nibbles(to, data) }

// nvfp4 reads numbers of 4 bits, the even column in the low half of a byte, with a factor in F8_E4M3 for each 16 columns and one for all, which
// factors are divided by or multiplied with.
func (r *reader) nvfp4(base string, v weights.View, global string, divide bool) (weights.View, error) {
	rows, half, err := matrix(base+".weight", v, "U8")
	if err != nil {
		return v, err
	}
	cols := 2 * half
	g := &grouped{data: v.Data, rowBytes: half, cols: cols, unpack: halves, kind: blocks.Float4}
	factors, each, err := r.factors(base+".weight_scale", rows, cols)
	if err != nil {
		return v, err
	}
	one, ok := r.get(global)
	number, read := weights.Numbers(one)
	if !ok || !read || elements(one.Shape) != 1 || one.DType != cuda.F32 {
		return v, fmt.Errorf("tensor %q is missing, or no number in F32", global)
	}
	var f [1]float32
	number.Widen(f[:], 0)
	g.factors, g.each = times{factors, f[0], divide}, each
	return coded("NVFP4", rows, cols, g), nil
}

// times is factors with one for all.
type times struct {
	of     weights.Coded
	by     float32
	divide bool
}

func (t times) Widen(to []float32, row int) {
	t.of.Widen(to, row)
	for i := range to {
		if t.divide {
			to[i] /= t.by
		} else {
			to[i] *= t.by
		}
	}
}
func (times) File(int, int) []byte { return nil }

// mxfp4 reads numbers of 4 bits with a power of two for each 32 columns.
func (r *reader) mxfp4(base string, v weights.View) (weights.View, error) {
	rows, half, err := matrix(base+".weight_packed", v, "U8")
	if err != nil {
		return v, err
	}
	g := &grouped{data: v.Data, rowBytes: half, cols: 2 * half, unpack: halves, kind: blocks.Float4}
	if g.factors, g.each, err = r.powersOf(base+".weight_scale", rows, g.cols); err != nil {
		return v, err
	}
	return coded("MXFP4", rows, g.cols, g), nil
}

// powersOf reads factors that are powers of two, of 32 columns each.
func (r *reader) powersOf(name string, rows, cols int) (f weights.Coded, each int, err error) {
	v, _ := r.get(name)
	if n := len(v.Shape); v.Format != "U8" || n < 2 || elements(v.Shape) != rows*v.Shape[n-1] || v.Shape[n-1]*32 != cols {
		return nil, 0, fmt.Errorf("tensor %q: is %s %v, no factors of %d x %d numbers in groups of 32", name, v.Format, v.Shape, rows, cols)
	}
	return powers{v.Data, v.Shape[len(v.Shape)-1]}, 32, nil
}

type powers struct {
	data   []byte
	groups int
}

func (p powers) Widen(to []float32, row int) {
	for i := range to {
		to[i] = blocks.E8M0(p.data[row*p.groups+i])
	}
}
func (powers) File(int, int) []byte { return nil }
