// The two kinds of feed-forward layer: dense, which is nn.SwiGLU, and a mixture of experts with one that every token visits.

package main

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// feedForward maps x (rows, hidden) -> (rows, hidden).
type feedForward interface {
	Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor
}

// Mixture is Σ_e weight_e · expert_e(x) over the experts that the router chose, + sigmoid(shared gate x) · shared(x).
type Mixture struct {
	Router     nn.Linear  `weight:"gate,keep"` // hidden -> experts
	Experts    nn.Experts `weight:"experts"`
	Shared     nn.SwiGLU  `weight:"shared_expert"`
	SharedGate nn.Linear  `weight:"shared_expert_gate"` // hidden -> 1

	route cuda.RouteOptions
}

func newFeedForward(c Config, i int) feedForward {
	if !c.Sparse(i) {
		dense := nn.NewSwiGLU(c.HiddenSize, c.IntermediateSize)
		return &dense
	}
	return &Mixture{
		Router:     nn.NewLinear(c.NumExperts, c.HiddenSize),
		Experts:    nn.NewExperts(c.NumExperts, c.HiddenSize, c.MoEIntermediateSize),
		Shared:     nn.NewSwiGLU(c.HiddenSize, c.SharedExpertIntermediateSize),
		SharedGate: nn.NewLinear(1, c.HiddenSize),
		route:      cuda.RouteOptions{Score: cuda.Softmax, TopK: c.NumExpertsPerTok, Normalize: c.NormTopKProb},
	}
}

// Forward maps x (rows, hidden) -> (rows, hidden).
func (m *Mixture) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	// In this order a device can make one launch of the first three, and of the last product and what multiplies it.
	scores, gate := m.Router.Forward(s, x), m.SharedGate.Forward(s, x)
	gate = s.Sigmoid(gate)
	index, weights := s.Route(scores, nil, m.route)
	shared := s.Mul(m.Shared.Forward(s, x), gate)
	return s.Add(m.Experts.Forward(s, x, index, weights), shared)
}
