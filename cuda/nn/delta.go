// The gated delta rule (Yang, Kautz and Hatamizadeh, 2024), a form of attention that keeps one matrix for each head instead of
// all keys and values, and the convolution that precedes it. Both keep states of a fixed size.

package nn

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// CausalConv is a convolution of each channel over the last positions, and silu after it.
type CausalConv struct {
	W *cuda.Weight `weight:"weight"` // (channels, 1, positions)
}

// NewCausalConv looks at the last n positions of so many channels.
func NewCausalConv(channels, n int) CausalConv { return CausalConv{cuda.NewWeight(channels, 1, n)} }

// State is what it keeps of a sequence: its last inputs.
func (c CausalConv) State(name string) Fixed {
	return Fixed{Name: name, Shape: []int{c.W.Shape[2] - 1, c.W.Shape[0]}}
}

// Forward maps x (rows, channels) -> (rows, channels).
func (c CausalConv) Forward(s *cuda.Step, x cuda.Tensor, b *Batch, state *cuda.State) cuda.Tensor {
	return s.CausalConv(x, c.W, state, b.Positions, b.Slots)
}

// DeltaState is what the rule keeps of a sequence: a matrix for each value head.
func DeltaState(name string, heads, keyDim, valueDim int) Fixed {
	return Fixed{Name: name, Shape: []int{heads, keyDim, valueDim}}
}

// unitEps is what the lengths of queries and keys are kept above: part of the formula, in no config.
const unitEps = 1e-6

// DeltaRule lets each row correct its sequence's matrices and read from them (see cuda.Step.DeltaRule), with queries and keys
// brought to length 1 and outputs scaled by 1/sqrt(key dim). g is the logarithm of what stays of the matrices, beta how much of
// the error is corrected. q and k (rows, key heads, key dim), v (rows, heads, value dim), g and beta (rows, heads)
// -> (rows, heads, value dim).
func DeltaRule(s *cuda.Step, q, k, v, g, beta cuda.Tensor, b *Batch, state *cuda.State) cuda.Tensor {
	scale := float32(1 / math.Sqrt(float64(max(q.Dim(2), 1))))
	return s.DeltaRule(cuda.DeltaRows{
		Q: s.L2Norm(q, unitEps), K: s.L2Norm(k, unitEps), V: v, G: g, Beta: beta,
		Positions: b.Positions, Slots: b.Slots, Forms: b.Forms,
	}, state, scale)
}
