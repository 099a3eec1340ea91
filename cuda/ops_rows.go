package cuda

import "fmt"

// ops_rows.go is the ops on the elements of rows that are neither a linear map nor a norm with a weight.

// RowOps is the part of Ops that these are. Columns is given the first of the columns it copies.
type RowOps interface {
	Columns(dst, x Tensor, from int) error
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
