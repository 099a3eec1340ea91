package kernels

import (
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
)

// join_rows.go makes one op of ops on elements and rows that follow each other.

// rowJoins has how ops on rows are joined with the next, by the first one's code.
var rowJoins = [256]func(joined, a, b *cuda.Op) bool{
	cuda.OpColumns: joinColumns, cuda.OpPutColumns: joinPutColumns, cuda.OpL2Norm: joinL2Norms, cuda.OpSigmoid: joinGate,
	cuda.OpExperts: joinSums, cuda.OpExpertSum: joinSums,
	cuda.OpCausalConv: joinConv, cuda.OpDecay: joinGates, cuda.OpRMSNorm: joinNormGate, cuda.OpCacheWrite: joinLatent,
}

func joinRows(joined, a, b *cuda.Op) bool {
	f := rowJoins[a.Code]
	return f != nil && f(joined, a, b)
}

// isOfRows says whether an op may be joined with what follows it: there is room for more.
func isOfRows(op *cuda.Op) bool {
	out, in, _ := op.Operands()
	switch op.Code {
	case cuda.OpColumns:
		return len(out) < cuda.MaxInts || isPut(op) && int(op.Ints[putsAt]) < partsOf(out)
	case cuda.OpPutColumns:
		return len(in) < cuda.MaxInts
	case cuda.OpCausalConv:
		return len(out) < outsOfConv
	case cuda.OpDecay:
		return isJoined(op) && (out[gateBeta].IsZero() || out[gateKeys].IsZero())
	case cuda.OpCacheWrite:
		return isOfLatents(op)
	case cuda.OpL2Norm:
		return len(out) == 1
	case cuda.OpSigmoid:
		return true
	case cuda.OpExperts, cuda.OpExpertSum:
		return !out[0].IsZero() && (len(out) <= secondSum || out[secondSum].IsZero())
	}
	return false
}

// joinColumns: columns of one tensor, each part by its own row of blocks; or some of what is done with parts.
func joinColumns(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	switch b.Code {
	case cuda.OpPutColumns:
		return joinPut(joined, a, b)
	case cuda.OpDecay:
		return joinDecay(joined, a, b)
	case cuda.OpRMSNorm:
		return joinLatentNorm(joined, a, b)
	}
	if b.Code != cuda.OpColumns || isPut(a) || !isOfRows(a) || !same(b.In[0], in[0]) || !apart(b.Out[0], in[0]) || !apart(b.Out[0], out...) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpColumns).Gives(out...).Gives(b.Out[0]).Takes(in[0]).At(a.Ints[:len(out)]...).At(b.Ints[0])
	return true
}

const outsOfConv = 6 // results of a convolution and of what is cut out of it, as conv.cu says

const putAt, putsAt = 5, 4 // of parts that are put side by side: the result that they are put into, and the integer that says how many are

// isPut says whether parts of columns are put side by side again.
func isPut(op *cuda.Op) bool {
	out, _, _ := op.Operands()
	return len(out) > putAt
}

// partsOf counts parts.
func partsOf(out []cuda.Tensor) (n int) {
	for n < min(len(out), putsAt) && !out[n].IsZero() {
		n++
	}
	return n
}

// joinPut: parts of columns that are put side by side into another tensor, from its first column on and in their order.
func joinPut(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	parts, y, at, n := partsOf(out), b.Out[0], int32(0), 0
	switch {
	case isPut(a):
		if n = int(a.Ints[putsAt]); !same(y, out[putAt]) {
			return false
		}
	case len(out) > putsAt || y.NDim() != 2 || !apart(y, in[0]) || !apart(y, out...):
		return false
	}
	if n >= parts || y.Rows() == 0 || !sameElements(b.In[0], out[n]) || b.In[0].Rows() != y.Rows() {
		return false
	}
	for i := range n {
		at += int32(out[i].Len() / y.Rows())
	}
	if b.Ints[0] != at || !allF32(in[0], y) || !allF32(out[:parts]...) {
		return false
	}
	op := cuda.NewOp(cuda.OpColumns).Gives(out[:parts]...)
	for range putAt - parts {
		op.Gives(cuda.Tensor{})
	}
	*joined = *op.Gives(y).Takes(in[0]).At(a.Ints[:putsAt]...).At(int32(n + 1))
	return true
}

// joinPutColumns: what is put side by side.
func joinPutColumns(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	if b.Code != cuda.OpPutColumns || !isOfRows(a) || !same(b.Out[0], out[0]) || !apart(out[0], b.In[0]) || !apart(out[0], in...) {
		return false
	}
	from, to := b.Ints[0], b.Ints[0]+int32(b.In[0].Dim(-1))
	for i, x := range in {
		if begin, end := a.Ints[i], a.Ints[i]+int32(x.Dim(-1)); begin < to && from < end {
			return false
		}
	}
	*joined = *cuda.NewOp(cuda.OpPutColumns).Gives(out[0]).Takes(in...).Takes(b.In[0]).At(a.Ints[:len(in)]...).At(b.Ints[0])
	return true
}

// joinL2Norms: queries and keys.
func joinL2Norms(joined, a, b *cuda.Op) bool {
	if b.Code != cuda.OpL2Norm || !isOfRows(a) || a.Floats[0] != b.Floats[0] || a.In[0].Dim(-1) != b.In[0].Dim(-1) ||
		!apart(b.Out[0], a.In[0], a.Out[0]) || !apart(a.Out[0], b.In[0]) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpL2Norm).Gives(a.Out[0], b.Out[0]).Takes(a.In[0], b.In[0]).With(a.Floats[0])
	return true
}

// joinGate: what a sigmoid gives, and its product with something.
func joinGate(joined, a, b *cuda.Op) bool {
	if b.Code != cuda.OpMul || !b.In[1].SamePlace(a.Out[0]) || b.In[1].Len() != a.Out[0].Len() || !allF32(a.In[0], a.Out[0], b.In[0], b.Out[0]) ||
		!apart(a.Out[0], a.In[0], b.In[0]) || !apart(b.Out[0], a.In[0], a.Out[0]) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpMul).Gives(b.Out[0], a.Out[0]).Takes(b.In[0], a.In[0])
	return true
}

const firstSum, secondSum = 3, 4 // results and operands of experts that are added up: the first is added to y, the second to that

// joinSums: what experts give, and what is added to it.
func joinSums(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	if b.Code != cuda.OpAdd || !isOfRows(a) {
		return false
	}
	sums, adds := [2]cuda.Tensor{}, [2]cuda.Tensor{}
	y, at := out[0], 0
	if len(out) > firstSum {
		sums[0], adds[0] = out[firstSum], in[firstSum]
		y, at = sums[0], 1
	}
	r := b.In[0]
	switch {
	case same(b.In[1], y):
	case same(b.In[0], y):
		r = b.In[1]
	default:
		return false
	}
	// What is added may be where the sum goes: each element is read by the thread that writes it.
	if !allF32(r, b.Out[0]) || !apart(r, out...) || !apart(b.Out[0], out...) ||
		!apart(b.Out[0], slices.DeleteFunc(slices.Clone(in), func(t cuda.Tensor) bool { return same(t, r) })...) || !same(r, b.Out[0]) && !apart(r, b.Out[0]) {
		return false
	}
	sums[at], adds[at] = b.Out[0], r
	op := cuda.NewOp(a.Code).Gives(out[:min(len(out), firstSum)]...)
	for range firstSum - min(len(out), firstSum) {
		op.Gives(cuda.Tensor{})
	}
	op.Gives(sums[:]...).Takes(in[:firstSum]...).Takes(adds[:]...)
	op.Experts = a.Experts
	*joined = *op
	return true
}

func allF32(list ...cuda.Tensor) bool {
	return !slices.ContainsFunc(list, func(t cuda.Tensor) bool { return t.DType() != cuda.F32 })
}
