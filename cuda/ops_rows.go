package cuda

import "fmt"

// ops_rows.go is the ops on the elements of rows that are neither a linear map nor a norm with a weight.

// RowOps is the part of Ops that these are. Columns is given the first of the columns of x that it copies, PutColumns the
// first of those of dst that it copies x to.
type RowOps interface {
	Columns(dst, x Tensor, from int) error
	PutColumns(dst, x Tensor, to int) error
	Copy(dst, x Tensor) error
	Sigmoid(dst, x Tensor) error
	Mul(dst, x, y Tensor) error
	L2Norm(dst, x Tensor, eps float32) error
}

// Columns copies the elements from..to-1 of the last dimension: x (.., n) -> (.., to-from).
func (s *Step) Columns(x Tensor, from, to int) Tensor {
	dev := s.current
	x = s.on(dev, x)
	if !s.shaped("columns", nil, x.dtype == F32 && x.nd >= 2, x, x) {
		return Tensor{}
	}
	if from < 0 || to <= from || to > x.Dim(-1) {
		return s.refuse("columns", fmt.Errorf("%d to %d of %v", from, to, x))
	}
	dim := x.dim
	dim[x.nd-1] = int32(to - from)
	y := s.make(dev, F32, x.nd, dim)
	if s.runs() {
		s.done("columns", nil, s.ops[dev].Columns(y, x, from))
	}
	return y
}

// Empty makes an f32 activation whose elements are not defined, for parts to be copied into.
func (s *Step) Empty(shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	t := Tensor{dtype: F32}
	if err := t.setShape(shape); err != nil {
		return s.refuse("empty", err)
	}
	return s.make(s.current, F32, t.nd, t.dim)
}

// Copy puts x into dst, an activation of the same shape or a slice of one.
func (s *Step) Copy(dst, x Tensor) {
	dev := s.current
	dst, x = s.changing(dev, dst), s.on(dev, x)
	if s.shaped("copy", nil, dst.dtype == F32 && x.dtype == F32 && dst.SameShape(x), dst, x) && s.runs() {
		s.done("copy", nil, s.ops[dev].Copy(dst, x))
	}
}

// Join puts parts side by side: the inverse of Columns. parts (rows, n_i) -> (rows, Σ n_i).
func (s *Step) Join(parts ...Tensor) Tensor {
	if len(parts) == 0 {
		return s.refuse("join", errNothing)
	}
	dev, width := s.current, int32(0)
	for _, x := range parts {
		if !s.shaped("join", nil, x.dtype == F32 && x.nd == 2 && x.dim[0] == parts[0].dim[0], x, parts[0]) {
			return Tensor{}
		}
		width += x.dim[1]
	}
	y := s.make(dev, F32, 2, [MaxDims]int32{parts[0].dim[0], width})
	to := 0
	for _, x := range parts {
		if x = s.on(dev, x); s.runs() {
			s.done("join", nil, s.ops[dev].PutColumns(y, x, to))
		}
		to += x.Dim(1)
	}
	return y
}

// Sigmoid is 1 / (1 + exp(-x)), of any shape.
func (s *Step) Sigmoid(x Tensor) Tensor {
	dev := s.current
	x = s.on(dev, x)
	if !s.shaped("sigmoid", nil, x.dtype == F32, x, x) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("sigmoid", nil, s.ops[dev].Sigmoid(y, x))
	}
	return y
}

// Mul is x · y element by element. y has the shape of x, or one element where x has its last dimension: a factor for
// each row. x (.., n), y (.., n) or (.., 1) -> (.., n).
func (s *Step) Mul(x, y Tensor) Tensor {
	dev := s.current
	x, y = s.on(dev, x), s.on(dev, y)
	scalars := x.dim
	if x.nd > 0 {
		scalars[x.nd-1] = 1
	}
	ok := x.dtype == F32 && y.dtype == F32 && x.nd == y.nd && (y.dim == x.dim || y.dim == scalars)
	if !s.shaped("mul", nil, ok, x, y) {
		return Tensor{}
	}
	z := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("mul", nil, s.ops[dev].Mul(z, x, y))
	}
	return z
}

// L2Norm divides by the length over the last dimension: y = x / sqrt(Σx² + eps). x (.., n) -> (.., n).
func (s *Step) L2Norm(x Tensor, eps float32) Tensor {
	dev := s.current
	x = s.on(dev, x)
	if !s.shaped("l2norm", nil, x.dtype == F32 && x.nd >= 2, x, x) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("l2norm", nil, s.ops[dev].L2Norm(y, x, eps))
	}
	return y
}
