// Package spec is the specification of the tensor library's ops: each in plain Go, without cleverness, sums in float64. Kernels of every
// back end are tested against it with bounds that their own rounding explains; nothing here is ever made faster. Formulas and shapes are at
// the methods of cuda.Step. Only tests import it.
package spec

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// spec.go has the ops of cuda/ops.go, and how rows are addressed.

// Pages addresses the rows of a batch in a paged cache of shape (Blocks, Heads, Size, dim).
type Pages struct {
	Positions, Seqs     []int32 // by row
	Tables              []int32 // block ids, Width of them for each sequence
	Width               int
	Blocks, Heads, Size int
}

// slot is the index of the first element of a row's head in a cache whose heads have dim elements.
func (g *Pages) slot(seq, position, head, dim int) int {
	block := int(g.Tables[seq*g.Width+position/g.Size])
	return ((block*g.Heads+head)*g.Size + position%g.Size) * dim
}

// Embed is cuda.Step.Embed.
func Embed(y []float32, tokens []int32, table cuda.Matrix) {
	for r, id := range tokens {
		for i := range table.Cols {
			y[r*table.Cols+i] = Element(table, int(id)*table.Cols+i)
		}
	}
}

// MatMul is cuda.Step.MatMul.
func MatMul(y, x []float32, w cuda.Matrix) {
	elements := Elements(w)
	for r := range len(x) / w.Cols {
		for o := range w.Rows {
			var sum float64
			for k := range w.Cols {
				sum += float64(x[r*w.Cols+k]) * float64(elements[o*w.Cols+k])
			}
			y[r*w.Rows+o] = float32(sum)
		}
	}
}

// RMSNorm is cuda.Step.RMSNorm.
func RMSNorm(y, x []float32, w cuda.Matrix, eps, plus float32) {
	n := w.Cols
	for r := range len(x) / n {
		var sum float64
		for _, v := range x[r*n : (r+1)*n] {
			sum += float64(v) * float64(v)
		}
		inv := 1 / math.Sqrt(sum/float64(n)+float64(eps))
		for i := range n {
			y[r*n+i] = float32(float64(x[r*n+i]) * inv * (float64(plus) + float64(Element(w, i))))
		}
	}
}

// Add is cuda.Step.Add.
func Add(z, x, y []float32) {
	for i := range z {
		z[i] = x[i] + y[i]
	}
}

// SwiGLU is cuda.Step.SwiGLU.
func SwiGLU(y, gate, up []float32) {
	for i := range y {
		g := float64(gate[i])
		y[i] = float32(g / (1 + math.Exp(-g)) * float64(up[i]))
	}
}

// Axes says which of a row's Count positions each frequency turns by; without Of it is the first.
type Axes struct {
	Count int
	Of    []uint8
}

// Angles is cuda.Step.AnglesByAxis.
func Angles(y []float32, positions []int32, axes Axes, freqs []float32, scale float32) {
	for r := range len(positions) / axes.Count {
		for i, f := range freqs {
			p := positions[r*axes.Count]
			if axes.Of != nil {
				p = positions[r*axes.Count+int(axes.Of[i])]
			}
			sin, cos := math.Sincos(float64(float32(p) * f))
			y[(r*len(freqs)+i)*2] = float32(cos * float64(scale))
			y[(r*len(freqs)+i)*2+1] = float32(sin * float64(scale))
		}
	}
}

// Heads is the shape of rows of heads and, for Rotate, how many pairs of each head turn, from which element on.
type Heads struct{ Rows, Heads, Dim, Pairs, First int }

// Rotate is cuda.Step.Rotate.
func Rotate(y, x, angles []float32, s Heads, interleaved bool) {
	copy(y, x)
	for r := range s.Rows {
		for h := range s.Heads {
			head := (r*s.Heads+h)*s.Dim + s.First
			for i := range s.Pairs {
				a, b := head+i, head+i+s.Pairs
				if interleaved {
					a, b = head+2*i, head+2*i+1
				}
				cos, sin := float64(angles[(r*s.Pairs+i)*2]), float64(angles[(r*s.Pairs+i)*2+1])
				xa, xb := float64(x[a]), float64(x[b])
				y[a], y[b] = float32(xa*cos-xb*sin), float32(xb*cos+xa*sin)
			}
		}
	}
}

// CacheWrite is cuda.Step.CacheWrite.
func CacheWrite(cache, x []float32, g Pages, dim int) {
	for r, p := range g.Positions {
		for h := range g.Heads {
			to := g.slot(int(g.Seqs[r]), int(p), h, dim)
			copy(cache[to:to+dim], x[(r*g.Heads+h)*dim:])
		}
	}
}

// Attention is cuda.Step.Attention, with softmax in two passes.
func Attention(y, q, k, v []float32, g Pages, heads, dim, vdim int, scale float32) {
	for r, p := range g.Positions {
		seq := int(g.Seqs[r])
		for h := range heads {
			kvHead := h * g.Heads / heads
			scores, most := make([]float64, p+1), math.Inf(-1)
			for t := range scores {
				at := g.slot(seq, t, kvHead, dim)
				for i := range dim {
					scores[t] += float64(q[(r*heads+h)*dim+i]) * float64(k[at+i])
				}
				scores[t] *= float64(scale)
				most = max(most, scores[t])
			}
			sum, out := 0.0, make([]float64, vdim)
			for t, s := range scores {
				e := math.Exp(s - most)
				sum += e
				at := g.slot(seq, t, kvHead, vdim)
				for i := range out {
					out[i] += e * float64(v[at+i])
				}
			}
			for i := range out {
				y[(r*heads+h)*vdim+i] = float32(out[i] / sum)
			}
		}
	}
}

// Gather is cuda.Step.Gather, for rows of width elements.
func Gather(y, x []float32, index []int32, width int) {
	for i, r := range index {
		copy(y[i*width:(i+1)*width], x[int(r)*width:])
	}
}
