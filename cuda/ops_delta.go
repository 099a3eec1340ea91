package cuda

// ops_delta.go is the ops of the gated delta rule (Yang, Kautz and Hatamizadeh, 2024): a layer that keeps a matrix for each
// sequence instead of its keys and values, and a short convolution before it. Their states have one slot for each sequence
// on board: slots[r] is the one of row r's, and a row at position 0 begins from zeros, whatever its slot held. Rows of one
// sequence come in the order of their positions.

// DeltaOps is the part of Ops that these are.
type DeltaOps interface {
	CausalConv(dst, x, w, state, positions, slots Tensor) error
	Decay(dst, a, aLog, dtBias Tensor) error
	DeltaRule(dst, state Tensor, r DeltaRows, scale float32) error
}

// DeltaRows is the operands of DeltaRule that have a row for each position.
type DeltaRows struct {
	Q, K             Tensor // (rows, key heads, key dim)
	V                Tensor // (rows, heads, value dim)
	G, Beta          Tensor // (rows, heads)
	Positions, Slots Tensor // (rows) i32
	Forms            Tensor // (rows) i32: 0 for rows of a prompt, which are computed in chunks; 1 for rows one by one
}

func (d *DeltaRows) all() [8]*Tensor {
	return [...]*Tensor{&d.Q, &d.K, &d.V, &d.G, &d.Beta, &d.Positions, &d.Slots, &d.Forms}
}

// CausalConv is a convolution over the positions of each channel, and silu after it:
// y[r][c] = silu(Σ_j w[c][0][j] u[c][p-n+1+j]) with p = positions[r], where u are the inputs of the row's sequence so far
// and zeros before its first. x (rows, channels), w (channels, 1, n), state (slots, n-1, channels): the last inputs
// -> (rows, channels).
func (s *Step) CausalConv(x Tensor, w *Weight, state *State, positions, slots Tensor) Tensor {
	dev, t := s.weight(w)
	if s.err != nil || state == nil {
		return s.refuse("causalconv", errNothing)
	}
	c := state.t
	x, positions, slots = s.on(dev, x), s.on(dev, positions), s.on(dev, slots)
	ok := x.dtype == F32 && c.dtype == F32 && x.nd == 2 && t.nd == 3 && c.nd == 3 && t.dim[0] == x.dim[1] && t.dim[1] == 1 &&
		t.dim[2] >= 1 && c.dim[1] == t.dim[2]-1 && c.dim[2] == x.dim[1] && perRow(x, positions, slots)
	if !s.shaped("causalconv", w, ok, x, t) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("causalconv", w, s.ops[dev].CausalConv(y, x, t, c, positions, slots))
	}
	return y
}

// Decay is the logarithm of how much of a state stays at a position: g = -exp(aLog) · softplus(a + dtBias), with
// softplus(x) = ln(1 + exp(x)). a (rows, heads), aLog (heads), dtBias (heads) -> (rows, heads), never above 0.
func (s *Step) Decay(a Tensor, aLog, dtBias *Weight) Tensor {
	dev, l := s.weight(aLog)
	_, b := s.weight(dtBias)
	a = s.on(dev, a)
	ok := a.dtype == F32 && a.nd == 2 && l.nd == 1 && l.dim[0] == a.dim[1] && b.SameShape(l)
	if !s.shaped("decay", aLog, ok, a, l) {
		return Tensor{}
	}
	y := s.make(dev, F32, a.nd, a.dim)
	if s.runs() {
		s.done("decay", aLog, s.ops[dev].Decay(y, a, l, b))
	}
	return y
}

// DeltaRule reads and corrects a matrix S of each value head, position by position:
//
//	S ← exp(g) S;  S ← S + k (β (v - Sᵀk))ᵀ;  y = scale · Sᵀq
//
// Value head h uses key head h·(key heads)/(heads). state (slots, heads, key dim, value dim) -> (rows, heads, value dim).
// Rows of a prompt are computed together, from one multiple of 64 positions to the next; the result is the same but for
// rounding.
func (s *Step) DeltaRule(r DeltaRows, state *State, scale float32) Tensor {
	dev := s.state(state)
	if s.err != nil {
		return Tensor{}
	}
	for _, t := range r.all() {
		*t = s.on(dev, *t)
	}
	q, k, v, c := r.Q, r.K, r.V, state.t
	ok := q.dtype == F32 && k.dtype == F32 && v.dtype == F32 && c.dtype == F32 && q.nd == 3 && q.SameShape(k) && v.nd == 3 &&
		c.nd == 4 && q.dim[0] == v.dim[0] && q.dim[1] > 0 && v.dim[1]%max(q.dim[1], 1) == 0 &&
		c.dim[1] == v.dim[1] && c.dim[2] == q.dim[2] && c.dim[3] == v.dim[2] &&
		numberPerHead(v, r.G) && numberPerHead(v, r.Beta) && perRow(v, r.Positions, r.Slots) && perRow(v, r.Forms, r.Forms)
	if !s.shaped("deltarule", nil, ok, q, c) {
		return Tensor{}
	}
	y := s.make(dev, F32, v.nd, v.dim)
	if s.runs() {
		s.done("deltarule", nil, s.ops[dev].DeltaRule(y, c, r, scale))
	}
	return y
}

// perRow says whether two tensors have an integer for each row of x, numberPerHead whether one has a number for each head of each.
func perRow(x, a, b Tensor) bool {
	return a.dtype == I32 && b.dtype == I32 && a.nd == 1 && b.nd == 1 && a.dim[0] == x.dim[0] && b.dim[0] == x.dim[0]
}

func numberPerHead(x, a Tensor) bool {
	return a.dtype == F32 && a.nd == 2 && a.dim[0] == x.dim[0] && a.dim[1] == x.dim[1]
}
