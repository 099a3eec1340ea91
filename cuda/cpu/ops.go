package cpu

// #cgo noescape pio_matmul
// #cgo nocallback pio_matmul
// #cgo noescape pio_rmsnorm
// #cgo nocallback pio_rmsnorm
// #cgo noescape pio_add
// #cgo nocallback pio_add
// #cgo noescape pio_swiglu
// #cgo nocallback pio_swiglu
// #cgo noescape pio_rotate
// #cgo nocallback pio_rotate
// #cgo noescape pio_embed
// #cgo nocallback pio_embed
// #cgo noescape pio_attention
// #cgo nocallback pio_attention
// #cgo noescape pio_exp
// #cgo nocallback pio_exp
// #include "kernels.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// ops.go calls the kernels, one cgo call for each op. What each computes is in ref.go; what is checked here is all that
// keeps a kernel within its slices.

// Embed writes row tokens[r] of the table to row r of y.
func (p *Pool) Embed(y []float32, tokens []int32, table Matrix) error {
	if err := first(table.check(), checkIndex("token", tokens, table.Rows), sizes(len(y), len(tokens)*table.Cols)); err != nil {
		return err
	}
	if len(y) > 0 {
		C.pio_embed(p.c, p.table, ptr(y), ints(tokens), table.Ptr, C.int(table.Type), table.Scale.Ptr, C.int(table.Scale.Type),
			C.size_t(table.Scale.Rows), C.size_t(table.Scale.Cols), C.size_t(len(tokens)), C.size_t(table.Cols))
	}
	return nil
}

// MatMul is y = x wᵀ.
func (p *Pool) MatMul(y, x []float32, w Matrix) error {
	rows := rowsOf(x, w.Cols)
	if err := first(w.check(), sizes(len(x), rows*w.Cols), sizes(len(y), rows*w.Rows)); err != nil {
		return err
	}
	if len(y) > 0 {
		C.pio_matmul(p.c, p.table, ptr(y), ptr(x), w.Ptr, C.int(w.Type), w.Scale.Ptr, C.int(w.Scale.Type),
			C.size_t(w.Scale.Rows), C.size_t(w.Scale.Cols), C.size_t(rows), C.size_t(w.Cols), C.size_t(w.Rows))
	}
	return nil
}

// RMSNorm normalizes rows as long as w and multiplies by plus + w.
func (p *Pool) RMSNorm(y, x []float32, w Matrix, eps, plus float32) error {
	rows := rowsOf(x, w.Cols)
	if err := first(w.checkVector(), sizes(len(x), rows*w.Cols), sizes(len(y), len(x))); err != nil {
		return err
	}
	if len(y) > 0 {
		C.pio_rmsnorm(p.c, p.table, ptr(y), ptr(x), w.Ptr, C.int(w.Type), C.size_t(rows), C.size_t(w.Cols), C.float(eps), C.float(plus))
	}
	return nil
}

// Add is z = x + y.
func (p *Pool) Add(z, x, y []float32) error {
	if err := first(sizes(len(x), len(z)), sizes(len(y), len(z))); err != nil {
		return err
	}
	if len(z) > 0 {
		C.pio_add(p.c, p.table, ptr(z), ptr(x), ptr(y), C.size_t(len(z)))
	}
	return nil
}

// SwiGLU is y = silu(gate) up.
func (p *Pool) SwiGLU(y, gate, up []float32) error {
	if err := first(sizes(len(gate), len(y)), sizes(len(up), len(y))); err != nil {
		return err
	}
	if len(y) > 0 {
		C.pio_swiglu(p.c, p.table, ptr(y), ptr(gate), ptr(up), C.size_t(len(y)))
	}
	return nil
}

// Angles is computed as the specification says: once in a step, for all layers.
func (p *Pool) Angles(y []float32, positions []int32, axes Axes, freqs []float32, scale float32) error {
	if axes.Count < 1 || axes.Of != nil && len(axes.Of) != len(freqs) {
		return fmt.Errorf("%d frequencies by %d of %d axes", len(freqs), len(axes.Of), axes.Count)
	}
	for _, axis := range axes.Of {
		if int(axis) >= axes.Count {
			return fmt.Errorf("axis %d of %d", axis, axes.Count)
		}
	}
	rows := len(positions) / axes.Count
	err := first(sizes(len(positions), rows*axes.Count), sizes(len(y), 2*rows*len(freqs)))
	if err == nil {
		RefAngles(y, positions, axes, freqs, scale)
	}
	return err
}

// Rotate turns the pairs of each head.
func (p *Pool) Rotate(y, x, angles []float32, s Heads, interleaved bool) error {
	n := s.Rows * s.Heads * s.Dim
	if err := first(sizes(len(y), n), sizes(len(x), n), sizes(len(angles), 2*s.Rows*s.Pairs)); err != nil {
		return err
	}
	if s.First < 0 || s.First+2*s.Pairs > s.Dim {
		return fmt.Errorf("%d pairs from element %d in a head of %d", s.Pairs, s.First, s.Dim)
	}
	if n > 0 && s.Pairs > 0 {
		flag := C.int(0)
		if interleaved {
			flag = 1
		}
		C.pio_rotate(p.c, p.table, ptr(y), ptr(x), ptr(angles), C.size_t(s.Rows), C.size_t(s.Heads), C.size_t(s.Dim), C.size_t(s.Pairs), C.size_t(s.First), flag)
	}
	return nil
}

// CacheWrite moves rows and computes nothing, so it is the specification.
func (p *Pool) CacheWrite(cache, x []float32, g Pages, dim int) error {
	err := first(g.check(), sizes(len(x), len(g.Positions)*g.Heads*dim), sizes(len(cache), g.Blocks*g.Heads*g.Size*dim))
	if err == nil {
		RefCacheWrite(cache, x, g, dim)
	}
	return err
}

// Attention attends with every row to the cache up to its position.
func (p *Pool) Attention(y, q, k, v []float32, g Pages, heads, dim, vdim int, scale float32) error {
	rows, slots := len(g.Positions), g.Blocks*g.Heads*g.Size
	err := first(g.check(), sizes(len(q), rows*heads*dim), sizes(len(y), rows*heads*vdim), sizes(len(k), slots*dim), sizes(len(v), slots*vdim))
	if err != nil {
		return err
	}
	if g.Heads <= 0 || heads%g.Heads != 0 {
		return fmt.Errorf("%d heads cannot share %d kv heads evenly", heads, g.Heads)
	}
	if len(y) > 0 {
		C.pio_attention(p.c, p.table, ptr(y), ptr(q), ptr(k), ptr(v), ints(g.Positions), ints(g.Seqs), ints(g.Tables), C.size_t(g.Width),
			C.size_t(rows), C.size_t(heads), C.size_t(g.Heads), C.size_t(g.Size), C.size_t(dim), C.size_t(vdim), C.float(scale))
	}
	return nil
}

// Gather moves rows and computes nothing, so it is the specification.
func (p *Pool) Gather(y, x []float32, index []int32, width int) error {
	err := first(checkIndex("row", index, rowsOf(x, width)), sizes(len(y), len(index)*width))
	if err == nil {
		RefGather(y, x, index, width)
	}
	return err
}

// Exp is the kernels' own e^x, for the test of its bound.
func (p *Pool) Exp(y, x []float32) {
	if n := min(len(y), len(x)); n > 0 {
		C.pio_exp(p.table, ptr(y), ptr(x), C.size_t(n))
	}
}

func ptr(s []float32) *C.float { return (*C.float)(unsafe.Pointer(unsafe.SliceData(s))) }

func ints(s []int32) *C.int32_t { return (*C.int32_t)(unsafe.Pointer(unsafe.SliceData(s))) }

func rowsOf(x []float32, width int) int { return len(x) / max(width, 1) }

func sizes(got, want int) error {
	if got != want {
		return fmt.Errorf("an operand has %d elements, not %d", got, want)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
