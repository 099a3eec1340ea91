package kernels

import "github.com/inference-pio/inference-pio/cuda"

// join_delta.go makes one op of what stands between the products of a layer with the delta rule and the rule (conv.cu, delta.cu), and of what becomes of
// its result (norms.cu).

// joinConv: a convolution, and columns that are cut out of what it gives.
func joinConv(joined, a, b *cuda.Op) bool {
	out, in, w := a.Operands()
	if b.Code != cuda.OpColumns || !isOfRows(a) || !same(b.In[0], out[0]) || !allF32(b.Out[0]) || !apart(b.Out[0], in...) || !apart(b.Out[0], out...) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpCausalConv).Gives(out...).Gives(b.Out[0]).Takes(in...).By(w...).At(a.Ints[:len(out)-2]...).At(b.Ints[0])
	return true
}

// What a row's gates are: of the columns that two parts have the decay of the second, the sigmoid of the first; and keys and queries brought to length 1
// beside them.
const (
	gateDecay = iota // results
	gateBeta
	gateFirst
	gateSecond
	gateQueries
	gateKeys
)

// joinDecay: two parts of columns, and the decay that the second makes.
func joinDecay(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	if b.Code != cuda.OpDecay || len(out) != 2 || !sameElements(b.In[0], out[1]) || out[0].Len() != out[1].Len() || !allF32(in[0], out[0], out[1], b.In[0], b.Out[0]) ||
		!isPlain(b.Weights[0]) || !isPlain(b.Weights[1]) || !apart(b.Out[0], in[0], out[0], out[1]) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpDecay).Gives(b.Out[0], cuda.Tensor{}, out[0], out[1], cuda.Tensor{}, cuda.Tensor{}).Takes(in[0], cuda.Tensor{}, cuda.Tensor{}).
		By(b.Weights[0], b.Weights[1]).With(0).At(a.Ints[0], a.Ints[1])
	return true
}

// joinGates: the sigmoid of the first part, and then the lengths of queries and keys.
func joinGates(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	if !isOfRows(a) || !allF32(b.In[0], b.Out[0]) || !apart(b.Out[0], in...) || !apart(b.Out[0], out...) {
		return false
	}
	*joined = *a
	switch i := joinedLengths(out); {
	case b.Code == cuda.OpSigmoid && out[gateBeta].IsZero() && sameElements(b.In[0], out[gateFirst]):
		joined.Out[gateBeta] = b.Out[0]
	case b.Code == cuda.OpL2Norm && i < 2 && b.In[0].Dim(-1) <= shortRow && apart(b.In[0], out...) && (i == 0 || a.Floats[0] == b.Floats[0]):
		joined.Out[gateQueries+i], joined.In[1+i], joined.Floats[0] = b.Out[0], b.In[0], b.Floats[0]
	default:
		return false
	}
	return true
}

// joinedLengths is how many norms there are in a row's gates.
func joinedLengths(out []cuda.Tensor) (n int) {
	for n < 2 && !out[gateQueries+n].IsZero() {
		n++
	}
	return n
}

// gates launches them: a row of blocks for what columns make, and one for each norm.
func (p *Plan) gates(op *cuda.Op) {
	out, _, _ := op.Operands()
	blocks := ceilDiv(out[gateDecay].Len(), 32*rowsOfTeam)
	for i := range joinedLengths(out) {
		blocks = max(blocks, ceilDiv(out[gateQueries+i].Len()/out[gateQueries+i].Dim(-1), rowsOfTeam))
	}
	p.launch("delta_gates", 32*rowsOfTeam, 0, blocks, 1+joinedLengths(out), 1)
}

// joinNormGate: rows of heads that are normed, and then gated by others.
func joinNormGate(joined, a, b *cuda.Op) bool {
	out, in, w := a.Operands()
	if b.Code != cuda.OpSwiGLU || len(out) != 1 || !same(b.In[1], out[0]) || !allF32(in[0], out[0], b.In[0], b.Out[0]) || !isPlain(w[0]) ||
		!apart(out[0], in[0], b.In[0]) || !apart(b.Out[0], in[0], out[0]) || !same(b.In[0], b.Out[0]) && !apart(b.Out[0], b.In[0]) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpSwiGLU).Gives(b.Out[0], out[0]).Takes(b.In[0], in[0]).By(w[0]).With(a.Floats[:]...)
	return true
}

// sameElements says whether two tensors have the same elements at the same place, of whichever shape.
func sameElements(a, b cuda.Tensor) bool {
	return a.SamePlace(b) && a.DType() == b.DType() && a.Len() == b.Len()
}
