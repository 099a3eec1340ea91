package cuda

// ops.go is the ops of every decoder: one method each, with its formula and shapes. An op with a weight or a state runs on the
// device its module was entered on, any other on the device of the layer; activations that lie elsewhere are copied there
// first. Shapes and types are checked here, once for all devices. Rows are independent in every op: a row's result does not
// depend, to the bit, on the rows computed with it.

// Embed looks rows of a table up: y[r] = w[tokens[r]], widened to f32. tokens (rows), w (vocab, hidden) -> (rows, hidden).
func (s *Step) Embed(tokens Tensor, w *Weight) Tensor {
	c, m := s.startBy(w, OpEmbed)
	if tokens = c.in(tokens); !c.fits(tokens.nd == 1 && c.among(tokens, m.Rows)) {
		return Tensor{}
	}
	return c.gives(c.out(F32, tokens.dim[0], int32(m.Cols)))
}

// MatMul is a linear map: y[r][o] = Σ_k x[r][k] w[o][k], accumulated in f32. x (rows, in), w (out, in) -> (rows, out).
func (s *Step) MatMul(x Tensor, w *Weight) Tensor {
	c, m := s.startBy(w, OpMatMul)
	if x = c.in(x); !c.fits(x.float() && x.nd == 2 && x.Dim(1) == m.Cols) {
		return Tensor{}
	}
	again := 0 // 1: the op before this one is a product of x on this device, so that nothing has happened to x since
	if s.multiplied == x && s.multipliedOn == c.dev && x.sec != 0 {
		again = 1
	}
	c.at(again)
	y := c.gives(c.out(F32, x.dim[0], int32(m.Rows)))
	s.multiplied, s.multipliedOn = x, c.dev
	return y
}

// RMSNorm divides by the root mean square over the last dimension: y = x / sqrt(mean(x²) + eps) · (plus + w). plus is 0, or
// 1 for weights that are kept as their distance from 1.
// x (.., n), w (n) -> (.., n).
func (s *Step) RMSNorm(x Tensor, w *Weight, eps, plus float32) Tensor {
	c, m := s.startBy(w, OpRMSNorm)
	c.with(eps, plus)
	if x = c.in(x); !c.fits(perColumn(m, x)) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// Add is x + y, of one shape.
func (s *Step) Add(x, y Tensor) Tensor {
	c := s.start(OpAdd)
	x, y = c.in(x), c.in(y)
	if !c.fits(x.float() && y.float() && x.SameShape(y)) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// SwiGLU gates one half of a feed-forward layer by the other: silu(gate) · up, with silu(x) = x / (1 + exp(-x)). One shape.
func (s *Step) SwiGLU(gate, up Tensor) Tensor {
	c := s.start(OpSwiGLU)
	gate, up = c.in(gate), c.in(up)
	if !c.fits(gate.float() && up.float() && gate.SameShape(up)) {
		return Tensor{}
	}
	return c.gives(c.like(gate))
}

// Angles is what Rotate needs to know of positions: scale·cos and scale·sin of a = position · freqs[i], where a is rounded
// to f32 as the reference does. positions (rows), n freqs -> (rows, n, 2).
func (s *Step) Angles(positions Tensor, freqs []float32, scale float32) Tensor {
	return s.angles(positions, freqs, Tensor{}, positions.nd == 1, scale)
}

// AnglesByAxis is Angles of rows that have several positions (a time, a row and a column of a picture): frequency i turns
// by position axis[i]. positions (rows, axes), n freqs and axis numbers -> (rows, n, 2).
func (s *Step) AnglesByAxis(positions Tensor, freqs []float32, axis []int32, scale float32) Tensor {
	by := s.Input(axis)
	return s.angles(positions, freqs, by, positions.nd == 2 && len(axis) == len(freqs) && by.Indexes(positions.Dim(1)), scale)
}

func (s *Step) angles(positions Tensor, freqs []float32, axis Tensor, ok bool, scale float32) Tensor {
	turns := s.InputF32(freqs)
	c := s.start(OpAngles)
	c.with(scale)
	positions = c.in(positions)
	c.in(turns)
	c.optional(axis)
	if !c.fits(ok && positions.dtype == I32 && len(freqs) > 0) {
		return Tensor{}
	}
	return c.gives(c.out(F32, positions.dim[0], int32(len(freqs)), 2))
}

// Rotate is the rotary embedding: it turns the pairs (a, b) among the first 2n elements of each head,
// (a, b) -> (a cos - b sin, b cos + a sin), and passes the rest through. x (rows, heads, dim), angles (rows, n, 2).
func (s *Step) Rotate(x, angles Tensor, style RotaryStyle) Tensor {
	return s.RotateFrom(x, 0, angles, style)
}

// RotaryStyle says which elements of a head form the pairs that Rotate turns.
type RotaryStyle uint8

// The two ways a head's first 2n elements are paired.
const (
	Half        RotaryStyle = iota // (i, i+n)
	Interleaved                    // (2i, 2i+1)
)

// RotateFrom is Rotate of the pairs among the 2n elements of each head from one on.
func (s *Step) RotateFrom(x Tensor, from int, angles Tensor, style RotaryStyle) Tensor {
	c := s.start(OpRotate)
	c.at(from, int(style))
	x, angles = c.in(x), c.in(angles)
	if !c.fits(x.float() && angles.dtype == F32 && x.nd == 3 && angles.nd == 3 && angles.dim[2] == 2 && x.dim[0] == angles.dim[0] &&
		from >= 0 && from <= int(x.dim[2]) && 2*int64(angles.dim[1]) <= int64(x.dim[2])-int64(from)) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// CacheWrite puts rows into a paged cache: row r goes to slot p mod size of block tables[seqs[r]][p div size], with p = positions[r].
// x (rows, heads, dim), cache (blocks, heads, size, dim) in f32 or bf16, or as many elements of Q8Row as dim numbers take. In what follows dim
// of a cache stands for these, too.
func (s *Step) CacheWrite(cache *State, x Tensor, pages Pages) {
	c := s.startIn(cache, OpCacheWrite)
	k := c.changes(cache)
	x = c.in(x)
	pages = c.pages(pages)
	if c.fits(x.float() && k.cached() > 0 && x.nd == 3 && pages.addresses(x, k) && x.dim[1] == k.dim[1] && x.dim[2] == k.cached()) {
		c.run()
	}
}

// Attention is causal softmax attention over a paged cache, with heads that share keys and values:
// y[r][h] = Σ_t softmax_t(scale · q[r][h]·k[t][g]) v[t][g] over the positions t = 0..positions[r] of the row's sequence,
// g = h·(kv heads)/heads. q (rows, heads, dim), keys (blocks, kv heads, size, dim), values the same with their own dim
// -> (rows, heads, dim of values). The rows' own keys have been written before.
func (s *Step) Attention(q Tensor, keys, values *State, pages Pages, scale float32) Tensor {
	c := s.startIn(keys, OpAttention)
	c.with(scale)
	q = c.in(q)
	k, v := c.state(keys), c.state(values)
	pages = c.pages(pages)
	if !c.fits(q.float() && k.cached() > 0 && k.dtype == v.dtype && q.nd == 3 && pages.addresses(q, k) && v.cached() > 0 && q.dim[2] == k.cached() &&
		k.dim[0] == v.dim[0] && k.dim[1] == v.dim[1] && k.dim[2] == v.dim[2] && k.dim[1] > 0 && q.dim[1]%k.dim[1] == 0) {
		return Tensor{}
	}
	return c.gives(c.out(F32, q.dim[0], q.dim[1], v.cached()))
}

// Gather picks rows: y[i] = x[index[i]]. x (rows, ..), index (n) -> (n, ..).
func (s *Step) Gather(x, index Tensor) Tensor {
	c := s.start(OpGather)
	x, index = c.in(x), c.in(index)
	if !c.fits(x.float() && index.nd == 1 && c.among(index, x.Rows())) {
		return Tensor{}
	}
	dim := x.dim
	dim[0] = index.dim[0]
	return c.gives(c.shaped(F32, x.nd, dim))
}

// CopyRow makes one row of a state's first dimension what another is, where the state lies.
func (s *Step) CopyRow(state *State, from, to int) {
	c := s.startIn(state, OpCopy)
	if s.err != nil {
		return
	}
	src, dst := state.row(from), state.row(to)
	if src.IsZero() || dst.IsZero() {
		c.refuse("rows %d and %d of %s (%v)", from, to, state.Name, state.t)
		return
	}
	c.op.Gives(dst)
	c.op.Takes(src)
	c.run()
}

// startIn begins an op where a state is.
func (s *Step) startIn(state *State, code OpCode) *call {
	if state == nil {
		c := s.start(code)
		c.fail(errNothing)
		return c
	}
	return s.startAt(state.Module, code)
}

// pages brings what addresses rows to where the op runs.
func (c *call) pages(p Pages) Pages {
	p.Positions, p.Seqs, p.Tables = c.in(p.Positions), c.in(p.Seqs), c.in(p.Tables)
	return p
}

// perColumn says whether a vector of weights has one for each column of x.
func perColumn(w Matrix, x Tensor) bool {
	return x.float() && x.nd >= 2 && w.Rows == 1 && w.Cols == x.Dim(-1) && len(w.Layout.Planes) == 1
}
