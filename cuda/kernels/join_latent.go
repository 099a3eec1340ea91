package kernels

import "github.com/inference-pio/inference-pio/cuda"

// join_latent.go makes one op of what becomes of a row of latent attention before it is in the cache (heads.cu): of two parts of its columns the first is
// normed, the second turned, and both are put side by side and written to the cache.

// Results of it, as far as it is done; and its integers.
const (
	latentNormed = iota + 2 // behind the two parts
	latentTurned
	latentRow
	latentCache

	latentFrom, latentStyle, latentPuts = 2, 3, 4
)

const longestLatent = 1024 // numbers of a row, as heads.cu says

// isOfLatents says whether an op is a part of it that has more to come.
func isOfLatents(op *cuda.Op) bool {
	out, _, _ := op.Operands()
	return op.Code == cuda.OpCacheWrite && isJoined(op) && out[latentCache].IsZero()
}

// joinLatentNorm begins it: two parts of columns, of which the first is normed.
func joinLatentNorm(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	if b.Code != cuda.OpRMSNorm || len(out) != 2 || !same(b.In[0], out[0]) || out[0].NDim() != 2 || !allF32(in[0], out[0], out[1], b.Out[0]) || !isPlain(b.Weights[0]) ||
		out[0].Dim(1) > shortRow || out[0].Dim(1)%4 != 0 || out[0].Dim(1)+out[1].Dim(1) > longestLatent || !apart(b.Out[0], in[0], out[0], out[1]) {
		return false
	}
	*joined = *cuda.NewOp(cuda.OpCacheWrite).Gives(out[0], out[1], b.Out[0], cuda.Tensor{}, cuda.Tensor{}, cuda.Tensor{}).
		Takes(in[0], cuda.Tensor{}, cuda.Tensor{}, cuda.Tensor{}, cuda.Tensor{}).By(b.Weights[0]).With(b.Floats[:]...).At(a.Ints[0], a.Ints[1], 0, 0, 0)
	return true
}

// joinLatent goes on with it.
func joinLatent(joined, a, b *cuda.Op) bool {
	out, in, _ := a.Operands()
	if !isOfLatents(a) {
		return false
	}
	*joined = *a
	own, puts := b.Out[0], int(a.Ints[latentPuts])
	new := apart(own, in...) && apart(own, out...) // a result that nothing here reads or writes
	switch b.Code {
	case cuda.OpRotate:
		if isJoined(b) || !new || !out[latentTurned].IsZero() || !sameElements(b.In[0], out[1]) || b.In[0].Dim(1) != 1 || !allF32(own, b.In[1]) || !apart(b.In[1], out...) {
			return false
		}
		joined.Out[latentTurned], joined.In[1] = own, b.In[1]
		joined.Ints[latentFrom], joined.Ints[latentStyle] = b.Ints[0], b.Ints[1]
	case cuda.OpPutColumns:
		part, at := [2]cuda.Tensor{out[latentNormed], out[latentTurned]}, [2]int{0, out[0].Dim(1)}
		if puts == 2 || part[puts].IsZero() || !sameElements(b.In[0], part[puts]) || int(b.Ints[0]) != at[puts] || !allF32(own) ||
			own.NDim() != 2 || own.Dim(1) != out[0].Dim(1)+out[1].Dim(1) || puts == 0 && !new || puts == 1 && !same(own, out[latentRow]) {
			return false
		}
		joined.Out[latentRow] = own
		joined.Ints[latentPuts]++
	case cuda.OpCacheWrite:
		if isJoined(b) || puts < 2 || !new || !sameElements(b.In[0], out[latentRow]) || b.In[0].Dim(1) != 1 || !apart(b.In[1], out...) || !apart(b.In[2], out...) || !apart(b.In[3], out...) {
			return false
		}
		joined.Out[latentCache] = own
		copy(joined.In[2:5], b.In[1:4])
	default:
		return false
	}
	return true
}

// latentRows launches it: a warp has a row.
func (p *Plan) latentRows(op *cuda.Op) {
	p.launch("latent_row", 32*headsOfBlock, 0, ceilDiv(op.In[0].Rows(), headsOfBlock), 1, 1)
}
