package kernels

import "github.com/inference-pio/inference-pio/cuda"

// join_projected.go makes one op of the products that give queries, keys and values, and of what becomes of their heads (join_heads.go): the last block to
// have some of a head does it (matmul_beside_* of matmul.cuh).

// Where such an op has what heads have: results, operands and weights from there on, as matmul.cuh says.
const projectedOut, projectedIn, projectedNorm = 5, 2, 4

// joinProjected has one more thing done with heads.
func (s *joint) joinProjected(b *cuda.Op) bool {
	if s.n != len(s.y) {
		return false
	}
	h, ok := s.heads, false
	if s.how != lastHeads {
		if h, ok = headsIn(b); !ok || isJoined(b) {
			return false
		}
	} else {
		var before, after cuda.Op
		if h.into(&before); !joinHeads(&after, &before, b) {
			return false
		}
		h, _ = headsIn(&after)
	}
	if h.norms > 0 && !s.norm.IsZero() && (h.eps != s.eps || h.plus != s.plus) {
		return false
	}
	counters := 0
	for i, x := range h.x {
		if x.IsZero() {
			continue
		}
		if counters += x.Dim(1); !sameElements(x, s.y[i]) || x.Rows() != s.x.Rows() {
			return false
		}
	}
	products := []cuda.Tensor{s.x, s.normed, s.y[0], s.y[1], s.y[2]} // what other blocks read and write meanwhile
	for _, t := range []cuda.Tensor{h.normed[0], h.normed[1], h.turned[0], h.turned[1], h.cache[0], h.cache[1], h.angles, h.pages[0], h.pages[1], h.pages[2]} {
		if !apart(t, products...) {
			return false
		}
	}
	s.how, s.heads = lastHeads, h
	return counters <= countersMost
}

// intoProjected writes the op.
func (s *joint) intoProjected(op *cuda.Op) {
	h, y := &s.heads, s.y
	for i, x := range h.x {
		if !x.IsZero() {
			y[i] = x
		}
	}
	eps, plus := s.eps, s.plus
	if s.norm.IsZero() {
		eps, plus = h.eps, h.plus
	}
	*op = *cuda.NewOp(cuda.OpMatMul).Gives(y[0], y[1], y[2], s.normed, cuda.Tensor{}, h.normed[0], h.turned[0], h.normed[1], h.turned[1], h.cache[0], h.cache[1]).
		Takes(s.x, cuda.Tensor{}, h.angles, h.pages[0], h.pages[1], h.pages[2]).By(s.w[0], s.w[1], s.w[2], s.norm, h.norm[0], h.norm[1]).
		With(eps, plus).At(int32(teamOf(s.x.Dim(1))), lastHeads, h.from, h.style)
}

// projectedOf takes it apart.
func projectedOf(op *cuda.Op) joint {
	out, in, w := op.Operands()
	s := joint{x: in[0], norm: w[3], eps: op.Floats[0], plus: op.Floats[1], normed: out[3], w: [3]cuda.Matrix(w), y: [3]cuda.Tensor(out), n: 3, how: lastHeads}
	of, norms := out[projectedOut:], w[projectedNorm:]
	var x [3]cuda.Tensor
	for i, y := range s.y {
		if y.NDim() == 3 {
			x[i] = y
		}
	}
	heads := cuda.NewOp(cuda.OpRotate).Gives(of...).Takes(x[:]...).Takes(in[projectedIn:]...).By(norms...).With(op.Floats[:]...).At(op.Ints[2], op.Ints[3])
	s.heads, _ = headsIn(heads)
	return s
}

// room is the numbers of a warp's room for a head.
func (s *joint) room() (most int) {
	for _, x := range s.heads.x {
		if !x.IsZero() {
			most = max(most, ceilDiv(x.Dim(2), 4)*4)
		}
	}
	return most
}

// projectedShared is what a block needs: which heads it is the last of, and its warps' room.
func (s *joint) projectedShared(f few) int {
	return 4 * (ceilDiv(f.tiles*products[s.w[0].Layout.Name].outs, 4)*4 + f.threads/32*s.room())
}

// joinedProjected launches it.
func (p *Plan) joinedProjected(s *joint, f few) {
	p.launchFew("matmul_beside_", s.w[0], s.tiles(), s.x.Rows(), f)
	p.Launches[len(p.Launches)-1].P[5] = int32(s.room())
	p.Scratch = max(p.Scratch, 1) // counters are in front of it
}
