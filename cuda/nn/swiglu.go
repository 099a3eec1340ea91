// The gated feed-forward layer (Shazeer, 2020): the whole of it in a dense model, one of many in a mixture of experts.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// SwiGLU is y = down(silu(gate x) · up x).
type SwiGLU struct {
	Gate Linear `weight:"gate_proj"` // hidden -> inner
	Up   Linear `weight:"up_proj"`
	Down Linear `weight:"down_proj"` // inner -> hidden
}

// NewSwiGLU is a layer of these sizes, to be bound.
func NewSwiGLU(hidden, inner int) SwiGLU {
	return SwiGLU{NewLinear(inner, hidden), NewLinear(inner, hidden), NewLinear(hidden, inner)}
}

// Forward maps x (rows, hidden) -> (rows, hidden).
func (l *SwiGLU) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	s.StartPart()
	x = l.gated(s, x)
	s.EndPart()
	return l.Down.Forward(s, x)
}

// ForwardNormed is Forward of what norm makes of x. The result lasts until the layer's next part begins: it is added to x at once.
func (l *SwiGLU) ForwardNormed(s *cuda.Step, norm RMSNorm, x cuda.Tensor) cuda.Tensor {
	s.StartPart()
	defer s.EndPart()
	return l.Down.Forward(s, l.gated(s, norm.Forward(s, x)))
}

// gated is (rows, hidden) -> (rows, inner).
func (l *SwiGLU) gated(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	return s.SwiGLU(l.Gate.Forward(s, x), l.Up.Forward(s, x))
}
