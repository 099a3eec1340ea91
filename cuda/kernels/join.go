package kernels

import "github.com/inference-pio/inference-pio/cuda"

// join.go makes one op of several that follow each other. What they compute stays the same to the bit; what is saved is launches, which take
// as long as the weights of a small model. All results are written, as those of the parts are: nobody here knows which are still read.

// Join gives in one op what a and then b do, if one launch can. A norm, products of its few rows with up to three matrices, and what is added to the
// product, multiplies its rows or gates one by another are one op, or what chooses experts by it (join_route.go); so is what becomes of heads
// (join_heads.go), alone or with the products that give them (join_projected.go), and some of what is done with elements and rows (join_rows.go), around
// a delta rule (join_delta.go) and with latents (join_latent.go). The joined op may be joined again; only a Plan knows it.
func (p *Properties) Join(joined, a, b *cuda.Op) bool {
	return p.joinProducts(joined, a, b) || joinHeads(joined, a, b) || joinRows(joined, a, b)
}

// Joins says whether Join may take an op as its first, so that it is worth looking at the next one.
func (p *Properties) Joins(a *cuda.Op) bool {
	if s, ok := productsOf(a); ok {
		return s.x.Rows() <= fewRows && !s.chooses() && (s.last.IsZero() || s.how == lastSigmoid) && s.heads.writes < 2
	}
	return isOfHeads(a) || isOfRows(a)
}

// joint is what an op of products is made of.
type joint struct {
	x         cuda.Tensor
	norm      cuda.Matrix // of rows before they are multiplied; zero if they are as they are
	eps, plus float32
	normed    cuda.Tensor
	w         [3]cuda.Matrix
	y         [3]cuda.Tensor
	n         int         // of matrices; none as long as there is the norm alone
	added     cuda.Tensor // to the product, or what its rows are multiplied by; zero if nothing is
	last      cuda.Tensor // their sum, or the second product gated by the first, or as how says
	how       int32
	routed            // nothing is if there is no index
	heads     ofHeads // what becomes of the three products; nothing if how does not say so
}

// What else becomes of products, as op.h has it.
const (
	lastSigmoid = 1 // of the last of several
	lastScaled  = 2 // each row by a number of its own
	lastHeads   = 3 // heads of queries, keys and values
)

// productsOf takes an op apart that is products, or a norm of rows that may be multiplied.
func productsOf(op *cuda.Op) (s joint, ok bool) {
	out, in, w := op.Operands()
	switch {
	case op.Code == cuda.OpMatMul && len(w) == 1:
		s = joint{x: in[0], w: [3]cuda.Matrix{w[0]}, y: [3]cuda.Tensor{out[0]}, n: 1}
		ok = OnTensorCores(w[0])
	case op.Code == cuda.OpMatMul && op.Ints[1]&routes != 0:
		s, ok = routeOf(op), true
	case op.Code == cuda.OpMatMul && op.Ints[1] == lastHeads:
		s, ok = projectedOf(op), true
	case op.Code == cuda.OpMatMul:
		s = joint{x: in[0], norm: w[3], eps: op.Floats[0], plus: op.Floats[1], normed: out[3], w: [3]cuda.Matrix(w), y: [3]cuda.Tensor(out), added: in[1], last: out[4], how: op.Ints[1]}
		for ok = true; s.n < len(s.w) && !s.w[s.n].IsZero(); s.n++ {
		}
	case op.Code == cuda.OpRMSNorm:
		s = joint{x: in[0], norm: w[0], eps: op.Floats[0], plus: op.Floats[1], normed: out[0]}
		ok = in[0].NDim() == 2 && out[0].DType() == cuda.F32 && isPlain(w[0]) && apart(out[0], in[0])
	}
	return s, ok && s.x.DType() == cuda.F32
}

// into writes the op that does all of it.
func (s *joint) into(op *cuda.Op) {
	switch {
	case s.chooses():
		s.intoRoute(op)
		return
	case s.how == lastHeads:
		s.intoProjected(op)
		return
	}
	*op = *cuda.NewOp(cuda.OpMatMul).Gives(s.y[0], s.y[1], s.y[2], s.normed, s.last).Takes(s.x, s.added).By(s.w[0], s.w[1], s.w[2], s.norm).
		With(s.eps, s.plus).At(int32(teamOf(s.x.Dim(1))), s.how)
}

func (s *joint) gates() bool { return !s.last.IsZero() && s.added.IsZero() && s.how == 0 }

// rows are those that are multiplied.
func (s *joint) rows() cuda.Tensor {
	if s.norm.IsZero() {
		return s.x
	}
	return s.normed
}

// free says whether a tensor shares no byte with what the launch reads and writes: its blocks have no order.
func (s *joint) free(t cuda.Tensor) bool {
	return t.DType() == cuda.F32 && apart(t, s.x, s.normed, s.y[0], s.y[1], s.y[2], s.added, s.last)
}

func (p *Properties) joinProducts(joined, a, b *cuda.Op) bool {
	s, ok := productsOf(a)
	if !ok || s.chooses() || !s.last.IsZero() && (s.how != lastSigmoid || b.Code != cuda.OpRoute) {
		return false
	}
	switch b.Code {
	case cuda.OpRMSNorm, cuda.OpRotate, cuda.OpCacheWrite:
		if !s.joinProjected(b) {
			return false
		}
	case cuda.OpRoute:
		if !s.joinRoute(b) {
			return false
		}
	case cuda.OpMatMul:
		more, ok := productsOf(b)
		if !ok || s.how == lastHeads || more.n != 1 || !more.last.IsZero() || !more.norm.IsZero() || s.n == len(s.w) || !same(more.x, s.rows()) || !s.beside(more.w[0]) || !s.free(more.y[0]) {
			return false
		}
		s.w[s.n], s.y[s.n] = more.w[0], more.y[0]
		s.n++
	case cuda.OpSwiGLU:
		if s.n != 2 || s.w[0].Rows != s.w[1].Rows || !same(b.In[0], s.y[0]) || !same(b.In[1], s.y[1]) || !s.free(b.Out[0]) {
			return false
		}
		s.last = b.Out[0]
	case cuda.OpSigmoid:
		if s.n < 2 || s.how == lastHeads || !same(b.In[0], s.y[s.n-1]) || !s.free(b.Out[0]) {
			return false
		}
		s.last, s.how = b.Out[0], lastSigmoid
	case cuda.OpMul:
		if s.n != 1 || !same(b.In[0], s.y[0]) || b.In[1].Len() != s.x.Rows() || !allF32(b.In[1]) || !s.free(b.Out[0]) || !apart(b.In[1], s.normed, s.y[0], b.Out[0]) {
			return false
		}
		s.added, s.last, s.how = b.In[1], b.Out[0], lastScaled
	case cuda.OpAdd:
		switch {
		case s.n != 1:
			return false
		case same(b.In[1], s.y[0]):
			s.added = b.In[0]
		case same(b.In[0], s.y[0]):
			s.added = b.In[1]
		default:
			return false
		}
		// What is added may be where the sum goes: each element is read by the thread that writes it.
		if others := (joint{x: s.x, normed: s.normed, y: s.y}); !others.free(b.Out[0]) || s.added.DType() != cuda.F32 || !apart(s.added, s.normed, s.y[0]) ||
			!same(s.added, b.Out[0]) && !apart(s.added, b.Out[0]) {
			return false
		}
		s.last = b.Out[0]
	default:
		return false
	}
	if p.takes(&s) {
		s.into(joined)
		return true
	}
	return false
}

// beside says whether one launch reads a matrix as those that are there.
func (s *joint) beside(w cuda.Matrix) bool {
	if s.n == 0 {
		return true
	}
	v := s.w[0]
	// A tile with factors of its own for each out finds them by the number of rows.
	whole := len(v.Layout.Planes) < 2 || v.Layout.Planes[1].Rows%products[v.Layout.Name].outs == 0
	return v.Cols == w.Cols && v.Layout.Equal(w.Layout) && (whole || v.Rows == w.Rows)
}

// takes says whether there is a launch for all of it.
func (p *Properties) takes(s *joint) bool {
	rows := s.x.Rows()
	if rows < 1 || rows > fewRows {
		return false
	}
	f := p.cutProducts(s)
	return f.shared <= p.Shared && (s.n == 1 && !s.chooses() || f.rows >= rows)
}

// tiles are those of all matrices that a launch goes through.
func (s *joint) tiles() (n int) {
	outs := products[s.w[0].Layout.Name].outs
	for _, w := range s.w[:s.n] {
		if n += ceilDiv(w.Rows, outs); s.gates() {
			return n // of each of both
		}
	}
	return n
}

// plain says whether it is one product of rows as they are: matmul_few, which may add something to it.
func (s *joint) plain() bool { return s.n == 1 && s.norm.IsZero() }

// cutProducts cuts them into blocks. Where there are several matrices a block has all slices of its tiles.
func (p *Properties) cutProducts(s *joint) (f few) {
	pr, cols, rows := products[s.w[0].Layout.Name], s.w[0].Cols, s.x.Rows()
	switch {
	case s.gates():
		f = p.cutFew(pr, cols, s.tiles(), rows, 2, 1)
	case s.n > 1, s.chooses():
		f = p.cutFew(pr, cols, s.tiles(), rows, 1, 1)
	default:
		if !s.plain() {
			pr.warps = warpsOfFew
		}
		f = p.cutFew(pr, cols, s.tiles(), rows, 1, 0)
	}
	if !s.norm.IsZero() {
		f.shared += f.rows * normRoom
	}
	if s.chooses() {
		f.shared = max(f.shared, s.routeShared(f.threads))
	}
	if s.how == lastHeads {
		f.shared = max(f.shared, s.projectedShared(f))
	}
	return f
}

const normRoom = 32 * 4 // bytes of shared memory for a row that is normed, as matmul.cuh says

// joinedProducts launches what was joined.
func (p *Plan) joinedProducts(op *cuda.Op) {
	s, _ := productsOf(op)
	if !p.takes(&s) {
		p.refuse("products of %d rows at once: they were joined for another device", s.x.Rows())
		return
	}
	f, w := p.cutProducts(&s), s.w[0]
	switch {
	case s.chooses():
		p.joinedRoute(&s, f)
	case s.how == lastHeads:
		p.joinedProjected(&s, f)
	case s.plain():
		p.launchFew("matmul_few_", w, s.tiles(), s.x.Rows(), f)
	case !s.gates():
		p.launchFew("matmul_beside_", w, s.tiles(), s.x.Rows(), f)
	default:
		n, chunks := slicesOf(w.Cols)
		pr := products[w.Layout.Name]
		p.launch(p.name(nameOf{"matmul_pair_", pr.name, 0, p.numerics()}), f.threads, f.shared, ceilDiv(s.tiles(), f.tiles), 1, ceilDiv(s.x.Rows(), f.rows),
			chunks, f.tiles, n, f.rows)
	}
}

// isJoined says whether an op was made by Join: it has room for results that no other has.
func isJoined(op *cuda.Op) bool {
	out, _, _ := op.Operands()
	return len(out) > 3
}

// same says whether two tensors are one.
func same(a, b cuda.Tensor) bool {
	return a.SamePlace(b) && a.DType() == b.DType() && a.SameShape(b)
}

// apart says whether a tensor shares no byte with others: one that lies nowhere, in a step that only measures, does not.
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
	if t.Pointer() == nil {
		return 0, 0
	}
	from = uintptr(t.Pointer())
	return from, from + uintptr(t.Bytes())
}
