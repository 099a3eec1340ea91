package cuda

// hostops_vision.go has the CPU's kernels do the ops of ops_vision.go.

func (o *hostOps) IndexCopy(dst, x, index, y Tensor) error {
	if err := o.owns(dst, x, index, y); err != nil {
		return err
	}
	return o.pool.IndexCopy(f32s(dst), f32s(x), i32s(index), f32s(y), x.Dim(1))
}

func (o *hostOps) IndexAdd(dst, x, index, y Tensor) error {
	if err := o.owns(dst, x, index, y); err != nil {
		return err
	}
	return o.pool.IndexAdd(f32s(dst), f32s(x), i32s(index), f32s(y), x.Dim(1))
}
