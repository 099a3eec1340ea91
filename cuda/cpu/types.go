package cpu

import (
	"fmt"
	"math"
	"unsafe"
)

// types.go holds what the kernels are given, and the checks that keep a wrong index from reading or writing memory that is
// not theirs. Lengths of slices are checked where they are used; cuda checks shapes before.

// Type is the type of a matrix's elements. The values are cuda.DType's.
type Type uint8

// The types that kernels read.
const (
	F32    Type = 0
	BF16   Type = 1
	F16    Type = 2
	F8E4M3 Type = 3 // with a Scale
)

// Size is the bytes of an element, 0 for a type kernels do not read.
func (t Type) Size() int {
	switch t {
	case F32:
		return 4
	case BF16, F16:
		return 2
	case F8E4M3:
		return 1
	}
	return 0
}

// Matrix is a weight in the form the file has it in: row-major, rows of Cols elements. It need not be aligned.
type Matrix struct {
	Ptr        unsafe.Pointer
	Type       Type
	Rows, Cols int
	Scale      Scale // of F8E4M3
}

func (m Matrix) check() error {
	if m.Type.Size() == 0 {
		return fmt.Errorf("the cpu kernels read f32, bf16, f16 and f8e4m3, not type %d", m.Type)
	}
	if m.Type == F8E4M3 {
		return m.Scale.check()
	}
	return nil
}

// checkVector refuses what only a matrix has: scaled blocks.
func (m Matrix) checkVector() error {
	if m.Type == F8E4M3 {
		return fmt.Errorf("a vector of weights is f32, bf16 or f16, not f8e4m3")
	}
	return m.check()
}

// Pages addresses the rows of a batch in a paged cache of shape (Blocks, Heads, Size, dim).
type Pages struct {
	Positions, Seqs     []int32 // by row
	Tables              []int32 // block ids, Width of them for each sequence
	Width               int
	Blocks, Heads, Size int
}

// check makes sure that every block that rows 0..position of each row lie in exists.
func (g *Pages) check() error {
	if g.Size <= 0 || len(g.Positions) != len(g.Seqs) {
		return fmt.Errorf("%d positions, %d sequences, blocks of %d", len(g.Positions), len(g.Seqs), g.Size)
	}
	seen, last := int32(-1), int32(-1) // blocks of a sequence checked already, as rows of one come together
	for r, p := range g.Positions {
		q := g.Seqs[r]
		if p < 0 || q < 0 || (int(q)+1)*g.Width > len(g.Tables) || int(p)/g.Size >= g.Width {
			return fmt.Errorf("row %d: position %d of sequence %d is outside tables of %d blocks of %d", r, p, q, g.Width, g.Size)
		}
		from := int32(0)
		if q == seen {
			from = last + 1
		}
		for b := from; b <= p/int32(g.Size); b++ {
			if id := g.Tables[int(q)*g.Width+int(b)]; id < 0 || int(id) >= g.Blocks {
				return fmt.Errorf("row %d: block %d of sequence %d is %d of %d", r, b, q, id, g.Blocks)
			}
			seen, last = q, b
		}
	}
	return nil
}

// slot is the index of the first element of a row's head in a cache whose heads have dim elements.
func (g *Pages) slot(seq, position, head, dim int) int {
	block := int(g.Tables[seq*g.Width+position/g.Size])
	return ((block*g.Heads+head)*g.Size + position%g.Size) * dim
}

func checkIndex(what string, index []int32, limit int) error {
	for i, n := range index {
		if n < 0 || int(n) >= limit {
			return fmt.Errorf("%s %d (at %d) is not among %d", what, n, i, limit)
		}
	}
	return nil
}

// Widen gives element i of a matrix as f32.
func (m Matrix) Widen(i int) float32 {
	switch p := unsafe.Add(m.Ptr, i*m.Type.Size()); m.Type {
	case BF16:
		return math.Float32frombits(uint32(load[uint16](p)) << 16)
	case F16:
		return widenF16(load[uint16](p))
	case F8E4M3:
		return widenF8(*(*uint8)(p)) * m.Scale.at(i/m.Cols, i%m.Cols, m.Cols)
	default:
		return math.Float32frombits(load[uint32](p))
	}
}

// load reads a little-endian integer that need not be aligned.
func load[U uint16 | uint32](p unsafe.Pointer) (u U) {
	b := unsafe.Slice((*byte)(p), unsafe.Sizeof(u))
	for i := range b {
		u |= U(b[i]) << (8 * i)
	}
	return u
}

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
