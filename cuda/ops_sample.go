package cuda

// ops_sample.go is the ops on logits that let a device choose, so that only what was chosen travels. They run where the logits lie, which is
// where the head is and not always where the last layer is.

// startOf begins an op where an activation lies.
func (s *Step) startOf(x Tensor, code OpCode) *call { return s.startOn(s.indexOf(x.dev), code) }

// Argmax is where the first of the largest elements of each row stands, which is never what is not a number, and what it is: not a number,
// if any of the row is none. x (rows, n) -> index (rows) i32, values (rows).
func (s *Step) Argmax(x Tensor) (index, values Tensor) {
	c := s.startOf(x, OpArgmax)
	if x = c.in(x); !c.fits(x.float() && x.nd == 2 && x.dim[1] > 0) {
		return Tensor{}, Tensor{}
	}
	index, values = c.out(I32, x.dim[0]), c.out(F32, x.dim[0])
	index.below = x.dim[1]
	c.run()
	return index, values
}

// TopK is the k largest elements of each row and where they stand, the largest first, of equals the first; what is not a number is the
// smallest. x (rows, n) -> index (rows, k) i32, values (rows, k).
func (s *Step) TopK(x Tensor, k int) (index, values Tensor) {
	c := s.startOf(x, OpTopK)
	if x = c.in(x); !c.fits(x.float() && x.nd == 2) {
		return Tensor{}, Tensor{}
	}
	if k < 1 || k > x.Dim(1) {
		return c.refuse("%d of %v", k, x), Tensor{}
	}
	index, values = c.out(I32, x.dim[0], int32(k)), c.out(F32, x.dim[0], int32(k))
	index.below = x.dim[1]
	c.run()
	return index, values
}
