package kernels

import (
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
)

// join.go makes one op of several that follow each other. What they compute stays the same to the bit; what is saved is launches, which take
// as long as the weights of a small model.

// Join gives in one op what a and then b do, if one launch can: products of the same few rows with two matrices of one shape and layout,
// and what such a pair gives with the first gating the second. All results are written, as those of a and b are. The joined op may be
// joined again; only a Plan knows it.
func (p *Properties) Join(joined, a, b *cuda.Op) bool {
	switch {
	case a.Code != cuda.OpMatMul || a.In[0].DType() != cuda.F32:
		return false
	case b.Code == cuda.OpMatMul && !isPair(a) && !isPair(b):
		x, v, w := a.In[0], a.Weights[0], b.Weights[0]
		if same(x, b.In[0]) && OnTensorCores(v) && OnTensorCores(w) && v.Rows == w.Rows && v.Cols == w.Cols && products[v.Layout.Name] == products[w.Layout.Name] &&
			p.pairs(v, x.Rows()) && apart(b.Out[0], x, a.Out[0]) {
			*joined = *cuda.NewOp(cuda.OpMatMul).Gives(a.Out[0], b.Out[0]).Takes(x).By(v, w)
			return true
		}
	case b.Code == cuda.OpSwiGLU && isPair(a) && !isGated(a):
		if same(b.In[0], a.Out[0]) && same(b.In[1], a.Out[1]) && b.Out[0].DType() == cuda.F32 && apart(b.Out[0], a.In[0], a.Out[0], a.Out[1]) {
			*joined = *cuda.NewOp(cuda.OpMatMul).Gives(a.Out[0], a.Out[1], b.Out[0]).Takes(a.In[0]).By(a.Weights[0], a.Weights[1])
			return true
		}
	}
	return false
}

// Joins says whether Join may take an op as its first, so that it is worth looking at the next one.
func (p *Properties) Joins(a *cuda.Op) bool {
	return a.Code == cuda.OpMatMul && a.In[0].Rows() <= fewRows && !isGated(a) && OnTensorCores(a.Weights[0])
}

// isPair says whether an op is two products at once, isGated whether the one gates the other, too. What an op does not have may hold what
// another had: its operands are counted.
func isPair(op *cuda.Op) bool {
	_, _, weights := op.Operands()
	return len(weights) == 2
}

func isGated(op *cuda.Op) bool {
	out, _, _ := op.Operands()
	return len(out) == 3
}

// same says whether two tensors are one.
func same(a, b cuda.Tensor) bool {
	return a.Pointer() == b.Pointer() && a.DType() == b.DType() && a.SameShape(b)
}

// apart says whether a tensor shares no byte with others: blocks of one launch have no order.
func apart(t cuda.Tensor, others ...cuda.Tensor) bool {
	from, to := extent(t)
	for _, o := range others {
		if begin, end := extent(o); begin < to && from < end {
			return false
		}
	}
	return true
}

func extent(t cuda.Tensor) (from, to uintptr) {
	from = uintptr(unsafe.Pointer(t.Pointer()))
	return from, from + uintptr(t.Bytes())
}

// pairs says whether all rows fit into one block beside both matrices.
func (p *Properties) pairs(w cuda.Matrix, rows int) bool {
	if rows < 1 || rows > fewRows {
		return false
	}
	f := p.cutPair(w, rows)
	return f.rows >= rows && f.shared <= p.Shared
}

func (p *Properties) cutPair(w cuda.Matrix, rows int) few {
	pr := products[w.Layout.Name]
	return p.cutFew(pr, w.Cols, ceilDiv(w.Rows, pr.outs), rows, 2, 1)
}

func (p *Plan) matmulPair(w cuda.Matrix, rows int) {
	if !p.pairs(w, rows) {
		p.refuse("two products of %d rows at once: they were joined for another device", rows)
		return
	}
	pr, f := products[w.Layout.Name], p.cutPair(w, rows)
	n, chunks := slicesOf(w.Cols)
	p.launch(p.name(nameOf{"matmul_pair_", pr.name, 0, p.numerics()}), f.threads, f.shared, ceilDiv(ceilDiv(w.Rows, pr.outs), f.tiles), 1, ceilDiv(rows, f.rows),
		chunks, f.tiles, n, f.rows)
}
