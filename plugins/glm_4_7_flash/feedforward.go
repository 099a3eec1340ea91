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

// Mixture is Σ_e weight_e · expert_e(x) over the experts that the router chose, + shared(x).
type Mixture struct {
	Router  Router     `weight:"gate,keep"`
	Experts nn.Experts `weight:"experts"`
	Shared  *nn.SwiGLU `weight:"shared_experts"` // as wide as n_shared_experts of them; nil without any

	choose cuda.RouteOptions
}

// Router scores experts. The bias takes part in choosing them, not in their weights.
type Router struct {
	W    *cuda.Weight `weight:"weight"`                  // (experts, hidden)
	Bias *cuda.Weight `weight:"e_score_correction_bias"` // (experts)
}

func newFeedForward(c Config, layer int) feedForward {
	if !c.Sparse(layer) {
		dense := nn.NewSwiGLU(c.HiddenSize, c.IntermediateSize)
		return &dense
	}
	m := &Mixture{
		Router:  Router{cuda.NewWeight(c.NRoutedExperts, c.HiddenSize), cuda.NewWeight(c.NRoutedExperts)},
		Experts: nn.NewExperts(c.NRoutedExperts, c.HiddenSize, c.MoEIntermediateSize),
		choose: cuda.RouteOptions{
			Score: cuda.Sigmoid, TopK: c.NumExpertsPerTok, Groups: c.NGroup, TopGroups: c.TopKGroup,
			Normalize: c.NormTopKProb, Epsilon: 1e-20, Scale: float32(c.RoutedScalingFactor),
		},
	}
	if c.NSharedExperts > 0 {
		shared := nn.NewSwiGLU(c.HiddenSize, c.MoEIntermediateSize*c.NSharedExperts)
		m.Shared = &shared
	}
	return m
}

// Forward maps x (rows, hidden) -> (rows, hidden).
func (m *Mixture) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	index, weights := s.Route(s.MatMul(x, m.Router.W), m.Router.Bias, m.choose) // (rows, experts per token)
	if m.Shared == nil {
		return m.Experts.Forward(s, x, index, weights)
	}
	shared := m.Shared.Forward(s, x)
	return s.Add(m.Experts.Forward(s, x, index, weights), shared)
}
