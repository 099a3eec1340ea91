// Attention with grouped heads (Ainslie et al., 2023) over the paged cache.

package nn

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// Attend writes the rows' keys and values to the cache and lets each row attend to all positions of its sequence up to its
// own: softmax(scale · q kᵀ) v. Query head h shares the kv head h·(kv heads)/(heads).
// The cache is one of KeysValues. q (rows, heads, dim), k and v (rows, kv heads, dim) -> (rows, heads, dim).
func Attend(s *cuda.Step, q, k, v cuda.Tensor, b *Batch, c *Cache, scale float32) cuda.Tensor {
	s.CacheWrite(c.Paged[0], k, b.Pages)
	s.CacheWrite(c.Paged[1], v, b.Pages)
	return s.Attention(q, c.Paged[0], c.Paged[1], b.Pages, scale)
}

// NormedAttention is attention with grouped heads whose queries and keys are normalized, head by head, before they are turned by their
// positions (query-key normalization: Henry et al., 2020).
type NormedAttention struct {
	Q     Linear  `weight:"q_proj"` // hidden -> heads * head_dim
	K     Linear  `weight:"k_proj"` // hidden -> kv heads * head_dim
	V     Linear  `weight:"v_proj"`
	QNorm RMSNorm `weight:"q_norm"` // (head_dim)
	KNorm RMSNorm `weight:"k_norm"`
	O     Linear  `weight:"o_proj"` // heads * head_dim -> hidden

	dim   int
	scale float32 // of scores
}

// NewNormedAttention is attention of these sizes, to be bound: heads and kvHeads of dim elements each, norms with eps, and with biases on
// all four maps if biased.
func NewNormedAttention(hidden, heads, kvHeads, dim int, eps float64, biased bool) NormedAttention {
	linear := NewLinear
	if biased {
		linear = NewBiased
	}
	return NormedAttention{
		Q: linear(heads*dim, hidden), K: linear(kvHeads*dim, hidden), V: linear(kvHeads*dim, hidden),
		QNorm: NewRMSNorm(dim, eps), KNorm: NewRMSNorm(dim, eps), O: linear(hidden, heads*dim),
		dim: dim, scale: float32(1 / math.Sqrt(float64(dim))),
	}
}

// Forward maps x (rows, hidden), normalized by norm -> (rows, hidden), which lasts until the layer's next part begins, since it is added to x at once.
// angles are rope's for the rows.
func (a *NormedAttention) Forward(s *cuda.Step, norm RMSNorm, x, angles cuda.Tensor, rope Rope, b *Batch, c *Cache) cuda.Tensor {
	s.StartPart()
	defer s.EndPart()
	x = norm.Forward(s, x)
	// In this order a device can make one launch of what is done with x, and one of what is done with heads, and the CPU brings x into a kernel's form once.
	q, k, v := a.Q.Forward(s, x).Heads(a.dim), a.K.Forward(s, x).Heads(a.dim), a.V.Forward(s, x).Heads(a.dim)
	q, k = a.QNorm.Forward(s, q), a.KNorm.Forward(s, k) // (rows, heads, head_dim), (rows, kv heads, head_dim)
	q, k = rope.Apply(s, q, angles), rope.Apply(s, k, angles)
	return a.O.Forward(s, Attend(s, q, k, v, b, c, a.scale).Flat())
}
