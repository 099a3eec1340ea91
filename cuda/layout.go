package cuda

import (
	"fmt"
	"math"
	"slices"
)

// layout.go says how a matrix of weights lies in memory. A layout is planes of blocks: bf16 is one plane whose blocks are single
// elements; 8-bit floats have a second one with a factor for each block of 128 x 128; a packed form has larger blocks. Kernels
// know a layout by its name, so that what a checkpoint or a device brings is a new row here and a new entry of theirs.

// Layout is how the elements of a matrix lie in memory.
type Layout struct {
	Name   string // which kernels compute with it: "bf16"
	Planes []Plane
}

// Plane is blocks of Rows x Cols elements of the matrix that take Bytes each, row of blocks by row of blocks. Blocks at the edges
// are whole in memory.
type Plane struct{ Rows, Cols, Bytes int }

// MaxPlanes is the number of planes a layout can have.
const MaxPlanes = 3

// WeightAlign is where the planes of a matrix begin on a device: at multiples of so many bytes.
const WeightAlign = 64

// plainLayouts are the forms of the element types that files have whole.
var plainLayouts = [dtypes]*Layout{F32: plain(F32), BF16: plain(BF16), F16: plain(F16)}

func plain(d DType) *Layout { return &Layout{d.String(), []Plane{{1, 1, d.Size()}}} }

// Plain is rows of elements one after the other; nil for a type that is no weight's by itself.
func Plain(d DType) *Layout {
	if d >= dtypes {
		return nil
	}
	return plainLayouts[d]
}

// BlockScaled is F8E4M3 with a factor in f32 or bf16 for each block of rows x cols: element (o, i) stands for
// e[o][i] · factors[o div rows][i div cols].
func BlockScaled(rows, cols int, factors DType) (*Layout, error) {
	switch {
	case rows <= 0 || cols <= 0 || rows > math.MaxInt32 || cols > math.MaxInt32:
		return nil, fmt.Errorf("blocks of %d x %d elements are impossible", rows, cols)
	case factors != F32 && factors != BF16:
		return nil, fmt.Errorf("block scales are %s or %s, not %s", F32, BF16, factors)
	}
	return &Layout{F8E4M3.String() + "/" + factors.String(), []Plane{{1, 1, 1}, {rows, cols, factors.Size()}}}, nil
}

// The quantised forms, by what a user calls them. An element is a code times factors. Codes are in blocks of 16 rows by 128 columns, of
// which each four columns of 16 rows lie together, as dot products of bytes take them; what a matrix does not have of a block is zeros.
const (
	// Q8 has codes of 8 bits, -127 to 127, and a factor in bf16 for 128 columns of a row: 8.125 bits an element.
	Q8 = "q8"
	// Q4 has codes of 4 bits, -8 to 7, a whole number from 1 to 15 for 32 columns of a row, and a factor in bf16 for its 128: 4.25 bits an
	// element. A code times its whole number fits in 8 bits, so that sums over 128 columns are those of whole numbers here, too. Two
	// levels of factors: Dai et al., "VS-Quant", 2021, arXiv:2102.04503.
	Q4 = "q4"
	// Q4K and Q6K are what llama.cpp's files have as Q4_K and Q6_K, number for number, in an order for such products: blocks of 16 rows by 256
	// columns. Q4K has codes of 4 bits, for 32 columns of a row a factor and a minimum of 6 bits, and two factors in f16 for these, 4.5 bits
	// an element; Q6K codes of 6 bits, for 16 columns a factor of 8 bits, and one in f16 for these, 6.625 bits. Nothing is quantised to
	// them: they are for files that have such blocks.
	Q4K = "q4k"
	Q6K = "q6k"
)

// quantised: the second plane, where there is one, is what codes are multiplied by. In codes.h and kcodes.h of cuda/cpu is where each lies.
var quantised = map[string]*Layout{
	Q8:  {Q8, []Plane{{16, 128, 16 * 128}, {16, 128, 16 * 2}}},
	Q4:  {Q4, []Plane{{16, 128, 16 * 64}, {16, 128, 16*2 + 16*2}}},
	Q4K: {Q4K, []Plane{{16, 256, 16*16 + 16*128}}},
	Q6K: {Q6K, []Plane{{16, 256, 16*20 + 16*192}}},
}

// Quantised is the layout of a name; nil if there is none.
func Quantised(name string) *Layout { return quantised[name] }

// Equal says whether two layouts are the same.
func (l *Layout) Equal(o *Layout) bool {
	return l == o || l != nil && o != nil && l.Name == o.Name && slices.Equal(l.Planes, o.Planes)
}

// bytes is what a plane takes of a matrix.
func (p Plane) bytes(rows, cols int) int64 {
	return int64(ceilDiv(rows, p.Rows)) * int64(ceilDiv(cols, p.Cols)) * int64(p.Bytes)
}

// DeviceBytes is what Lay needs for a matrix.
func (l *Layout) DeviceBytes(rows, cols int) (n int64) {
	for _, p := range l.Planes {
		n += aligned(p.bytes(rows, cols))
	}
	return n
}

// RowStep is the number of rows at whose multiples a matrix can be cut: no plane has a block across them.
func (l *Layout) RowStep() int {
	step := 1
	for _, p := range l.Planes {
		step = step / gcd(step, p.Rows) * p.Rows
	}
	return step
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func aligned(n int64) int64 { return (n + WeightAlign - 1) &^ (WeightAlign - 1) }
