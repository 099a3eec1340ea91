// The layers that are one weight and one op.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// Linear is y = x Wᵀ, without a bias.
type Linear struct {
	W *cuda.Weight `weight:"weight"` // (out, in)
}

// NewLinear is a linear map of these sizes, to be bound.
func NewLinear(out, in int) Linear { return Linear{cuda.NewWeight(out, in)} }

// Forward maps x (rows, in) -> (rows, out).
func (l Linear) Forward(s *cuda.Step, x cuda.Tensor) cuda.Tensor { return s.MatMul(x, l.W) }

// Embedding is a table of rows, one per token.
type Embedding struct {
	W *cuda.Weight `weight:"weight"` // (vocab, hidden)
}

// NewEmbedding is a table of these sizes, to be bound.
func NewEmbedding(vocab, hidden int) Embedding { return Embedding{cuda.NewWeight(vocab, hidden)} }

// Forward looks tokens (rows) up -> (rows, hidden).
func (e Embedding) Forward(s *cuda.Step, tokens cuda.Tensor) cuda.Tensor { return s.Embed(tokens, e.W) }

// Tied is the head of a model that uses its embedding as the output matrix: one weight, bound once.
func (e Embedding) Tied() Linear { return Linear(e) }

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
