package spec

import "math"

// flash.go is attention under a GPU's fast numerics, told up to the order of sums and the last bits of powers: where numbers are rounded to bf16.

// Flash is the shape of heads, and of how many positions a softmax of its own has: a part. TileKeys of it at a time.
type Flash struct {
	Heads, Dim, VDim, Part int
	Scale                  float32
}

// flashTile is how many keys go by at a time: what a weight is rounded at depends on the largest score so far.
const flashTile = 64

// FlashAttention is Attention of queries, keys and values rounded to bf16: scores times scale · log2 e in f32, weights 2^(score - the largest
// up to the tile's end) rounded to bf16 where they multiply values, but not where they are added up.
func FlashAttention(y, q, k, v []float32, g Pages, f Flash) {
	q, k, v = Widen(Round(q)), Widen(Round(k)), Widen(Round(v))
	for r, p := range g.Positions {
		for h := range f.Heads {
			head, seq := h*g.Heads/f.Heads, int(g.Seqs[r])
			at := func(t, dim int) int { return g.slot(seq, t, head, dim) }
			all := flash{most: math.Inf(-1), out: make([]float64, f.VDim)}
			for from := 0; from <= int(p); from += f.Part {
				one := flash{most: math.Inf(-1), out: make([]float64, f.VDim)}
				for t := from; t <= int(p) && t < from+f.Part; t += flashTile {
					one.tile(q[(r*f.Heads+h)*f.Dim:][:f.Dim], k, v, at, t, min(t+flashTile, int(p)+1), f.Scale)
				}
				all.add(one)
			}
			for i, x := range all.out {
				y[(r*f.Heads+h)*f.VDim+i] = float32(x / all.sum)
			}
		}
	}
}

// FlashTile is AttendTile of numbers rounded so, in one part. Tiles must begin at multiples of 64 positions.
func FlashTile(acc, q, k, v []float32, limits []int32, t Tile, scale float32) {
	q, k, v = Widen(Round(q)), Widen(Round(k)), Widen(Round(v))
	for r, limit := range limits {
		for h := range t.Heads {
			i, n := r*t.Heads+h, min(int(limit)-t.First+1, t.Keys)
			if n <= 0 {
				continue
			}
			first := h * t.KVHeads / t.Heads * t.Keys
			at := func(key, dim int) int { return (first + key) * dim }
			sums, most, weights := running(acc[i*(t.VDim+2):][:t.VDim+2]).parts()
			a := flash{most: float64(*most), sum: float64(*weights), out: make([]float64, t.VDim)}
			for j, x := range sums {
				a.out[j] = float64(x)
			}
			for from := 0; from < n; from += flashTile {
				a.tile(q[i*t.Dim:][:t.Dim], k, v, at, from, min(from+flashTile, n), scale)
			}
			for j, x := range a.out {
				sums[j] = float32(x)
			}
			*most, *weights = float32(a.most), float32(a.sum)
		}
	}
}

// flash is a softmax so far.
type flash struct {
	most, sum float64
	out       []float64
}

func (a *flash) add(b flash) {
	most := max(a.most, b.most)
	keep, add := math.Exp2(a.most-most), math.Exp2(b.most-most)
	for i := range a.out {
		a.out[i] = a.out[i]*keep + b.out[i]*add
	}
	a.sum, a.most = a.sum*keep+b.sum*add, most
}

// tile takes the keys from..to-1, which a query sees.
func (a *flash) tile(q, k, v []float32, at func(t, dim int) int, from, to int, scale float32) {
	scores, most := make([]float64, to-from), a.most
	for t := range scores {
		for i, x := range q {
			scores[t] += float64(x) * float64(k[at(from+t, len(q))+i])
		}
		scores[t] = float64(float32(scores[t]) * (scale * float32(math.Log2E)))
		most = max(most, scores[t])
	}
	keep := math.Exp2(a.most - most) // 0 at the first
	a.sum, a.most = a.sum*keep, most
	for i := range a.out {
		a.out[i] *= keep
	}
	for t, s := range scores {
		weight := float32(math.Exp2(s - most))
		rounded := float64(Widen(Round([]float32{weight}))[0])
		a.sum += float64(weight)
		for i := range a.out {
			a.out[i] += rounded * float64(v[at(from+t, len(a.out))+i])
		}
	}
}
