package cuda

// ops_latent.go is attention over compressed keys and values (multi-head latent attention, DeepSeek-AI, 2024) in its absorbed
// form. A position's keys and values of all heads are linear in one latent c of `rank` elements: with the rows of
// w (heads·g, rank) for head h being K_h (nope) and then V_h (g-nope), its key is K_h c and its value V_h c. A score q·(K_h c)
// is (K_hᵀ q)·c, and a weighted sum of values is V_h times that of the latents, so that keys and values need not be made.

// LatentQuery takes queries into the space of latents: y[r][h] = K_hᵀ q[r][h][:nope], followed by the rest of q[r][h].
// q (rows, heads, nope+rest), w (heads·g, rank) -> (rows, heads, rank+rest).
func (s *Step) LatentQuery(q Tensor, w *Weight, nope int) Tensor {
	c, m := s.startBy(w, OpLatentQuery)
	c.at(nope)
	if q = c.in(q); !c.fits(q.float() && q.nd == 3 && perHead(m, q.Dim(1))) {
		return Tensor{}
	}
	if nope < 1 || nope > q.Dim(2) || nope > m.Rows/q.Dim(1) {
		return c.refuse("%d elements of a query %v", nope, q)
	}
	return c.gives(c.out(F32, q.dim[0], q.dim[1], int32(m.Cols)+q.dim[2]-int32(nope)))
}

// LatentAttention is causal softmax attention with one key for all heads, whose first vdim elements are the value:
// y[r][h] = Σ_t softmax_t(scale · q[r][h]·c[t]) c[t][:vdim] over the positions t = 0..positions[r] of the row's sequence.
// q (rows, heads, dim), cache (blocks, 1, size, dim) -> (rows, heads, vdim).
func (s *Step) LatentAttention(q Tensor, cache *State, vdim int, pages Pages, scale float32) Tensor {
	c := s.startIn(cache, OpLatentAttention)
	c.with(scale)
	q = c.in(q)
	k := c.state(cache)
	pages = c.pages(pages)
	if !c.fits(q.float() && k.cached() > 0 && q.nd == 3 && pages.addresses(q, k) && k.dim[1] == 1 && q.dim[2] == k.cached()) {
		return Tensor{}
	}
	if vdim < 1 || vdim > int(k.cached()) {
		return c.refuse("values of %d elements in a cache %v", vdim, k)
	}
	return c.gives(c.out(F32, q.dim[0], q.dim[1], int32(vdim)))
}

// LatentValue takes weighted sums of latents back: y[r][h] = V_h x[r][h]. x (rows, heads, rank), w (heads·g, rank)
// -> (rows, heads, g-nope).
func (s *Step) LatentValue(x Tensor, w *Weight, nope int) Tensor {
	c, m := s.startBy(w, OpLatentValue)
	if x = c.in(x); !c.fits(x.float() && x.nd == 3 && perHead(m, x.Dim(1)) && x.Dim(2) == m.Cols) {
		return Tensor{}
	}
	value := m.Rows/x.Dim(1) - nope
	if nope < 0 || value < 1 {
		return c.refuse("keys of %d elements leave no values in %v", nope, m)
	}
	return c.gives(c.out(F32, x.dim[0], x.dim[1], int32(value)))
}

// perHead says whether a matrix has as many rows for each head.
func perHead(w Matrix, heads int) bool { return heads > 0 && w.Rows%heads == 0 }
