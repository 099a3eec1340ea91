package cpu_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
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

func latentQuery(y, q []float32, w cuda.Matrix, heads, dim, nope int) *cuda.Op {
	return cuda.NewOp(cuda.OpLatentQuery).Gives(f32(y, heads, w.Cols+dim-nope)).Takes(f32(q, heads, dim)).By(w).At(int32(nope))
}

func latentValue(y, x []float32, w cuda.Matrix, heads, vdim int) *cuda.Op {
	return cuda.NewOp(cuda.OpLatentValue).Gives(f32(y, heads, vdim)).Takes(f32(x, heads, w.Cols)).By(w)
}

// latentAttention is the op on queries of some rows, where keys are latents.
func (s *scene) latentAttention(y, q []float32, g spec.Pages) *cuda.Op {
	return cuda.NewOp(cuda.OpLatentAttention).Gives(f32(y, s.heads, s.vdim)).Takes(f32(q, s.heads, s.dim), s.cachedKeys()).Takes(pages(g)...).With(s.scale)
}

// TestLatentQueryMatchesTheSpecification: a sum has nope terms one after the other, each with one rounding (two where multiply
// and add are not one instruction); the rest of a query is copied.
func TestLatentQueryMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(41, 1))
		for _, c := range latentMaps {
			for _, layout := range layouts {
				dim, width, group := c.nope+c.rest, c.rank+c.rest, c.nope+c.vdim
				w, q := randomMatrix(rng, layout, c.heads*group, c.rank), random(rng, c.rows*c.heads*dim)
				got, want := make([]float32, c.rows*c.heads*width), make([]float32, c.rows*c.heads*width)
				d.run(t, latentQuery(got, q, w, c.heads, dim, c.nope))
				spec.LatentQuery(want, q, w, c.heads, dim, c.nope)
				within(t, layout+shape(c.rows, c.heads, c.rank), got, want, func(i int) float64 {
					head, at := i/width, i%width
					if at >= c.rank {
						return 0
					}
					return 2 * eps * float64(c.nope+1) * magnitude(c.nope, func(k int) float32 { return q[head*dim+k] },
						func(k int) float32 { return spec.Element(w, (head%c.heads*group+k)*c.rank+at) })
				})
				for r := range c.rows {
					alone := make([]float32, c.heads*width)
					d.run(t, latentQuery(alone, q[r*c.heads*dim:(r+1)*c.heads*dim], w, c.heads, dim, c.nope))
					sameBits(t, "a row alone", alone, got[r*c.heads*width:(r+1)*c.heads*width])
				}
			}
		}
	})
}

// TestLatentValueMatchesTheSpecification: sums are those of matmul.
func TestLatentValueMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(42, 1))
		for _, c := range latentMaps {
			for _, layout := range layouts {
				group := c.nope + c.vdim
				w, x := randomMatrix(rng, layout, c.heads*group, c.rank), random(rng, c.rows*c.heads*c.rank)
				got, want := make([]float32, c.rows*c.heads*c.vdim), make([]float32, c.rows*c.heads*c.vdim)
				d.run(t, latentValue(got, x, w, c.heads, c.vdim))
				spec.LatentValue(want, x, w, c.heads, c.vdim)
				within(t, layout+shape(c.rows, c.heads, c.rank), got, want, func(i int) float64 {
					head, o := i/c.vdim, i%c.vdim
					return 2 * eps * float64(c.rank/8+8) * magnitude(c.rank, func(k int) float32 { return x[head*c.rank+k] },
						func(k int) float32 { return spec.Element(w, (head%c.heads*group+c.nope+o)*c.rank+k) })
				})
				for r := range c.rows {
					alone := make([]float32, c.heads*c.vdim)
					d.run(t, latentValue(alone, x[r*c.heads*c.rank:(r+1)*c.heads*c.rank], w, c.heads, c.vdim))
					sameBits(t, "a row alone", alone, got[r*c.heads*c.vdim:(r+1)*c.heads*c.vdim])
				}
			}
		}
	})
}

// TestLatentsOfTheOtherHalfDoNotCount: queries meet a head's keys alone and sums its values alone, so that what is no number in the other half
// of the matrix, which lies before and behind, is not seen.
func TestLatentsOfTheOtherHalfDoNotCount(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(45, 1))
		for _, c := range latentMaps {
			for _, layout := range layouts {
				dim, width, group := c.nope+c.rest, c.rank+c.rest, c.nope+c.vdim
				keys, values := randomMatrix(rng, layout, c.heads*group, c.rank), randomMatrix(rng, layout, c.heads*group, c.rank)
				for i := range c.heads * group * c.rank {
					if i/c.rank%group < c.nope {
						poison(values, i)
					} else {
						poison(keys, i)
					}
				}
				q, x := random(rng, c.rows*c.heads*dim), random(rng, c.rows*c.heads*c.rank)
				y, z := noNumbers(c.rows*c.heads*width), noNumbers(c.rows*c.heads*c.vdim)
				d.run(t, latentQuery(y, q, keys, c.heads, dim, c.nope))
				d.run(t, latentValue(z, x, values, c.heads, c.vdim))
				for _, v := range slices.Concat(y, z) {
					if v != v {
						t.Fatalf("%s%s: a result is no number", layout, shape(c.rows, c.heads, c.nope, c.vdim, c.rank))
					}
				}
			}
		}
	})
}

// latentRows is rows of a scene with one kv head, whose keys are latents.
func (s *scene) latentRows(t *testing.T, d *device, which []int) []float32 {
	t.Helper()
	g, q := s.g, []float32(nil)
	g.Positions, g.Seqs = nil, nil
	for _, r := range which {
		g.Positions, g.Seqs = append(g.Positions, s.g.Positions[r]), append(g.Seqs, s.g.Seqs[r])
		q = append(q, s.q[r*s.heads*s.dim:(r+1)*s.heads*s.dim]...)
	}
	y := make([]float32, len(which)*s.heads*s.vdim)
	d.run(t, s.latentAttention(y, q, g))
	return y
}

// TestLatentAttentionMatchesTheSpecification within the same bound, alone and in batches, on any
// number of threads, which decides how many heads go together.
func TestLatentAttentionMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range []struct {
			lengths          []int
			heads, dim, vdim int
		}{{[]int{1}, 1, 1, 1}, {[]int{130, 64}, 20, 72, 64}, {[]int{70, 3}, 5, 13, 7}, {[]int{65}, 30, 20, 20}, {[]int{1030, 512}, 7, 40, 33}} {
			s := newScene(rand.New(rand.NewPCG(43, 1)), c.lengths, 1, c.heads, c.dim, c.vdim, 64)
			n, width := len(s.g.Positions), s.heads*s.vdim
			got, want := s.latentRows(t, d, upTo(n)), make([]float32, n*width)
			spec.LatentAttention(want, s.q, s.k, s.g, s.heads, s.dim, s.vdim, s.scale)
			within(t, shape(c.heads, c.dim, c.vdim), got, want, s.attentionBound)
			for _, threads := range []int{1, 2, 8} {
				other := newDevice(t, threads, lastName(t))
				for r := range n {
					sameBits(t, "a row alone", s.latentRows(t, other, []int{r}), got[r*width:(r+1)*width])
				}
			}
		}
	})
}

// TestLatentsTooLongForTheirRoomAreTold: a matrix in 8 bits is widened row by row into room that has an end.
func TestLatentsTooLongForTheirRoomAreTold(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(44, 1))
		for rank, fits := range map[int]bool{4096: true, 4097: false} {
			if err := d.do(latentValue(make([]float32, 1), random(rng, rank), randomF8(rng, 1, rank), 1, 1)); (err == nil) != fits {
				t.Errorf("a latent of %d: %v", rank, err)
			}
		}
	})
}
