package cuda

import (
	"fmt"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// hostops.go has the CPU's kernels work on tensors of one device whose memory this process can read: the CPU itself, or a
// device like cuda/far that keeps memory of its own. Operands that lie anywhere else are refused.

// hostOps is a table of ops for the memory of one device.
type hostOps struct {
	owner Device // nil: the CPU
	pool  *cpu.Pool
}

// HostOps is the CPU's kernels for tensors of another device, in memory this process can read.
func HostOps(owner Device, c *CPU) Ops { return &hostOps{owner: owner, pool: c.pool} }

// owns checks that all operands lie in the device's memory.
func (o *hostOps) owns(a, b, c, d Tensor) error {
	for _, t := range [...]Tensor{a, b, c, d} {
		if t.IsZero() {
			return errNothing
		}
		if t.dev != o.owner || t.scale != nil && t.scale.factors.dev != o.owner {
			return fmt.Errorf("an operand (%v) lies in the memory of another device", t)
		}
	}
	return nil
}

func (o *hostOps) Embed(dst, tokens, table Tensor) error {
	if err := o.owns(dst, tokens, table, dst); err != nil {
		return err
	}
	return o.pool.Embed(f32s(dst), i32s(tokens), matrix(table))
}

func (o *hostOps) MatMul(dst, x, w Tensor) error {
	if err := o.owns(dst, x, w, dst); err != nil {
		return err
	}
	return o.pool.MatMul(f32s(dst), f32s(x), matrix(w))
}

func (o *hostOps) RMSNorm(dst, x, w Tensor, eps, plus float32) error {
	if err := o.owns(dst, x, w, dst); err != nil {
		return err
	}
	return o.pool.RMSNorm(f32s(dst), f32s(x), matrix(w), eps, plus)
}

func (o *hostOps) Add(dst, x, y Tensor) error {
	if err := o.owns(dst, x, y, dst); err != nil {
		return err
	}
	return o.pool.Add(f32s(dst), f32s(x), f32s(y))
}

func (o *hostOps) SwiGLU(dst, gate, up Tensor) error {
	if err := o.owns(dst, gate, up, dst); err != nil {
		return err
	}
	return o.pool.SwiGLU(f32s(dst), f32s(gate), f32s(up))
}

func (o *hostOps) Angles(dst, positions Tensor, freqs []float32, axis []uint8, scale float32) error {
	if err := o.owns(dst, positions, dst, dst); err != nil {
		return err
	}
	axes := cpu.Axes{Count: 1, Of: axis}
	if positions.NDim() > 1 {
		axes.Count = positions.Dim(1)
	}
	return o.pool.Angles(f32s(dst), i32s(positions), axes, freqs, scale)
}

func (o *hostOps) Rotate(dst, x, angles Tensor, from int, style RotaryStyle) error {
	if err := o.owns(dst, x, angles, dst); err != nil {
		return err
	}
	shape := cpu.Heads{Rows: x.Dim(0), Heads: x.Dim(1), Dim: x.Dim(2), Pairs: angles.Dim(1), First: from}
	return o.pool.Rotate(f32s(dst), f32s(x), f32s(angles), shape, style == Interleaved)
}

func (o *hostOps) CacheWrite(cache, x, positions, seqs, tables Tensor) error {
	if err := o.owns(cache, x, positions, seqs); err != nil {
		return err
	}
	if err := o.owns(tables, x, x, x); err != nil {
		return err
	}
	return o.pool.CacheWrite(f32s(cache), f32s(x), pagesOf(cache, positions, seqs, tables), cache.Dim(3))
}

func (o *hostOps) Attention(dst, q, keys, values, positions, seqs, tables Tensor, scale float32) error {
	if err := o.owns(dst, q, keys, values); err != nil {
		return err
	}
	if err := o.owns(positions, seqs, tables, dst); err != nil {
		return err
	}
	return o.pool.Attention(f32s(dst), f32s(q), f32s(keys), f32s(values), pagesOf(keys, positions, seqs, tables),
		q.Dim(1), q.Dim(2), values.Dim(3), scale)
}

func (o *hostOps) Gather(dst, x, index Tensor) error {
	if err := o.owns(dst, x, index, dst); err != nil {
		return err
	}
	width := 1
	for i := 1; i < x.NDim(); i++ {
		width *= x.Dim(i)
	}
	return o.pool.Gather(f32s(dst), f32s(x), i32s(index), width)
}

func pagesOf(cache, positions, seqs, tables Tensor) cpu.Pages {
	return cpu.Pages{Positions: i32s(positions), Seqs: i32s(seqs), Tables: i32s(tables), Width: tables.Dim(1),
		Blocks: cache.Dim(0), Heads: cache.Dim(1), Size: cache.Dim(2)}
}

// f32s and i32s are a tensor's elements once it is known that this process can read them.
func f32s(t Tensor) []float32 { return unsafe.Slice((*float32)(t.ptr), t.Len()) }

func i32s(t Tensor) []int32 { return unsafe.Slice((*int32)(t.ptr), t.Len()) }

func matrix(t Tensor) cpu.Matrix {
	m := cpu.Matrix{Ptr: t.ptr, Type: cpu.Type(t.dtype), Rows: 1, Cols: t.Dim(-1)}
	if s := t.scale; s != nil {
		m.Scale = cpu.Scale{Ptr: s.factors.ptr, Type: cpu.Type(s.factors.dtype), Rows: s.rows, Cols: s.cols}
	}
	if t.nd > 1 {
		m.Rows = t.Len() / max(m.Cols, 1)
	}
	return m
}
