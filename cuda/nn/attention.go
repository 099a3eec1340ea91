// Attention with grouped heads (Ainslie et al., 2023) over the paged cache.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// Attend writes the rows' keys and values to the cache and lets each row attend to all positions of its sequence up to its
// own: softmax(scale · q kᵀ) v. Query head h shares the kv head h·(kv heads)/(heads).
// The cache is one of KeysValues. q (rows, heads, dim), k and v (rows, kv heads, dim) -> (rows, heads, dim).
func Attend(s *cuda.Step, q, k, v cuda.Tensor, b *Batch, c *Cache, scale float32) cuda.Tensor {
	s.CacheWrite(c.Paged[0], k, b.Positions, b.Seqs, b.Tables)
	s.CacheWrite(c.Paged[1], v, b.Positions, b.Seqs, b.Tables)
	return s.Attention(q, c.Paged[0], c.Paged[1], b.Positions, b.Seqs, b.Tables, scale)
}
