// The layers that are one weight and one op.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// Linear is y = x Wᵀ + bias.
type Linear struct {
	W    *cuda.Weight `weight:"weight"`        // (out, in)
	Bias *cuda.Weight `weight:"bias,optional"` // (out), nil where there is none
}

// NewLinear is a linear map of these sizes without a bias, to be bound.
func NewLinear(out, in int) Linear { return Linear{W: cuda.NewWeight(out, in)} }

// NewBiased is one with a bias.
func NewBiased(out, in int) Linear { return Linear{cuda.NewWeight(out, in), cuda.NewWeight(out)} }

// Forward maps x (rows, in) -> (rows, out).
func (l Linear) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	y := s.MatMul(x, l.W)
	if l.Bias == nil {
		return y
	}
	return s.AddRow(y, l.Bias)
}

// Embedding is a table of rows, one per token.
type Embedding struct {
	W *cuda.Weight `weight:"weight"` // (vocab, hidden)
}

// NewEmbedding is a table of these sizes, to be bound.
func NewEmbedding(vocab, hidden int) Embedding { return Embedding{cuda.NewWeight(vocab, hidden)} }

// Forward looks tokens (rows) up -> (rows, hidden).
func (e Embedding) Forward(s *cuda.Step, tokens cuda.Tensor) cuda.Tensor { return s.Embed(tokens, e.W) }

// Tied is the head of a model that uses its embedding as the output matrix: one weight, bound once.
func (e Embedding) Tied() Linear { return Linear{W: e.W} }

// RMSNorm is y = x / sqrt(mean(x²) + eps) · (plus + w) over the last dimension (Zhang and Sennrich, 2019).
type RMSNorm struct {
	W    *cuda.Weight `weight:"weight"` // (dim)
	Eps  float32
	Plus float32 // 1 where a checkpoint keeps weights as their distance from 1, else 0
}

// NewRMSNorm is a norm over dim elements, to be bound.
func NewRMSNorm(dim int, eps float64) RMSNorm {
	return RMSNorm{W: cuda.NewWeight(dim), Eps: float32(eps)}
}

// Forward normalizes x (.., dim) -> (.., dim).
func (n RMSNorm) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	return s.RMSNorm(x, n.W, n.Eps, n.Plus)
}

// LayerNorm is y = (x - mean(x)) / sqrt(var(x) + eps) · w + b over the last dimension (Ba et al., 2016).
type LayerNorm struct {
	W   *cuda.Weight `weight:"weight"` // (dim)
	B   *cuda.Weight `weight:"bias"`   // (dim)
	Eps float32
}

// NewLayerNorm is a norm over dim elements, to be bound.
func NewLayerNorm(dim int, eps float64) LayerNorm {
	return LayerNorm{W: cuda.NewWeight(dim), B: cuda.NewWeight(dim), Eps: float32(eps)}
}

// Forward normalizes x (.., dim) -> (.., dim).
func (n LayerNorm) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor {
	return s.LayerNorm(x, n.W, n.B, n.Eps)
}
