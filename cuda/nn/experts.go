// The sparse half of a mixture of experts (Shazeer et al., 2017): of many feed-forward layers each row takes a few. Which, and
// with what weight, a router says.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// Experts is the experts of one layer. Each is a module of its own and may lie on any device.
type Experts struct {
	List []SwiGLU `weight:"."`

	mixture *cuda.Mixture // of List, once it is bound
}

// NewExperts is n experts of these sizes, to be bound.
func NewExperts(n, hidden, inner int) Experts {
	e := Experts{List: make([]SwiGLU, n)}
	for i := range e.List {
		e.List[i] = NewSwiGLU(hidden, inner)
	}
	return e
}

// Forward sends each row to its experts and adds up what they give: see cuda.Step.Experts. x (rows, hidden), index and weights
// (rows, k), as cuda.Step.Route gives them -> (rows, hidden).
func (e *Experts) Forward(s *cuda.Step, x, index, weights cuda.Tensor) cuda.Tensor {
	if e.mixture == nil {
		list := make([]cuda.ExpertWeights, len(e.List))
		for i, one := range e.List {
			list[i] = cuda.ExpertWeights{Gate: one.Gate.W, Up: one.Up.W, Down: one.Down.W}
		}
		e.mixture = cuda.NewMixture(list)
	}
	return s.Experts(x, index, weights, e.mixture)
}
