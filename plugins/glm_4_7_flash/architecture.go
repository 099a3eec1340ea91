// Multi-head latent attention, which no other model here has (DeepSeek-AI, 2024). With the published numbers:
//
//	queries:  x → down (768) → norm → up → 20 heads × [192 plain | 64 to be rotated]
//	cache:    x → down → [512 → norm | 64 → rope]: one latent and one key for all heads
//	up:       latent → 20 heads × [192 key | 256 value]; a head's key is [its 192 | the shared 64]
//
// and softmax attention over that, in two forms of one formula: rows of a prompt make keys and values of their sequence,
// generated rows work on the latents (nn.Latents).

package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// Attention holds the matrices of one layer. Queries come by way of a low rank, or where q_lora_rank is null straight.
type Attention struct {
	Q     *nn.Linear  `weight:"q_proj"`             // hidden -> heads * (nope + rope); nil where the next three are there
	QDown *nn.Linear  `weight:"q_a_proj"`           // hidden -> query rank
	QNorm *nn.RMSNorm `weight:"q_a_layernorm"`      // (query rank)
	QUp   *nn.Linear  `weight:"q_b_proj"`           // query rank -> heads * (nope + rope)
	Down  nn.Linear   `weight:"kv_a_proj_with_mqa"` // hidden -> rank + rope
	Norm  nn.RMSNorm  `weight:"kv_a_layernorm"`     // (rank)
	Up    nn.Linear   `weight:"kv_b_proj,keep"`     // rank -> heads * (nope + value)
	O     nn.Linear   `weight:"o_proj"`             // heads * value -> hidden

	style cuda.RotaryStyle
	over  nn.Latents
}

// forward maps x (rows, hidden) -> (rows, hidden).
func (a *Attention) forward(s *cuda.Step, x, angles cuda.Tensor, b *nn.Batch, c *nn.Cache) cuda.Tensor {
	rank, all := a.Norm.W.Shape[0], a.Down.W.Shape[0]
	s.StartPart()
	// In this order a device can make one launch of what is done with x, and one of what is cut out of a tensor.
	q, both := a.first().Forward(s, x), a.Down.Forward(s, x) // (rows, rank + rope)
	if a.Q == nil {
		q = a.QUp.Forward(s, a.QNorm.Forward(s, q))
	}
	q = q.Heads(q.Dim(1) / a.over.Heads)                                // (rows, heads, nope + rope)
	q = s.RotateFrom(q, a.over.Nope, angles, a.style)                   //
	latent, key := s.Columns(both, 0, rank), s.Columns(both, rank, all) // (rows, rank), (rows, rope)
	latent = a.Norm.Forward(s, latent)                                  //
	key = s.Rotate(key.Heads(all-rank), angles, a.style).Flat()         // not normed
	y := a.over.Attend(s, q, s.Join(latent, key), b, c)                 // (rows, heads, value)
	s.EndPart()
	return a.O.Forward(s, y.Flat())
}

// first is the first map on the way to queries.
func (a *Attention) first() *nn.Linear {
	if a.Q != nil {
		return a.Q
	}
	return a.QDown
}

func newAttention(c Config) Attention {
	heads, query := c.NumAttentionHeads, c.QKNopeHeadDim+c.QKRopeHeadDim
	linear := func(out, in int, biased bool) nn.Linear {
		if biased && c.AttentionBias {
			return nn.NewBiased(out, in)
		}
		return nn.NewLinear(out, in)
	}
	a := Attention{
		Down:  linear(c.KVLoraRank+c.QKRopeHeadDim, c.HiddenSize, true),
		Norm:  nn.NewRMSNorm(c.KVLoraRank, c.LatentNormEps),
		Up:    linear(heads*(c.QKNopeHeadDim+c.VHeadDim), c.KVLoraRank, false),
		O:     linear(c.HiddenSize, heads*c.VHeadDim, true),
		style: cuda.Half,
	}
	if c.QLoraRank == nil {
		q := linear(heads*query, c.HiddenSize, false)
		a.Q = &q
	} else {
		down, norm, up := linear(*c.QLoraRank, c.HiddenSize, true), nn.NewRMSNorm(*c.QLoraRank, c.LatentNormEps), linear(heads*query, *c.QLoraRank, false)
		a.QDown, a.QNorm, a.QUp = &down, &norm, &up
	}
	if c.RopeInterleave {
		a.style = cuda.Interleaved
	}
	a.over = nn.Latents{Up: a.Up.W, Heads: heads, Nope: c.QKNopeHeadDim, Scale: float32(c.ScoreFactor / math.Sqrt(float64(query)))}
	return a
}
