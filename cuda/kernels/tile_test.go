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

// tiled is keys and values of some positions and rows that see them up to their limits.
type tiled struct {
	spec.Tile
	q, k, v []float32
	limits  []int32
	scale   float32
}

// averages takes rows from..to-1 through tiles that end where cuts say.
func (c *tiled) averages(t *testing.T, m *kerneltest.Machine, from, to int, cuts ...int) []float32 {
	t.Helper()
	rows := to - from
	acc := F32(filled(rows*c.Heads*(c.VDim+2)), c.Heads, c.VDim+2)
	m.Run(t, cuda.NewOp(cuda.OpAttendStart).Gives(acc))
	first := 0
	for _, end := range append(cuts, c.Keys) {
		k, v := keysOf(c.k, c.KVHeads, c.Keys, c.Dim, first, end), keysOf(c.v, c.KVHeads, c.Keys, c.VDim, first, end)
		m.Run(t, cuda.NewOp(cuda.OpAttendTile).Gives(acc).Takes(F32(c.q[from*c.Heads*c.Dim:to*c.Heads*c.Dim], c.Heads, c.Dim),
			F32(k, end-first, c.Dim), F32(v, end-first, c.VDim), I32(c.limits[from:to])).With(c.scale).At(int32(first)))
		first = end
	}
	y := filled(rows * c.Heads * c.VDim)
	m.Run(t, cuda.NewOp(cuda.OpAttendDone).Gives(F32(y, c.Heads, c.VDim)).Takes(acc))
	return y
}

// keysOf are positions from..to-1 of each head.
func keysOf(x []float32, heads, keys, dim, from, to int) (part []float32) {
	for h := range heads {
		part = append(part, x[(h*keys+from)*dim:(h*keys+to)*dim]...)
	}
	return part
}

var tiles = []spec.Tile{
	{Heads: 1, KVHeads: 1, Keys: 1, Dim: 8, VDim: 8}, {Heads: 6, KVHeads: 2, Keys: 130, Dim: 13, VDim: 7}, {Heads: 2, KVHeads: 2, Keys: 192, Dim: 72, VDim: 72},
	{Heads: 2, KVHeads: 2, Keys: 100, Dim: 256, VDim: 256}, {Heads: 20, KVHeads: 1, Keys: 70, Dim: 24, VDim: 300},
}

func newTiled(seed uint64, shape spec.Tile) *tiled {
	rng := newRand(seed)
	c := &tiled{Tile: shape, limits: []int32{int32(shape.Keys) - 1, 64, 0, -1, 200, 5, 63, int32(shape.Keys) / 2, 127}, scale: float32(1 / math.Sqrt(float64(shape.Dim)))}
	c.q = Random(rng, len(c.limits)*shape.Heads*shape.Dim)
	c.k, c.v = Random(rng, shape.KVHeads*shape.Keys*shape.Dim), Random(rng, shape.KVHeads*shape.Keys*shape.VDim)
	return c
}

// sameHoweverCut: by tiles that end elsewhere, and alone.
func (c *tiled) sameHoweverCut(t *testing.T, m *kerneltest.Machine, got []float32) {
	t.Helper()
	for _, cuts := range [][]int{{64}, {128}, {64, 128}} {
		if cuts[len(cuts)-1] < c.Keys {
			SameBits(t, fmt.Sprint(c.Tile, " in tiles to ", cuts), c.averages(t, m, 0, len(c.limits), cuts...), got)
		}
	}
	width := c.Heads * c.VDim
	for r := range c.limits {
		SameBits(t, fmt.Sprint(c.Tile, " alone"), c.averages(t, m, r, r+1), got[r*width:(r+1)*width])
	}
}

func TestTilesMatchTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		for i, shape := range tiles {
			c := newTiled(uint64(80+i), shape)
			acc, want := filled(len(c.limits)*c.Heads*(c.VDim+2)), filled(len(c.limits)*c.Heads*c.VDim)
			spec.AttendStart(acc, c.VDim)
			spec.AttendTile(acc, c.q, c.k, c.v, c.limits, shape, c.scale)
			spec.AttendDone(want, acc, c.VDim)
			got := c.averages(t, m, 0, len(c.limits))
			Within(t, fmt.Sprint(shape), got, want, (&scene{sceneOf: sceneOf{dim: shape.Dim}}).exactBound)
			c.sameHoweverCut(t, m, got)
		}
	})
}

// TestFastTilesAreNearTheSpecification, which is attention over a cache of one block, in one part.
func TestFastTilesAreNearTheSpecification(t *testing.T) {
	eachFast(t, func(t *testing.T, m *kerneltest.Machine) {
		for i, shape := range tiles {
			c := newTiled(uint64(90+i), shape)
			got := c.averages(t, m, 0, len(c.limits))
			s := &scene{sceneOf: sceneOf{name: fmt.Sprint(shape), dim: shape.Dim, vdim: shape.VDim}, heads: shape.Heads, scale: c.scale}
			s.g = spec.Pages{Tables: []int32{0}, Width: 1, Blocks: 1, Heads: shape.KVHeads, Size: shape.Keys}
			s.k, s.v = c.k, c.v
			var seen []float32
			for r, limit := range c.limits {
				y := got[r*c.Heads*c.VDim:][:c.Heads*c.VDim]
				if limit < 0 {
					SameBits(t, "a row that sees nothing", y, filled(len(y)))
					continue
				}
				s.g.Positions, s.g.Seqs = append(s.g.Positions, min(limit, int32(shape.Keys)-1)), append(s.g.Seqs, 0)
				s.q, seen = append(s.q, c.q[r*c.Heads*c.Dim:][:c.Heads*c.Dim]...), append(seen, y...)
			}
			if max(shape.Dim, shape.VDim) <= 256 { // wider ones are exact
				nearFlash(t, s, 1<<20, seen)
				c.tilesAreAttention(t, s)
			}
			c.sameHoweverCut(t, m, got)
		}
	})
}

// tilesAreAttention: the specification of tiles, cut in two, is that of attention.
func (c *tiled) tilesAreAttention(t *testing.T, s *scene) {
	t.Helper()
	acc, y := filled(len(c.limits)*c.Heads*(c.VDim+2)), filled(len(c.limits)*c.Heads*c.VDim)
	spec.AttendStart(acc, c.VDim)
	half := min(64, c.Keys)
	for _, from := range []int{0, half} {
		part := c.Tile
		part.First, part.Keys = from, half
		if from > 0 {
			part.Keys = c.Keys - half
		}
		k, v := keysOf(c.k, c.KVHeads, c.Keys, c.Dim, from, from+part.Keys), keysOf(c.v, c.KVHeads, c.Keys, c.VDim, from, from+part.Keys)
		spec.FlashTile(acc, c.q, k, v, c.limits, part, c.scale)
	}
	spec.AttendDone(y, acc, c.VDim)
	want := filled(len(s.g.Positions) * c.Heads * c.VDim)
	spec.FlashAttention(want, s.q, s.k, s.v, s.g, spec.Flash{Heads: s.heads, Dim: s.dim, VDim: s.vdim, Part: 1 << 20, Scale: s.scale})
	for r, limit := range c.limits {
		if limit >= 0 {
			n := c.Heads * c.VDim
			Within(t, fmt.Sprint(c.Tile, " as attention"), y[r*n:(r+1)*n], want[:n], func(int) float64 { return 1e-6 })
			want = want[n:]
		}
	}
}
