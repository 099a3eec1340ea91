package cuda

import "github.com/inference-pio/inference-pio/cuda/cpu"

// hostops_delta.go has the CPU's kernels do the ops of ops_delta.go.

func (o *hostOps) CausalConv(dst, x, w, state, positions, slots Tensor) error {
	if err := o.owns(dst, x, w, state); err != nil {
		return err
	}
	if err := o.owns(positions, slots, slots, slots); err != nil {
		return err
	}
	rows := cpu.Slots{Positions: i32s(positions), Slots: i32s(slots), Count: state.Dim(0)}
	return o.pool.CausalConv(f32s(dst), f32s(x), matrix(w), f32s(state), rows)
}

func (o *hostOps) Decay(dst, a, aLog, dtBias Tensor) error {
	if err := o.owns(dst, a, aLog, dtBias); err != nil {
		return err
	}
	return o.pool.Decay(f32s(dst), f32s(a), matrix(aLog), matrix(dtBias))
}

func (o *hostOps) DeltaRule(dst, state Tensor, r DeltaRows, scale float32) error {
	if err := o.owns(dst, state, dst, state); err != nil {
		return err
	}
	for _, t := range r.all() {
		if err := o.owns(*t, dst, dst, dst); err != nil {
			return err
		}
	}
	return o.pool.DeltaRule(f32s(dst), f32s(state), cpu.Delta{
		Q: f32s(r.Q), K: f32s(r.K), V: f32s(r.V), G: f32s(r.G), Beta: f32s(r.Beta), Forms: i32s(r.Forms),
		Slots:    cpu.Slots{Positions: i32s(r.Positions), Slots: i32s(r.Slots), Count: state.Dim(0)},
		KeyHeads: r.Q.Dim(1), Heads: r.V.Dim(1), KeyDim: r.Q.Dim(2), ValueDim: r.V.Dim(2), Scale: scale,
	})
}
