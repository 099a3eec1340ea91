package cuda

// ops_delta.go is the ops of the gated delta rule (Yang, Kautz and Hatamizadeh, 2024): a layer that keeps a matrix for each
// sequence instead of its keys and values, and a short convolution before it. Their states have one slot for each sequence
// on board: slots[r] is the one of row r's, and a row at position 0 begins from zeros, whatever its slot held. Rows of one
// sequence come in the order of their positions.

// DeltaRows is the operands of DeltaRule that have a row for each position.
type DeltaRows struct {
	Q, K             Tensor // (rows, key heads, key dim)
	V                Tensor // (rows, heads, value dim)
	G, Beta          Tensor // (rows, heads)
	Positions, Slots Tensor // (rows) i32
	Forms            Tensor // (rows) i32: 0 for rows of a prompt, which are computed in chunks; 1 for rows one by one
}

// CausalConv is a convolution over the positions of each channel, and silu after it:
// y[r][c] = silu(Σ_j w[c][0][j] u[c][p-n+1+j]) with p = positions[r], where u are the inputs of the row's sequence so far
// and zeros before its first. x (rows, channels), w (channels, 1, n), state (slots, n-1, channels): the last inputs
// -> (rows, channels).
func (s *Step) CausalConv(x Tensor, w *Weight, state *State, positions, slots Tensor) Tensor {
	c, m := s.startBy(w, OpCausalConv)
	x, positions, slots = c.in(x), c.in(positions), c.in(slots)
	if state == nil {
		return c.refuse("%w", errNothing)
	}
	u := state.t
	if !c.fits(x.float() && u.dtype == F32 && x.nd == 2 && len(w.Shape) == 3 && w.Shape[1] == 1 && u.nd == 3 && m.Rows == x.Dim(1) && m.Cols >= 1 &&
		u.Dim(1) == m.Cols-1 && u.dim[2] == x.dim[1] && perRow(x, positions) && perRow(x, slots) && c.among(slots, u.Rows())) {
		return Tensor{}
	}
	y := c.like(x)
	c.changes(state)
	return c.gives(y)
}

// Decay is the logarithm of how much of a state stays at a position: g = -exp(aLog) · softplus(a + dtBias), with
// softplus(x) = ln(1 + exp(x)). a (rows, heads), aLog (heads), dtBias (heads) -> (rows, heads), never above 0.
func (s *Step) Decay(a Tensor, aLog, dtBias *Weight) Tensor {
	c, l := s.startBy(aLog, OpDecay)
	b := c.weight(dtBias)
	if a = c.in(a); !c.fits(a.nd == 2 && perColumn(l, a) && perColumn(b, a)) {
		return Tensor{}
	}
	return c.gives(c.like(a))
}

// DeltaRule reads and corrects a matrix S of each value head, position by position:
//
//	S ← exp(g) S;  S ← S + k (β (v - Sᵀk))ᵀ;  y = scale · Sᵀq
//
// Value head h uses key head h·(key heads)/(heads). state (slots, heads, key dim, value dim) -> (rows, heads, value dim).
// Rows of a prompt are computed together, from one multiple of 64 positions to the next; the result is the same but for
// rounding.
func (s *Step) DeltaRule(r DeltaRows, state *State, scale float32) Tensor {
	c := s.startIn(state, OpDeltaRule)
	c.with(scale)
	q, k, v, g, beta := c.in(r.Q), c.in(r.K), c.in(r.V), c.in(r.G), c.in(r.Beta)
	positions, slots, forms := c.in(r.Positions), c.in(r.Slots), c.in(r.Forms)
	if s.err != nil {
		return Tensor{}
	}
	m := state.t
	if !c.fits(q.float() && k.float() && v.float() && m.dtype == F32 && q.nd == 3 && q.SameShape(k) && v.nd == 3 && m.nd == 4 && q.dim[0] == v.dim[0] &&
		q.dim[1] > 0 && v.dim[1]%max(q.dim[1], 1) == 0 && m.dim[1] == v.dim[1] && m.dim[2] == q.dim[2] && m.dim[3] == v.dim[2] &&
		numberPerHead(v, g) && numberPerHead(v, beta) && perRow(v, positions) && perRow(v, slots) && c.among(slots, m.Rows()) && perRow(v, forms)) {
		return Tensor{}
	}
	y := c.like(v)
	c.changes(state)
	return c.gives(y)
}

// perRow says whether a tensor has an integer for each row of x, numberPerHead whether one has a number for each head of each.
func perRow(x, a Tensor) bool {
	return a.nd == 1 && a.dim[0] == x.dim[0] && a.dtype == I32 && a.below > 0
}

func numberPerHead(x, a Tensor) bool {
	return a.float() && a.nd == 2 && a.dim[0] == x.dim[0] && a.dim[1] == x.dim[1]
}
