package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// latentMaps are sizes of the matrix between latents and the keys and values of heads.
var latentMaps = []struct{ rows, heads, nope, vdim, rest, rank int }{
	{1, 1, 1, 1, 0, 1},
	{1, 5, 19, 25, 6, 51},
	{1, 1, 192, 64, 64, 512},
	{3, 4, 32, 48, 16, 64},
	{19, 2, 18, 3, 6, 70},
	{4, 2, 4, 40, 0, 258},
}

func TestLatentMapsMatchTheSpecification(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(41)
				for _, c := range latentMaps {
					dim, width, group := c.nope+c.rest, c.rank+c.rest, c.nope+c.vdim
					w := make(rng, c.heads*group, c.rank)
					magnitude := func(n int, x func(k int) float32, at func(k int) int) (sum float64) {
						for k := range n {
							sum += math.Abs(float64(x(k)) * float64(spec.Element(w, at(k))))
						}
						return sum
					}
					q, y, want := Random(rng, c.rows*c.heads*dim), filled(c.rows*c.heads*width), filled(c.rows*c.heads*width)
					op := cuda.NewOp(cuda.OpLatentQuery).Gives(F32(y, c.heads, width)).Takes(F32(q, c.heads, dim)).By(w).At(int32(c.nope))
					m.Run(t, op)
					spec.LatentQuery(want, q, w, c.heads, dim, c.nope)
					Within(t, fmt.Sprint("query ", c), y, want, func(i int) float64 { // an eighth of k, eight warps
						head, at := i/width, i%width
						if at >= c.rank {
							return 0
						}
						return Eps * float64(c.nope/8+12) * magnitude(c.nope, func(k int) float32 { return q[head*dim+k] }, func(k int) int { return (head%c.heads*group+k)*c.rank + at })
					})
					rowsAlone3(t, m, op)
					x, y, want := Random(rng, c.rows*c.heads*c.rank), filled(c.rows*c.heads*c.vdim), filled(c.rows*c.heads*c.vdim)
					op = cuda.NewOp(cuda.OpLatentValue).Gives(F32(y, c.heads, c.vdim)).Takes(F32(x, c.heads, c.rank)).By(w)
					m.Run(t, op)
					spec.LatentValue(want, x, w, c.heads, c.vdim)
					Within(t, fmt.Sprint("value ", c), y, want, func(i int) float64 { // a lane has eight columns of 256, and there are 32
						head, o := i/c.vdim, i%c.vdim
						return Eps * float64(c.rank/32+20) * magnitude(c.rank, func(k int) float32 { return x[head*c.rank+k] }, func(k int) int { return (head%c.heads*group+c.nope+o)*c.rank + k })
					})
					rowsAlone3(t, m, op)
				}
			})
		})
	}
}

// rowsAlone3 computes each row of heads by itself: nothing else changes.
func rowsAlone3(t *testing.T, m *kerneltest.Machine, op *cuda.Op) {
	t.Helper()
	all, x, y := op.Out[0].F32(), op.In[0], op.Out[0]
	for r := range x.Rows() {
		one, to := *op, filled(y.Dim(1)*y.Dim(2))
		one.In[0], one.Out[0] = x.Slice(r, r+1), F32(to, y.Dim(1), y.Dim(2))
		m.Run(t, &one)
		SameBits(t, fmt.Sprint(op.Code, ": row ", r, " alone"), to, all[r*len(to):(r+1)*len(to)])
	}
}
