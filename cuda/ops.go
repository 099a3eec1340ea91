package cuda

import "fmt"

// ops.go is the list of ops: one method each, with its formula and shapes. An op with a weight or a state runs on the
// device its module was entered on, any other on the device of the layer; activations that lie elsewhere are copied there
// first. Shapes and types are checked here, once for all devices. Rows are independent in every op: a row's result does not
// depend, to the bit, on the rows computed with it.

// Input brings integers (tokens, positions, tables) into the step: it lasts as long as what is made at that point.
// Without a shape it has one dimension.
func (s *Step) Input(data []int32, shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	t := Tensor{dtype: I32}
	if len(shape) == 0 {
		t.nd, t.dim[0] = 1, int32(len(data))
	} else if err := t.setShape(shape); err != nil {
		return s.refuse("input", err)
	}
	if t.Len() != len(data) {
		return s.refuse("input", fmt.Errorf("%d integers do not fill the shape", len(data)))
	}
	t = s.make(0, I32, t.nd, t.dim)
	copy(t.I32(), data)
	return t
}

// Embed looks rows of a table up: y[r] = w[tokens[r]], widened to f32. tokens (rows), w (vocab, hidden) -> (rows, hidden).
func (s *Step) Embed(tokens Tensor, w *Weight) Tensor {
	dev, t := s.weight(w)
	tokens = s.on(dev, tokens)
	if !s.shaped("embed", w, tokens.dtype == I32 && tokens.nd == 1 && t.nd == 2, tokens, t) {
		return Tensor{}
	}
	y := s.make(dev, F32, 2, [MaxDims]int32{tokens.dim[0], t.dim[1]})
	if s.runs() {
		s.done("embed", w, s.ops[dev].Embed(y, tokens, t))
	}
	return y
}

// MatMul is a linear map: y[r][o] = Σ_k x[r][k] w[o][k], accumulated in f32. x (rows, in), w (out, in) in f32, bf16, f16 or
// scaled f8e4m3 -> (rows, out).
func (s *Step) MatMul(x Tensor, w *Weight) Tensor {
	dev, t := s.weight(w)
	x = s.on(dev, x)
	if !s.shaped("matmul", w, x.dtype == F32 && x.nd == 2 && t.nd == 2 && x.dim[1] == t.dim[1], x, t) {
		return Tensor{}
	}
	y := s.make(dev, F32, 2, [MaxDims]int32{x.dim[0], t.dim[0]})
	if s.runs() {
		s.done("matmul", w, s.ops[dev].MatMul(y, x, t))
	}
	return y
}

// RMSNorm divides by the root mean square over the last dimension: y = x / sqrt(mean(x²) + eps) · (plus + w). plus is 0, or
// 1 for weights that are kept as their distance from 1.
// x (.., n), w (n) -> (.., n).
func (s *Step) RMSNorm(x Tensor, w *Weight, eps, plus float32) Tensor {
	dev, t := s.weight(w)
	x = s.on(dev, x)
	if !s.shaped("rmsnorm", w, x.dtype == F32 && x.nd >= 2 && t.nd == 1 && x.dim[max(x.nd, 1)-1] == t.dim[0], x, t) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("rmsnorm", w, s.ops[dev].RMSNorm(y, x, t, eps, plus))
	}
	return y
}

// Add is x + y, of one shape.
func (s *Step) Add(x, y Tensor) Tensor {
	dev := s.current
	x, y = s.on(dev, x), s.on(dev, y)
	if !s.shaped("add", nil, x.dtype == F32 && y.dtype == F32 && x.SameShape(y), x, y) {
		return Tensor{}
	}
	z := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("add", nil, s.ops[dev].Add(z, x, y))
	}
	return z
}

// SwiGLU gates one half of a feed-forward layer by the other: silu(gate) · up, with silu(x) = x / (1 + exp(-x)). One shape.
func (s *Step) SwiGLU(gate, up Tensor) Tensor {
	dev := s.current
	gate, up = s.on(dev, gate), s.on(dev, up)
	if !s.shaped("swiglu", nil, gate.dtype == F32 && up.dtype == F32 && gate.SameShape(up), gate, up) {
		return Tensor{}
	}
	y := s.make(dev, F32, gate.nd, gate.dim)
	if s.runs() {
		s.done("swiglu", nil, s.ops[dev].SwiGLU(y, gate, up))
	}
	return y
}

// Angles is what Rotate needs to know of positions: scale·cos and scale·sin of a = position · freqs[i], where a is rounded
// to f32 as the reference does. positions (rows), n freqs -> (rows, n, 2).
func (s *Step) Angles(positions Tensor, freqs []float32, scale float32) Tensor {
	return s.angles(positions, freqs, nil, positions.nd == 1, scale)
}

// AnglesByAxis is Angles of rows that have several positions (a time, a row and a column of a picture): frequency i turns
// by position axis[i]. positions (rows, axes), n freqs and axis numbers -> (rows, n, 2).
func (s *Step) AnglesByAxis(positions Tensor, freqs []float32, axis []uint8, scale float32) Tensor {
	return s.angles(positions, freqs, axis, positions.nd == 2 && len(axis) == len(freqs), scale)
}

func (s *Step) angles(positions Tensor, freqs []float32, axis []uint8, ok bool, scale float32) Tensor {
	dev := s.current
	positions = s.on(dev, positions)
	if !s.shaped("angles", nil, ok && positions.dtype == I32 && len(freqs) > 0, positions, positions) {
		return Tensor{}
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{positions.dim[0], int32(len(freqs)), 2})
	if s.runs() {
		s.done("angles", nil, s.ops[dev].Angles(y, positions, freqs, axis, scale))
	}
	return y
}

// Rotate is the rotary embedding: it turns the pairs (a, b) among the first 2n elements of each head,
// (a, b) -> (a cos - b sin, b cos + a sin), and passes the rest through. x (rows, heads, dim), angles (rows, n, 2).
func (s *Step) Rotate(x, angles Tensor, style RotaryStyle) Tensor {
	return s.RotateFrom(x, 0, angles, style)
}

// RotateFrom is Rotate of the pairs among the 2n elements of each head from one on.
func (s *Step) RotateFrom(x Tensor, from int, angles Tensor, style RotaryStyle) Tensor {
	dev := s.current
	x, angles = s.on(dev, x), s.on(dev, angles)
	ok := x.dtype == F32 && angles.dtype == F32 && x.nd == 3 && angles.nd == 3 && angles.dim[2] == 2 &&
		x.dim[0] == angles.dim[0] && from >= 0 && from <= int(x.dim[2]) && 2*int64(angles.dim[1]) <= int64(x.dim[2])-int64(from)
	if !s.shaped("rotate", nil, ok, x, angles) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("rotate", nil, s.ops[dev].Rotate(y, x, angles, from, style))
	}
	return y
}

// CacheWrite puts rows into a paged cache: row r of sequence q = seqs[r] goes to slot p mod size of block
// tables[q][p div size], with p = positions[r]. x (rows, heads, dim), cache (blocks, heads, size, dim), positions (rows),
// seqs (rows), tables (sequences, most blocks of one; the rest of a row is not looked at).
func (s *Step) CacheWrite(cache *State, x, positions, seqs, tables Tensor) {
	dev := s.state(cache)
	if s.err != nil {
		return
	}
	c := cache.t
	x, positions, seqs, tables = s.on(dev, x), s.on(dev, positions), s.on(dev, seqs), s.on(dev, tables)
	ok := x.dtype == F32 && c.dtype == F32 && x.nd == 3 && c.nd == 4 && x.dim[1] == c.dim[1] && x.dim[2] == c.dim[3] &&
		pages(x, positions, seqs, tables)
	if s.shaped("cachewrite", nil, ok, x, c) && s.runs() {
		s.done("cachewrite", nil, s.ops[dev].CacheWrite(c, x, positions, seqs, tables))
	}
}

// Attention is causal softmax attention over a paged cache, with heads that share keys and values:
// y[r][h] = Σ_t softmax_t(scale · q[r][h]·k[t][g]) v[t][g] over the positions t = 0..positions[r] of the row's sequence,
// g = h·(kv heads)/heads. q (rows, heads, dim), keys (blocks, kv heads, size, dim), values the same with their own dim
// -> (rows, heads, dim of values). positions, seqs and tables as in CacheWrite; the rows' own keys have been written before.
func (s *Step) Attention(q Tensor, keys, values *State, positions, seqs, tables Tensor, scale float32) Tensor {
	dev := s.state(keys)
	if s.err != nil || values == nil {
		return s.refuse("attention", errNothing)
	}
	k, v := keys.t, values.t
	q, positions, seqs, tables = s.on(dev, q), s.on(dev, positions), s.on(dev, seqs), s.on(dev, tables)
	ok := q.dtype == F32 && k.dtype == F32 && v.dtype == F32 && q.nd == 3 && k.nd == 4 && v.nd == 4 &&
		q.dim[2] == k.dim[3] && k.dim[0] == v.dim[0] && k.dim[1] == v.dim[1] && k.dim[2] == v.dim[2] &&
		k.dim[1] > 0 && q.dim[1]%k.dim[1] == 0 && pages(q, positions, seqs, tables)
	if !s.shaped("attention", nil, ok, q, k) {
		return Tensor{}
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{q.dim[0], q.dim[1], v.dim[3]})
	if s.runs() {
		s.done("attention", nil, s.ops[dev].Attention(y, q, k, v, positions, seqs, tables, scale))
	}
	return y
}

// Gather picks rows: y[i] = x[index[i]]. x (rows, ..), index (n) -> (n, ..).
func (s *Step) Gather(x, index Tensor) Tensor {
	dev := s.current
	x, index = s.on(dev, x), s.on(dev, index)
	if !s.shaped("gather", nil, x.dtype == F32 && index.dtype == I32 && index.nd == 1, x, index) {
		return Tensor{}
	}
	dim := x.dim
	dim[0] = index.dim[0]
	y := s.make(dev, F32, x.nd, dim)
	if s.runs() {
		s.done("gather", nil, s.ops[dev].Gather(y, x, index))
	}
	return y
}

// pages checks the shapes of what addresses a paged cache for the rows of x.
func pages(x, positions, seqs, tables Tensor) bool {
	return positions.dtype == I32 && seqs.dtype == I32 && tables.dtype == I32 && positions.nd == 1 && seqs.nd == 1 &&
		tables.nd == 2 && positions.dim[0] == x.dim[0] && seqs.dim[0] == x.dim[0]
}

// weight enters the weight's module: where the op runs, and the weight there.
func (s *Step) weight(w *Weight) (int, Tensor) {
	if s.err != nil {
		return 0, Tensor{}
	}
	if w == nil {
		s.fail(errNothing)
		return 0, Tensor{}
	}
	dev := s.device(w.Module)
	t := w.On(dev)
	if t.IsZero() && s.err == nil {
		s.fail(fmt.Errorf("%s is not on %s, where its module was entered", w.Name, s.devices[dev].Name()))
	}
	return dev, t
}

// state enters the state's module.
func (s *Step) state(c *State) int {
	if c == nil {
		s.fail(errNothing)
		return 0
	}
	return s.device(c.Module)
}

// shaped says whether an op may go on; two operands are shown if they do not fit.
func (s *Step) shaped(op string, w *Weight, ok bool, x, y Tensor) bool {
	if s.err != nil {
		return false
	}
	if x.IsZero() || y.IsZero() {
		s.done(op, w, errNothing)
		return false
	}
	if !ok {
		s.done(op, w, fmt.Errorf("shapes do not fit: %v with %v", x, y))
		return false
	}
	return true
}

// runs says whether the op is to be computed: not after an error, not while measuring.
func (s *Step) runs() bool { return s.err == nil && !s.measuring }

func (s *Step) refuse(op string, err error) Tensor {
	s.done(op, nil, err)
	return Tensor{}
}

func (s *Step) done(op string, w *Weight, err error) {
	switch {
	case err == nil:
	case w != nil && w.Name != "":
		s.fail(fmt.Errorf("%s by %s: %w", op, w.Name, err))
	default:
		s.fail(fmt.Errorf("%s: %w", op, err))
	}
}
