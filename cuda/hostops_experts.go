package cuda

import "github.com/inference-pio/inference-pio/cuda/cpu"

// hostops_experts.go has the CPU's kernels do what ops_experts.go says.

func (o *hostOps) Zero(dst Tensor) error {
	if err := o.owns(dst, dst, dst, dst); err != nil {
		return err
	}
	clear(f32s(dst))
	return nil
}

func (o *hostOps) Route(index, weights, logits, bias Tensor, r RouteOptions) error {
	if err := o.owns(index, weights, logits, logits); err != nil {
		return err
	}
	c := cpu.Routing{Sigmoid: r.Score == Sigmoid, Experts: logits.Dim(1), TopK: r.TopK, Groups: r.Groups, TopGroups: r.TopGroups,
		Normalize: r.Normalize, Epsilon: r.Epsilon, Scale: r.Scale}
	if r.Scale == 0 {
		c.Scale = 1
	}
	if !bias.IsZero() {
		if err := o.owns(bias, bias, bias, bias); err != nil {
			return err
		}
		c.Bias = matrix(bias)
	}
	return o.pool.Route(i32s(index), f32s(weights), f32s(logits), c)
}

func (o *hostOps) GatherByValue(dst, entries, x, index Tensor, values []int32) error {
	if err := o.owns(dst, entries, x, index); err != nil {
		return err
	}
	return o.pool.GatherByValue(f32s(dst), i32s(entries), f32s(x), i32s(index), index.Dim(1), values)
}

func (o *hostOps) MatMulGrouped(dst, x Tensor, counts []int32, ws []Tensor) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	var few [64]cpu.Matrix // enough for what nn.Experts sends at once
	matrices := few[:0]
	for _, w := range ws {
		if err := o.owns(w, w, w, w); err != nil {
			return err
		}
		matrices = append(matrices, matrix(w))
	}
	return o.pool.MatMulGrouped(f32s(dst), f32s(x), counts, matrices)
}

func (o *hostOps) ScatterAddByIndex(dst, x, entries, weights Tensor) error {
	if err := o.owns(dst, x, entries, weights); err != nil {
		return err
	}
	return o.pool.ScatterAddByIndex(f32s(dst), f32s(x), i32s(entries), f32s(weights), dst.Dim(1), weights.Dim(1))
}
