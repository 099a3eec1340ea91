// rows.go has the forms in which a row of a matrix lies together.

package hfquant

import (
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
	unpack     func(to []float32, data []byte, bits int)
	factors    weights.Coded // (rows, groups)
	zeros      func(to []float32, row int)
	added      bool  // zeros are added after multiplying
	group      []int // of each column; nil: one group after the other
}

func (g *grouped) groups() int { return (g.cols + g.each - 1) / g.each }

// Widen implements weights.Coded.
func (g *grouped) Widen(to []float32, row int) {
	if g.cols == 0 {
		return
	}
	n := g.groups()
	factors, zeros := make([]float32, n), make([]float32, n)
	for ; len(to) >= g.cols; row, to = row+1, to[g.cols:] {
		line := to[:g.cols]
		g.unpack(line, g.data[row*g.rowBytes:(row+1)*g.rowBytes], g.bits)
		g.factors.Widen(factors, row)
		g.zeros(zeros, row)
		for i := range line {
			at := i / g.each
			if g.group != nil {
				at = g.group[i]
			}
			if g.added {
				line[i] = float32(line[i]*factors[at]) + zeros[at]
			} else {
				line[i] = (line[i] - zeros[at]) * factors[at]
			}
		}
	}
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
	groups := 1
	if len(v.Shape) == 2 {
		groups = v.Shape[1]
	}
	if !read || len(v.Shape) == 0 || len(v.Shape) > 2 || v.Shape[0] != rows || groups < 1 || groups > max(1, cols) || cols%groups != 0 && groups != 1 {
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
	bits, unpack, err := r.layout(name, wide, cols)
	if err != nil {
		return v, err
	}
	g := &grouped{data: v.Data, rowBytes: 4 * wide, cols: cols, bits: bits, unpack: unpack, zeros: constant(float32(int(1) << (bits - 1)))}
	if g.factors, g.each, err = r.factors(base+".weight_scale", rows, cols); err != nil {
		return v, err
	}
	if err := r.zeroPoints(base, g, rows); err != nil {
		return v, err
	}
	if g.group, err = r.groupOf(base+".weight_g_idx", cols, g.groups()); err != nil {
		return v, err
	}
	return coded(fmt.Sprintf("int%d of compressed-tensors", bits), rows, cols, g), nil
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
func (r *reader) layout(name string, wide, cols int) (bits int, unpack func([]float32, []byte, int), err error) {
	for _, bits := range r.bits {
		if bits < 1 || bits > 8 {
			continue
		}
		if (cols*bits+31)/32 == wide {
			return bits, stream, nil
		}
	}
	for _, bits := range r.bits {
		if bits < 1 || bits > 8 {
			continue
		}
		if each := 32 / bits; (cols+each-1)/each == wide {
			return bits, words, nil
		}
	}
	return 0, nil, fmt.Errorf("tensor %q: %d columns in %d words are no codes of %v bits, as config_groups has them", name, cols, wide, r.bits)
}

// zeroPoints reads the zeros of codes that have them, which are packed along the rows' own dimension.
func (r *reader) zeroPoints(base string, g *grouped, rows int) error {
	name := base + ".weight_zero_point"
	v, ok := r.get(name)
	if !ok {
		return nil
	}
	wide, groups, err := matrix(name, v, "I32")
	if err != nil {
		return err
	}
	_, unpack, err := (&reader{scheme: scheme{bits: []int{g.bits}}}).layout(name, wide, rows)
	if err != nil || groups != g.groups() {
		return fmt.Errorf("tensor %q: is %v, no zeros of %d rows in %d groups", name, v.Shape, rows, g.groups())
	}
	all, column, line := make([]float32, rows*groups), make([]byte, 4*wide), make([]float32, rows)
	for c := range groups {
		for w := range wide {
			copy(column[4*w:4*w+4], v.Data[4*(w*groups+c):])
		}
		unpack(line, column, g.bits)
		for row, z := range line {
			all[row*groups+c] = z
		}
	}
	g.zeros = func(to []float32, row int) { copy(to, all[row*groups:(row+1)*groups]) }
	return nil
}

// groupOf reads which group each column is of; nil if they follow each other.
func (r *reader) groupOf(name string, cols, groups int) ([]int, error) {
	v, ok := r.get(name)
	if !ok {
		return nil, nil
	}
	if v.Format != "I32" || len(v.Shape) != 1 || v.Shape[0] != cols {
		return nil, fmt.Errorf("tensor %q: is %s %v; one I32 for each of %d columns is needed", name, v.Format, v.Shape, cols)
	}
	group := make([]int, cols)
	for i := range group {
		if group[i] = int(whole(v.Data[4*i : 4*i+4])); group[i] < 0 || group[i] >= groups {
			return nil, fmt.Errorf("tensor %q: column %d is of group %d; there are %d", name, i, group[i], groups)
		}
	}
	return group, nil
}

// affine reads codes of MLX: (rows, words). Single modules may have 8 bits in groups of 64 beside what the config says of all.
func (r *reader) affine(base string, v weights.View) (weights.View, error) {
	if len(v.Shape) != 2 {
		return v, fmt.Errorf("tensor %q: has %d dimensions; MLX checkpoints with all experts of a layer in one tensor are not read: take the one they were made of, or a GGUF file",
			base+".weight", len(v.Shape))
	}
	rows, wide := v.Shape[0], v.Shape[1]
	scales, _ := r.src.Get(base+".scales", nil)
	if len(scales.Shape) != 2 || scales.Shape[0] != rows || scales.Shape[1] < 1 {
		return v, fmt.Errorf("tensor %q: is %v, no factors of %d rows", base+".scales", scales.Shape, rows)
	}
	for _, each := range []int{64, 32, 128} {
		cols := scales.Shape[1] * each
		if bits := wide * 32 / cols; wide*32 == bits*cols && (bits >= 1 && bits <= 6 || bits == 8) && (slices.Contains(r.bits, bits) || each == 64 && bits == 8) {
			g := &grouped{data: v.Data, rowBytes: 4 * wide, cols: cols, bits: bits, unpack: stream, added: true}
			var err error
			if g.factors, g.each, err = r.factors(base+".scales", rows, cols); err != nil {
				return v, err
			}
			biases, _, err := r.factors(base+".biases", rows, cols)
			if err != nil {
				return v, err
			}
			g.zeros = biases.Widen
			return coded(fmt.Sprintf("%d bits of MLX", bits), rows, cols, g), nil
		}
	}
	return v, fmt.Errorf("tensor %q: %d words and %d groups in a row are no codes of %v bits", base+".weight", wide, scales.Shape[1], r.bits)
}

// scaled reads F8_E4M3 and whole numbers with a factor for the tensor, each row, or groups of a row. FP8 in blocks is left as it is, with the
// name for its factors that models know; read is then false.
func (r *reader) scaled(base string, v weights.View) (_ weights.View, read bool, err error) {
	rows, cols, err := matrix(base+".weight", v, v.Format)
	if err != nil {
		return v, false, err
	}
	name := base + ".weight_scale"
	scale, _ := r.src.Get(name, nil)
	if blocks := []int{(rows + 127) / 128, (cols + 127) / 128}; v.Format == "F8_E4M3" && slices.Equal(scale.Shape, blocks) && elements(blocks) > 1 && blocks[0] < rows {
		r.get(name)
		return v, false, r.put(base+".weight_scale_inv", scale)
	}
	g := &grouped{data: v.Data, rowBytes: cols, cols: cols, each: max(1, cols), unpack: signed, zeros: constant(0)}
	if v.Format == "F8_E4M3" {
		g.unpack = floats
	}
	if elements(scale.Shape) == 1 {
		r.get(name)
		one, ok := weights.Numbers(scale)
		if !ok {
			return v, false, fmt.Errorf("tensor %q: is %s, no factor", name, scale.Format)
		}
		g.factors = same{one}
	} else if g.factors, g.each, err = r.factors(name, rows, cols); err != nil {
		return v, false, err
	}
	if _, zeros := r.src.Get(base+".weight_zero_point", nil); zeros {
		return v, false, fmt.Errorf("tensor %q: zeros of whole numbers are not read", base+".weight_zero_point")
	}
	return coded(v.Format+" with factors", rows, cols, g), true, nil
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

func signed(to []float32, data []byte, _ int) {
	for i := range to {
		to[i] = float32(int8(data[i]))
	}
}

func floats(to []float32, data []byte, _ int) {
	for i := range to {
		to[i] = blocks.E4M3(data[i])
	}
}

func fp4(to []float32, data []byte, _ int) {
	for i := range to {
		to[i] = blocks.E2M1(data[i/2] >> (i % 2 * 4))
	}
}

// nvfp4 reads numbers of 4 bits, the even column in the low half of a byte, with a factor in F8_E4M3 for each 16 columns and one for all, which
// factors are divided by or multiplied with.
func (r *reader) nvfp4(base string, v weights.View, global string, divide bool) (weights.View, error) {
	rows, half, err := matrix(base+".weight", v, "U8")
	if err != nil {
		return v, err
	}
	cols := 2 * half
	g := &grouped{data: v.Data, rowBytes: half, cols: cols, unpack: fp4, zeros: constant(0)}
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
	name := base + ".weight_scale"
	scale, _ := r.get(name)
	cols := 2 * half
	if len(scale.Shape) != 2 || scale.Shape[0] != rows || scale.Shape[1]*32 != cols {
		return v, fmt.Errorf("tensor %q: is %v, no factors of %d x %d numbers in groups of 32", name, scale.Shape, rows, cols)
	}
	g := &grouped{data: v.Data, rowBytes: half, cols: cols, each: 32, unpack: fp4, zeros: constant(0), factors: powers{scale.Data, scale.Shape[1]}}
	return coded("MXFP4", rows, cols, g), nil
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
