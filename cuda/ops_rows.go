package cuda

// ops_rows.go is the ops on the elements and rows of tensors that are neither a linear map nor a norm with a weight.

// Columns copies the elements from..to-1 of the last dimension: x (.., n) -> (.., to-from).
func (s *Step) Columns(x Tensor, from, to int) Tensor {
	c := s.start(OpColumns)
	c.at(from)
	if x = c.in(x); !c.fits(x.float() && x.nd >= 2) {
		return Tensor{}
	}
	if from < 0 || to <= from || to > x.Dim(-1) {
		return c.refuse("%d to %d of %v", from, to, x)
	}
	dim := x.dim
	dim[x.nd-1] = int32(to - from)
	return c.gives(c.shaped(F32, x.nd, dim))
}

// Empty makes an f32 activation whose elements are not defined, for parts to be copied into.
func (s *Step) Empty(shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	t := Tensor{dtype: F32}
	if err := t.setShape(shape); err != nil {
		s.fail(err)
		return Tensor{}
	}
	return s.make(s.current, F32, t.nd, t.dim)
}

// Copy puts x into dst, an activation of the same shape or a slice of one.
func (s *Step) Copy(dst, x Tensor) {
	c := s.start(OpCopy)
	dst, x = c.alters(dst), c.in(x)
	if c.fits(dst.float() && x.float() && dst.SameShape(x)) {
		c.run()
	}
}

// Join puts parts side by side: the inverse of Columns. parts (rows, n_i) -> (rows, Σ n_i).
func (s *Step) Join(parts ...Tensor) Tensor {
	if len(parts) == 0 {
		return s.start(OpPutColumns).refuse("%w", errNothing)
	}
	rows, width := parts[0].dim[0], int32(0)
	for _, x := range parts {
		if !x.float() || x.nd != 2 || x.dim[0] != rows {
			return s.start(OpPutColumns).refuse("%v cannot stand beside %v", x, parts[0])
		}
		width += x.dim[1]
	}
	y, to := s.Empty(int(rows), int(width)), 0
	for _, x := range parts {
		c := s.start(OpPutColumns)
		c.at(to)
		c.op.Gives(y)
		to += c.in(x).Dim(1)
		c.run()
	}
	if s.err != nil {
		return Tensor{}
	}
	return y
}

// Sigmoid is 1 / (1 + exp(-x)), of any shape.
func (s *Step) Sigmoid(x Tensor) Tensor {
	c := s.start(OpSigmoid)
	if x = c.in(x); !c.fits(x.float()) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// Mul is x · y element by element. y has the shape of x, or one element where x has its last dimension: a factor for
// each row. x (.., n), y (.., n) or (.., 1) -> (.., n).
func (s *Step) Mul(x, y Tensor) Tensor {
	c := s.start(OpMul)
	x, y = c.in(x), c.in(y)
	scalars := x.dim
	if x.nd > 0 {
		scalars[x.nd-1] = 1
	}
	if !c.fits(x.float() && y.float() && x.nd == y.nd && (y.dim == x.dim || y.dim == scalars)) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// L2Norm divides by the length over the last dimension: y = x / sqrt(Σx² + eps). x (.., n) -> (.., n).
func (s *Step) L2Norm(x Tensor, eps float32) Tensor {
	c := s.start(OpL2Norm)
	c.with(eps)
	if x = c.in(x); !c.fits(x.float() && x.nd >= 2) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// IndexCopy is x with some rows replaced: z = x, but z[index[i]] = y[i]. x (rows, n), index (m), y (m, n) -> (rows, n).
func (s *Step) IndexCopy(x, index, y Tensor) Tensor { return s.indexed(OpIndexCopy, x, index, y) }

// IndexAdd is x with something added to some rows: z = x, but z[index[i]] = x[index[i]] + y[i]. An index that stands twice
// gets both. x (rows, n), index (m), y (m, n) -> (rows, n).
func (s *Step) IndexAdd(x, index, y Tensor) Tensor { return s.indexed(OpIndexAdd, x, index, y) }

func (s *Step) indexed(code OpCode, x, index, y Tensor) Tensor {
	c := s.start(code)
	x, index, y = c.in(x), c.in(index), c.in(y)
	if !c.fits(x.float() && y.float() && x.nd == 2 && index.nd == 1 && y.nd == 2 && c.among(index, x.Rows()) &&
		x.dim[1] == y.dim[1] && index.dim[0] == y.dim[0]) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}
