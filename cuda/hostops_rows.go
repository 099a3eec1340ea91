package cuda

// hostops_rows.go has the CPU's kernels do the ops of ops_rows.go.

func (o *hostOps) Columns(dst, x Tensor, from int) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	return o.pool.Columns(f32s(dst), f32s(x), dst.Dim(-1), x.Dim(-1), from)
}

func (o *hostOps) Copy(dst, x Tensor) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	copy(f32s(dst), f32s(x))
	return nil
}

func (o *hostOps) PutColumns(dst, x Tensor, to int) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	return o.pool.PutColumns(f32s(dst), f32s(x), x.Dim(-1), dst.Dim(-1), to)
}

func (o *hostOps) Sigmoid(dst, x Tensor) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	return o.pool.Sigmoid(f32s(dst), f32s(x))
}

func (o *hostOps) Mul(dst, x, y Tensor) error {
	if err := o.owns(dst, x, y, y); err != nil {
		return err
	}
	return o.pool.Mul(f32s(dst), f32s(x), f32s(y))
}

func (o *hostOps) L2Norm(dst, x Tensor, eps float32) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	return o.pool.L2Norm(f32s(dst), f32s(x), x.Dim(-1), eps)
}
