package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// latentMaps are sizes of the matrix between latents and the keys and values of heads.
var latentMaps = []struct{ rows, heads, nope, vdim, rest, rank int }{
	{1, 1, 1, 1, 0, 1},
	{1, 20, 19, 25, 6, 51},
	{1, 1, 192, 256, 64, 512},
	{3, 4, 32, 48, 16, 64},
	{7, 3, 5, 7, 2, 13},
	{21, 2, 18, 3, 6, 70},
	{4, 5, 4, 100, 0, 257},
}

// magnitude is Σ |x| |w| over the terms of one element: what rounding errors are proportional to.
func magnitude(n int, x, w func(k int) float32) float64 {
	sum := 0.0
	for k := range n {
		sum += math.Abs(float64(x(k)) * float64(w(k)))
	}
	return sum
}

// TestLatentQueryMatchesTheSpecification: a sum has nope terms one after the other, each with one rounding (two where multiply
// and add are not one instruction); the rest of a query is copied.
func TestLatentQueryMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(41, 1))
		for _, c := range latentMaps {
			for _, typ := range allTypes {
				dim, width, group := c.nope+c.rest, c.rank+c.rest, c.nope+c.vdim
				w, q := randomMatrix(rng, typ, c.heads*group, c.rank), random(rng, c.rows*c.heads*dim)
				got, want := make([]float32, c.rows*c.heads*width), make([]float32, c.rows*c.heads*width)
				must(t, p.LatentQuery(got, q, w, c.heads, dim, c.nope))
				cpu.RefLatentQuery(want, q, w, c.heads, dim, c.nope)
				within(t, typeName(typ)+shape(c.rows, c.heads, c.rank), got, want, func(i int) float64 {
					head, at := i/width, i%width
					if at >= c.rank {
						return 0
					}
					return 2 * eps * float64(c.nope+1) * magnitude(c.nope, func(k int) float32 { return q[head*dim+k] },
						func(k int) float32 { return w.Widen((head%c.heads*group+k)*c.rank + at) })
				})
				for r := range c.rows {
					alone := make([]float32, c.heads*width)
					must(t, p.LatentQuery(alone, q[r*c.heads*dim:(r+1)*c.heads*dim], w, c.heads, dim, c.nope))
					sameBits(t, "a row alone", alone, got[r*c.heads*width:(r+1)*c.heads*width])
				}
			}
		}
	})
}

// TestLatentValueMatchesTheSpecification: sums are those of matmul.
func TestLatentValueMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(42, 1))
		for _, c := range latentMaps {
			for _, typ := range allTypes {
				group := c.nope + c.vdim
				w, x := randomMatrix(rng, typ, c.heads*group, c.rank), random(rng, c.rows*c.heads*c.rank)
				got, want := make([]float32, c.rows*c.heads*c.vdim), make([]float32, c.rows*c.heads*c.vdim)
				must(t, p.LatentValue(got, x, w, c.heads, c.vdim))
				cpu.RefLatentValue(want, x, w, c.heads, c.vdim)
				within(t, typeName(typ)+shape(c.rows, c.heads, c.rank), got, want, func(i int) float64 {
					head, o := i/c.vdim, i%c.vdim
					return 2 * eps * float64(c.rank/8+8) * magnitude(c.rank, func(k int) float32 { return x[head*c.rank+k] },
						func(k int) float32 { return w.Widen((head%c.heads*group+c.nope+o)*c.rank + k) })
				})
				for r := range c.rows {
					alone := make([]float32, c.heads*c.vdim)
					must(t, p.LatentValue(alone, x[r*c.heads*c.rank:(r+1)*c.heads*c.rank], w, c.heads, c.vdim))
					sameBits(t, "a row alone", alone, got[r*c.heads*c.vdim:(r+1)*c.heads*c.vdim])
				}
			}
		}
	})
}

// latentRows is rows of a scene with one kv head, whose keys are latents.
func (s *scene) latentRows(t *testing.T, p *cpu.Pool, which []int) []float32 {
	t.Helper()
	g, q := s.g, []float32(nil)
	g.Positions, g.Seqs = nil, nil
	for _, r := range which {
		g.Positions, g.Seqs = append(g.Positions, s.g.Positions[r]), append(g.Seqs, s.g.Seqs[r])
		q = append(q, s.q[r*s.heads*s.dim:(r+1)*s.heads*s.dim]...)
	}
	y := make([]float32, len(which)*s.heads*s.vdim)
	must(t, p.LatentAttention(y, q, s.k, g, s.heads, s.dim, s.vdim, s.scale))
	return y
}

// TestLatentAttentionMatchesTheSpecification with the bound of TestAttentionMatchesTheSpecification, alone and in batches, on any
// number of threads, which decides how many heads go together.
func TestLatentAttentionMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		for _, c := range []struct {
			lengths          []int
			heads, dim, vdim int
		}{{[]int{1}, 1, 1, 1}, {[]int{130, 64}, 20, 72, 64}, {[]int{70, 3}, 5, 13, 7}, {[]int{65}, 30, 20, 20}} {
			s := newScene(rand.New(rand.NewPCG(43, 1)), c.lengths, 1, c.heads, c.dim, c.vdim, 64)
			n, width := len(s.g.Positions), s.heads*s.vdim
			got, want := s.latentRows(t, p, upTo(n)), make([]float32, n*width)
			cpu.RefLatentAttention(want, s.q, s.k, s.g, s.heads, s.dim, s.vdim, s.scale)
			bound := 6 * eps * (2*40*(float64(s.dim)/4+4) + 200)
			within(t, shape(c.heads, c.dim, c.vdim), got, want, func(int) float64 { return bound })
			for _, threads := range []int{1, 2, 8} {
				other := newPool(t, threads, lastName(t))
				for r := range n {
					sameBits(t, "a row alone", s.latentRows(t, other, []int{r}), got[r*width:(r+1)*width])
				}
			}
		}
	})
}

// TestLatentsThatDoNotFitAreRefused before a kernel sees them.
func TestLatentsThatDoNotFitAreRefused(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	rng := rand.New(rand.NewPCG(44, 1))
	w, q := randomMatrix(rng, cpu.F32, 2*7, 5), make([]float32, 2*6)
	if err := p.LatentQuery(make([]float32, 2*7), q, w, 2, 6, 4); err != nil {
		t.Fatal(err)
	}
	if err := p.LatentValue(make([]float32, 2*3), make([]float32, 2*5), w, 2, 3); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"more keys than the head has rows":     p.LatentQuery(make([]float32, 2*5), make([]float32, 2*8), w, 2, 8, 8),
		"no keys":                              p.LatentQuery(make([]float32, 2*11), q, w, 2, 6, 0),
		"a query shorter than its keys":        p.LatentQuery(make([]float32, 2*5), make([]float32, 2*3), w, 2, 3, 4),
		"heads that do not divide the matrix":  p.LatentQuery(make([]float32, 3*7), make([]float32, 3*6), w, 3, 6, 4),
		"a result of another size":             p.LatentQuery(make([]float32, 2*7+1), q, w, 2, 6, 4),
		"more values than the head has rows":   p.LatentValue(make([]float32, 2*8), make([]float32, 2*5), w, 2, 8),
		"latents of another size":              p.LatentValue(make([]float32, 2*3), make([]float32, 2*5+1), w, 2, 3),
		"8 bits and more than a buffer's rank": p.LatentValue(make([]float32, 1), make([]float32, 4097), randomMatrix(rng, cpu.F8E4M3, 1, 4097), 1, 1),
		"values longer than the latent": p.LatentAttention(make([]float32, 3), make([]float32, 2), make([]float32, 2),
			cpu.Pages{Positions: []int32{0}, Seqs: []int32{0}, Tables: []int32{0}, Width: 1, Blocks: 1, Heads: 1, Size: 1}, 1, 2, 3, 1),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}
