package spec

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// attention.go has attention over tiles and over latents.

// CacheRead is cuda.Step.CacheRead.
func CacheRead(y, cache []float32, g Pages, seq, first, dim int) {
	for r := range len(y) / (g.Heads * dim) {
		for h := range g.Heads {
			at := g.slot(seq, first+r, h, dim)
			copy(y[(r*g.Heads+h)*dim:], cache[at:at+dim])
		}
	}
}

// HeadsFirst is cuda.Step.HeadsFirst, for rows of heads of dim elements.
func HeadsFirst(y, x, tail []float32, rows, heads, dim, from int) {
	width := len(y) / (rows * heads)
	shared := len(tail) / rows
	for h := range heads {
		for r := range rows {
			to := y[(h*rows+r)*width:][:width]
			copy(to[:width-shared], x[(r*heads+h)*dim+from:])
			copy(to[width-shared:], tail[r*shared:])
		}
	}
}

// Tile is the shape of keys (KVHeads, Keys, Dim) and values (KVHeads, Keys, VDim), and the position of the first key.
type Tile struct{ Heads, KVHeads, Keys, Dim, VDim, First int }

// running is what AttendStart, AttendTile and AttendDone keep of one row and head: VDim sums of values, and in the last two
// elements the largest score and the sum of weights.
type running []float32

func (a running) parts() (sums []float32, most, weights *float32) {
	n := len(a)
	return a[:n-2], &a[n-2], &a[n-1]
}

// AttendStart is cuda.Step.AttendStart.
func AttendStart(acc []float32, vdim int) {
	for i := 0; i < len(acc); i += vdim + 2 {
		sums, most, weights := running(acc[i : i+vdim+2]).parts()
		clear(sums)
		*most, *weights = float32(math.Inf(-1)), 0
	}
}

// AttendTile is cuda.Step.AttendTile.
func AttendTile(acc, q, k, v []float32, limits []int32, t Tile, scale float32) {
	for r, limit := range limits {
		for h := range t.Heads {
			at := r*t.Heads + h
			n := min(int(limit)-t.First+1, t.Keys)
			if n > 0 {
				head := h * t.KVHeads / t.Heads * t.Keys
				attend(acc[at*(t.VDim+2):][:t.VDim+2], q[at*t.Dim:][:t.Dim], k[head*t.Dim:][:n*t.Dim], v[head*t.VDim:], scale)
			}
		}
	}
}

func attend(acc running, q, k, v []float32, scale float32) {
	sums, most, weights := acc.parts()
	scores, top := make([]float64, len(k)/len(q)), float64(*most)
	for t := range scores {
		for i, x := range q {
			scores[t] += float64(x) * float64(k[t*len(q)+i])
		}
		scores[t] *= float64(scale)
		top = max(top, scores[t])
	}
	keep := math.Exp(float64(*most) - top) // 0 at the first tile
	sum, out := float64(*weights)*keep, make([]float64, len(sums))
	for i := range out {
		out[i] = float64(sums[i]) * keep
	}
	for t, s := range scores {
		e := math.Exp(s - top)
		sum += e
		for i := range out {
			out[i] += e * float64(v[t*len(sums)+i])
		}
	}
	for i := range out {
		sums[i] = float32(out[i])
	}
	*most, *weights = float32(top), float32(sum)
}

// AttendDone is cuda.Step.AttendDone.
func AttendDone(y, acc []float32, vdim int) {
	for i := range len(y) / vdim {
		sums, _, weights := running(acc[i*(vdim+2):][:vdim+2]).parts()
		for j, x := range sums {
			y[i*vdim+j] = 0
			if *weights > 0 {
				y[i*vdim+j] = x / *weights
			}
		}
	}
}

// LatentQuery is cuda.Step.LatentQuery, for queries of heads of dim elements.
func LatentQuery(y, q []float32, w cuda.Matrix, heads, dim, nope int) {
	group, rank := w.Rows/heads, w.Cols
	width := rank + dim - nope
	for i := range len(q) / dim { // a row's head
		first := i % heads * group
		for c := range rank {
			var sum float64
			for k := range nope {
				sum += float64(q[i*dim+k]) * float64(Element(w, (first+k)*rank+c))
			}
			y[i*width+c] = float32(sum)
		}
		copy(y[i*width+rank:(i+1)*width], q[i*dim+nope:])
	}
}

// LatentValue is cuda.Step.LatentValue, for values of vdim elements.
func LatentValue(y, x []float32, w cuda.Matrix, heads, vdim int) {
	group, rank := w.Rows/heads, w.Cols
	for i := range len(x) / rank {
		first := i%heads*group + group - vdim
		for o := range vdim {
			var sum float64
			for k := range rank {
				sum += float64(x[i*rank+k]) * float64(Element(w, (first+o)*rank+k))
			}
			y[i*vdim+o] = float32(sum)
		}
	}
}

// LatentAttention is cuda.Step.LatentAttention: attention whose values are the first vdim elements of its keys.
func LatentAttention(y, q, cache []float32, g Pages, heads, dim, vdim int, scale float32) {
	values := make([]float32, len(cache)/dim*vdim)
	for i := range len(cache) / dim {
		copy(values[i*vdim:(i+1)*vdim], cache[i*dim:])
	}
	Attention(y, q, cache, values, g, heads, dim, vdim, scale)
}
