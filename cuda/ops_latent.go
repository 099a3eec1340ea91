package cuda

import "fmt"

// ops_latent.go is attention over compressed keys and values (multi-head latent attention, DeepSeek-AI, 2024) in its absorbed
// form. A position's keys and values of all heads are linear in one latent c of `rank` elements: with the rows of
// w (heads·g, rank) for head h being K_h (nope) and then V_h (g-nope), its key is K_h c and its value V_h c. A score q·(K_h c)
// is (K_hᵀ q)·c, and a weighted sum of values is V_h times that of the latents, so that keys and values need not be made.

// LatentQuery takes queries into the space of latents: y[r][h] = K_hᵀ q[r][h][:nope], followed by the rest of q[r][h].
// q (rows, heads, nope+rest), w (heads·g, rank) -> (rows, heads, rank+rest).
func (s *Step) LatentQuery(q Tensor, w *Weight, nope int) Tensor {
	dev, t := s.weight(w)
	q = s.on(dev, q)
	if !s.shaped("latentquery", w, q.dtype == F32 && q.nd == 3 && perHead(t, q.dim[1]) && q.dim[1] > 0, q, t) {
		return Tensor{}
	}
	if nope < 1 || nope > int(q.dim[2]) || nope > int(t.dim[0]/q.dim[1]) {
		return s.refuse("latentquery", fmt.Errorf("%d elements of a query %v", nope, q))
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{q.dim[0], q.dim[1], t.dim[1] + q.dim[2] - int32(nope)})
	if s.runs() {
		s.done("latentquery", w, s.ops[dev].LatentQuery(y, q, t, nope))
	}
	return y
}

// LatentAttention is causal softmax attention with one key for all heads, whose first vdim elements are the value:
// y[r][h] = Σ_t softmax_t(scale · q[r][h]·c[t]) c[t][:vdim] over the positions t = 0..positions[r] of the row's sequence.
// q (rows, heads, dim), cache (blocks, 1, size, dim) -> (rows, heads, vdim). positions, seqs and tables as in CacheWrite.
func (s *Step) LatentAttention(q Tensor, cache *State, vdim int, positions, seqs, tables Tensor, scale float32) Tensor {
	dev := s.state(cache)
	if s.err != nil {
		return Tensor{}
	}
	c := cache.t
	q, positions, seqs, tables = s.on(dev, q), s.on(dev, positions), s.on(dev, seqs), s.on(dev, tables)
	ok := q.dtype == F32 && c.dtype == F32 && q.nd == 3 && c.nd == 4 && c.dim[1] == 1 && q.dim[2] == c.dim[3] && pages(q, positions, seqs, tables)
	if !s.shaped("latentattention", nil, ok, q, c) {
		return Tensor{}
	}
	if vdim < 1 || vdim > int(c.dim[3]) {
		return s.refuse("latentattention", fmt.Errorf("values of %d elements in a cache %v", vdim, c))
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{q.dim[0], q.dim[1], int32(vdim)})
	if s.runs() {
		s.done("latentattention", nil, s.ops[dev].LatentAttention(y, q, c, positions, seqs, tables, scale))
	}
	return y
}

// LatentValue takes weighted sums of latents back: y[r][h] = V_h x[r][h]. x (rows, heads, rank), w (heads·g, rank)
// -> (rows, heads, g-nope).
func (s *Step) LatentValue(x Tensor, w *Weight, nope int) Tensor {
	dev, t := s.weight(w)
	x = s.on(dev, x)
	if !s.shaped("latentvalue", w, x.dtype == F32 && x.nd == 3 && perHead(t, x.dim[1]) && x.dim[2] == t.dim[1] && x.dim[1] > 0, x, t) {
		return Tensor{}
	}
	value := int(t.dim[0]/x.dim[1]) - nope
	if nope < 0 || value < 1 {
		return s.refuse("latentvalue", fmt.Errorf("keys of %d elements leave no values in %v", nope, t))
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{x.dim[0], x.dim[1], int32(value)})
	if s.runs() {
		s.done("latentvalue", w, s.ops[dev].LatentValue(y, x, t))
	}
	return y
}

// perHead says whether a matrix has as many rows for each head.
func perHead(w Tensor, heads int32) bool { return w.nd == 2 && heads > 0 && w.dim[0]%heads == 0 }
