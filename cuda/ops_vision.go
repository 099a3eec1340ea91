package cuda

import (
	"fmt"
	"math"
)

// ops_vision.go is how what was seen enters a pass: values from outside, and rows that replace or are added to some of a
// tensor's rows.

// VisionOps is the part of Ops that these are.
type VisionOps interface {
	IndexCopy(dst, x, index, y Tensor) error
	IndexAdd(dst, x, index, y Tensor) error
}

// InputF32 brings values (pixels, features) into the step: they last as long as what is made at that point. Without a shape
// the tensor has one dimension. While measuring data may be nil; the shape says how much there will be.
func (s *Step) InputF32(data []float32, shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	t := Tensor{dtype: F32}
	if len(shape) == 0 {
		t.nd, t.dim[0] = 1, int32(len(data))
	} else if err := t.setShape(shape); err != nil {
		return s.refuse("input", err)
	}
	if t.Len() != len(data) && !(s.measuring && data == nil) {
		return s.refuse("input", fmt.Errorf("%d values do not fill the shape", len(data)))
	}
	t = s.make(0, F32, t.nd, t.dim)
	copy(t.F32(), data)
	return t
}

// IndexCopy is x with some rows replaced: z = x, but z[index[i]] = y[i]. x (rows, n), index (m), y (m, n) -> (rows, n).
func (s *Step) IndexCopy(x, index, y Tensor) Tensor {
	return s.indexed("index copy", x, index, y, Ops.IndexCopy)
}

// IndexAdd is x with something added to some rows: z = x, but z[index[i]] = x[index[i]] + y[i]. An index that stands twice
// gets both. x (rows, n), index (m), y (m, n) -> (rows, n).
func (s *Step) IndexAdd(x, index, y Tensor) Tensor {
	return s.indexed("index add", x, index, y, Ops.IndexAdd)
}

func (s *Step) indexed(name string, x, index, y Tensor, op func(o Ops, dst, x, index, y Tensor) error) Tensor {
	dev := s.current
	x, index, y = s.on(dev, x), s.on(dev, index), s.on(dev, y)
	ok := x.dtype == F32 && index.dtype == I32 && y.dtype == F32 && x.nd == 2 && index.nd == 1 && y.nd == 2 &&
		x.dim[1] == y.dim[1] && index.dim[0] == y.dim[0]
	if !s.shaped(name, nil, ok, x, y) {
		return Tensor{}
	}
	z := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done(name, nil, op(s.ops[dev], z, x, index, y))
	}
	return z
}

// Group joins rows, k at a time: (rows, n) -> (rows/k, k*n).
func (t Tensor) Group(k int) Tensor {
	if t.nd != 2 || k < 1 || int(t.dim[0])%k != 0 || int64(k)*int64(t.dim[1]) > math.MaxInt32 || t.scale != nil {
		return Tensor{}
	}
	t.dim[0], t.dim[1] = t.dim[0]/int32(k), t.dim[1]*int32(k)
	return t
}
