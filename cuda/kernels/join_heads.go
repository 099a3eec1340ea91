package kernels

import "github.com/inference-pio/inference-pio/cuda"

// join_heads.go makes one op of what becomes of heads before attention (heads.cu): norms of queries and keys, their turn, and the writes to caches.

// What a warp of heads.cu has room for, and how many a block has.
const longestHead, headsOfBlock = 512, 4

// ofHeads is what is done with heads: with queries, with keys, with values. What is not done has no tensor.
type ofHeads struct {
	x             [3]cuda.Tensor // queries, keys, values, as they come
	normed        [2]cuda.Tensor // queries, keys
	norm          [2]cuda.Matrix
	eps, plus     float32
	turned        [2]cuda.Tensor
	angles        cuda.Tensor
	from, style   int32
	cache         [2]cuda.Tensor // of keys, of values
	pages         [3]cuda.Tensor // positions, seqs, tables
	norms, writes int
}

func isOfHeads(op *cuda.Op) bool {
	s, ok := headsIn(op)
	return ok && s.writes < 2
}

// headsIn takes an op apart that is done with heads, and may have more done in its launch.
func headsIn(op *cuda.Op) (s ofHeads, ok bool) {
	out, in, w := op.Operands()
	switch {
	case op.Code == cuda.OpRMSNorm:
		s.x[0], s.normed[0], s.norm[0], s.eps, s.plus, s.norms = in[0], out[0], w[0], op.Floats[0], op.Floats[1], 1
		ok = isPlain(w[0])
	case op.Code == cuda.OpRotate && !isJoined(op):
		s.x[0], s.angles, s.turned[0], s.from, s.style = in[0], in[1], out[0], op.Ints[0], op.Ints[1]
		ok = true
	case op.Code == cuda.OpRotate:
		s = ofHeads{x: [3]cuda.Tensor(in), angles: in[3], pages: [3]cuda.Tensor(in[4:7]), norm: [2]cuda.Matrix(w), normed: [2]cuda.Tensor{out[0], out[2]},
			turned: [2]cuda.Tensor{out[1], out[3]}, cache: [2]cuda.Tensor{out[4], out[5]}, eps: op.Floats[0], plus: op.Floats[1], from: op.Ints[0], style: op.Ints[1]}
		for i := range s.norm {
			if !s.norm[i].IsZero() {
				s.norms++
			}
			if !s.cache[i].IsZero() {
				s.writes++
			}
		}
		return s, true
	}
	return s, ok && isHeads(s.x[0]) && s.free(s.normed[0], s.turned[0])
}

// isHeads says whether rows of heads fit: a joined op takes those in f32.
func isHeads(x cuda.Tensor) bool {
	return x.DType() == cuda.F32 && x.NDim() == 3 && x.Dim(2) <= longestHead
}

func (s *ofHeads) into(op *cuda.Op) {
	*op = *cuda.NewOp(cuda.OpRotate).Gives(s.normed[0], s.turned[0], s.normed[1], s.turned[1], s.cache[0], s.cache[1]).
		Takes(s.x[0], s.x[1], s.x[2], s.angles, s.pages[0], s.pages[1], s.pages[2]).By(s.norm[0], s.norm[1]).With(s.eps, s.plus).At(s.from, s.style)
}

// last is what queries or keys have come to.
func (s *ofHeads) last(i int) cuda.Tensor {
	switch {
	case !s.turned[i].IsZero():
		return s.turned[i]
	case !s.normed[i].IsZero():
		return s.normed[i]
	}
	return s.x[i]
}

// free says whether new results are rows in f32 that share no byte with what the launch reads: its warps have no order.
func (s *ofHeads) free(list ...cuda.Tensor) bool {
	for _, t := range list {
		if t.DType() != cuda.F32 || !apart(t, s.x[:]...) || !apart(t, s.angles) {
			return false
		}
	}
	return true
}

// apartFrom says whether a tensor shares no byte with what is written so far.
func (s *ofHeads) apartFrom(t cuda.Tensor) bool {
	return apart(t, s.normed[0], s.normed[1], s.turned[0], s.turned[1], s.cache[0], s.cache[1])
}

// starts has rows of heads come in that nothing was done with, in the place of keys or of values.
func (s *ofHeads) starts(i int, x cuda.Tensor) bool {
	if !s.x[i].IsZero() || !isHeads(x) || x.Rows() != s.x[0].Rows() || !s.apartFrom(x) {
		return false
	}
	s.x[i] = x
	return true
}

func joinHeads(joined, a, b *cuda.Op) bool {
	s, ok := headsIn(a)
	if !ok || s.writes == 2 {
		return false
	}
	switch b.Code {
	case cuda.OpRMSNorm: // keys, as queries before
		more, ok := headsIn(b)
		if !ok || s.norms != 1 || !s.angles.IsZero() || s.writes > 0 || more.eps != s.eps || more.plus != s.plus || !s.starts(1, more.x[0]) || !s.adds(more.normed[0]) {
			return false
		}
		s.normed[1], s.norm[1] = more.normed[0], more.norm[0]
	case cuda.OpRotate:
		more, ok := headsIn(b)
		if !ok || isJoined(b) || s.writes > 0 || !s.turns(&more) {
			return false
		}
	case cuda.OpCacheWrite:
		if !s.write(b) {
			return false
		}
	default:
		return false
	}
	s.into(joined)
	return true
}

// adds says whether a result may be written in the same launch.
func (s *ofHeads) adds(t cuda.Tensor) bool { return s.free(t) && s.apartFrom(t) }

// turns has queries turned, or keys after them.
func (s *ofHeads) turns(more *ofHeads) bool {
	i := 0
	if !s.angles.IsZero() {
		if i = 1; !same(s.angles, more.angles) || s.from != more.from || s.style != more.style {
			return false
		}
	} else if !s.apartFrom(more.angles) {
		return false
	}
	x := more.x[0]
	if i == 1 && s.x[1].IsZero() && !s.starts(1, x) {
		return false
	}
	if !s.turned[i].IsZero() || !same(x, s.last(i)) {
		return false
	}
	if s.angles = more.angles; !s.adds(more.turned[0]) {
		return false
	}
	s.turned[i], s.from, s.style = more.turned[0], more.from, more.style
	return true
}

// write has keys written to their cache, or values after them.
func (s *ofHeads) write(b *cuda.Op) bool {
	pages := [3]cuda.Tensor(b.In[1:4])
	x, cache := b.In[0], b.Out[0]
	for i := range pages {
		if s.writes > 0 && !same(pages[i], s.pages[i]) || !s.apartFrom(pages[i]) {
			return false
		}
	}
	switch {
	case s.writes == 1:
		if !s.starts(2, x) {
			return false
		}
	case s.x[1].IsZero() || !same(x, s.last(1)):
		return false
	}
	if !apart(cache, s.x[:]...) || !apart(cache, s.angles, pages[0], pages[1], pages[2]) || !s.apartFrom(cache) {
		return false
	}
	s.cache[s.writes], s.pages = cache, pages
	s.writes++
	return true
}

// joinedHeads launches what was joined.
func (p *Plan) joinedHeads(op *cuda.Op) {
	units := 0
	for _, x := range op.In[:3] {
		if !x.IsZero() {
			units += x.Rows() * x.Dim(1)
		}
	}
	p.launch("heads", 32*headsOfBlock, 0, ceilDiv(units, headsOfBlock), 1, 1)
}
