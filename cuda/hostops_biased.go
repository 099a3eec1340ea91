package cuda

// hostops_biased.go has the CPU's kernels do the ops of ops_biased.go.

func (o *hostOps) AddRow(dst, x, row Tensor) error {
	if err := o.owns(dst, x, row, row); err != nil {
		return err
	}
	return o.pool.AddRow(f32s(dst), f32s(x), matrix(row))
}

func (o *hostOps) LayerNorm(dst, x, w, b Tensor, eps float32) error {
	if err := o.owns(dst, x, w, b); err != nil {
		return err
	}
	return o.pool.LayerNorm(f32s(dst), f32s(x), matrix(w), matrix(b), eps)
}

func (o *hostOps) GELU(dst, x Tensor, form GELUForm) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	return o.pool.GELU(f32s(dst), f32s(x), form == GELUTanh)
}
