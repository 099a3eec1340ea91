package cpu_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// tiled takes the first sequence of a scene, whose rows stand first and in order, through tiles of so many keys.
func (s *scene) tiled(t *testing.T, d *device, rows, keys int, limits []int32) []float32 {
	t.Helper()
	acc, y := make([]float32, len(limits)*s.heads*(s.vdim+2)), make([]float32, len(limits)*s.heads*s.vdim)
	d.run(t, attendStart(acc, s.heads, s.vdim))
	for from := 0; from < rows; from += keys {
		n := min(keys, rows-from)
		d.run(t, attendTile(acc, s.q[:len(limits)*s.heads*s.dim], s.tile(t, d, s.k, from, n, s.dim), s.tile(t, d, s.v, from, n, s.vdim),
			limits, s.shape(n, from), s.scale))
	}
	d.run(t, attendDone(y, acc, s.heads, s.vdim))
	return y
}

// shape is a tile of n keys from a position on.
func (s *scene) shape(n, from int) spec.Tile {
	return spec.Tile{Heads: s.heads, KVHeads: s.g.Heads, Keys: n, Dim: s.dim, VDim: s.vdim, First: from}
}

// tile reads n positions of a cache back and lays their heads out: (kv heads, n, dim).
func (s *scene) tile(t *testing.T, d *device, cache []float32, from, n, dim int) []float32 {
	t.Helper()
	flat, y := make([]float32, n*s.g.Heads*dim), make([]float32, n*s.g.Heads*dim)
	d.run(t, cacheRead(flat, cache, s.g, 0, from, dim))
	d.run(t, headsFirst(y, flat, nil, n, s.g.Heads, dim, 0))
	return y
}

func cacheRead(y, cache []float32, g spec.Pages, seq, first, dim int) *cuda.Op {
	return cuda.NewOp(cuda.OpCacheRead).Gives(f32(y, g.Heads, dim)).Takes(f32(cache, g.Heads, g.Size, dim), i32(g.Tables, g.Width)).At(int32(seq), int32(first))
}

func headsFirst(y, x, tail []float32, rows, heads, dim, from int) *cuda.Op {
	op := cuda.NewOp(cuda.OpHeadsFirst).Gives(f32(y, rows, len(y)/(rows*heads))).Takes(f32(x, heads, dim)).At(int32(from))
	if tail == nil {
		return op.Takes(cuda.Tensor{})
	}
	return op.Takes(f32(tail, 1, len(tail)/rows))
}

func attendStart(acc []float32, heads, vdim int) *cuda.Op {
	return cuda.NewOp(cuda.OpAttendStart).Gives(f32(acc, heads, vdim+2))
}

func attendTile(acc, q, k, v []float32, limits []int32, s spec.Tile, scale float32) *cuda.Op {
	return cuda.NewOp(cuda.OpAttendTile).Gives(f32(acc, s.Heads, s.VDim+2)).
		Takes(f32(q, s.Heads, s.Dim), f32(k, s.Keys, s.Dim), f32(v, s.Keys, s.VDim), i32(limits)).With(scale).At(int32(s.First))
}

func attendDone(y, acc []float32, heads, vdim int) *cuda.Op {
	return cuda.NewOp(cuda.OpAttendDone).Gives(f32(y, heads, vdim)).Takes(f32(acc, heads, vdim+2))
}

// TestTilesAreTheCache: keys read back from a cache and attended to in tiles of any length give the bits of attention over the
// cache, for tiles go through the same groups of keys; up to the second part, as a cache's are added part by part.
func TestTilesAreTheCache(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range scenes {
			s := newScene(rand.New(rand.NewPCG(51, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			if c.size%64 != 0 {
				continue // attention over a cache of other blocks takes keys in other groups
			}
			n := c.lengths[0]
			want := s.rows(t, d, upTo(n))
			for _, keys := range []int{64, 128, 192, 4096} {
				got := s.tiled(t, d, n, keys, s.g.Positions[:n])
				one := min(n, 512) * s.heads * s.vdim
				sameBits(t, c.name+" in tiles of "+shape(keys), got[:one], want[:one])
				within(t, c.name+" in tiles of "+shape(keys), got[one:], want[one:], s.attentionBound)
			}
		}
	})
}

// TestTilesMatchTheSpecification, exactly, and where numerics are fast with numbers that bf16 holds.
func TestTilesMatchTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range scenes {
			s := newScene(rand.New(rand.NewPCG(52, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			s.tilesMatch(t, d, c.name, c.lengths[0], s.attentionBound)
		}
	})
	eachFast(t, func(t *testing.T, d *device) {
		for _, c := range tiledScenes {
			s := tiledScene(c)
			s.tilesMatch(t, d, c.name, c.lengths[0], s.tiledBound)
		}
	})
}

// tilesMatch has n rows see what lies after them too, as in a picture, or in no order, or see nothing; and some of the rows alone.
func (s *scene) tilesMatch(t *testing.T, d *device, name string, n int, bound func(int) float64) {
	t.Helper()
	one, rng, limits, each := newDevice(t, 1, lastName(t)), rand.New(rand.NewPCG(52, 2)), make([]int32, n), s.heads*s.vdim
	for _, sees := range []struct {
		name  string
		limit func(r int) int
	}{
		{"all", func(int) int { return n - 1 }}, {"in order", func(r int) int { return r }}, {"any", func(int) int { return rng.IntN(n+1) - 1 }},
	} {
		for r := range limits {
			limits[r] = int32(sees.limit(r))
		}
		got := s.tiled(t, d, n, 128, limits)
		within(t, name+", "+sees.name, got, s.whole(n, limits), bound)
		sameBits(t, name+", "+sees.name+", on one thread", s.tiled(t, one, n, 64, limits), got)
		some := 1 + rng.IntN(min(n, 20))
		sameBits(t, name+", "+sees.name+", the first rows alone", s.tiled(t, d, n, 128, limits[:some]), got[:some*each])
	}
}

// whole is the specification of attention with limits, through one cache row by row.
func (s *scene) whole(n int, limits []int32) []float32 {
	y := make([]float32, n*s.heads*s.vdim)
	for r, limit := range limits {
		if limit < 0 {
			continue // sees nothing: zeros
		}
		g := s.g
		g.Positions, g.Seqs = []int32{limit}, []int32{0}
		spec.Attention(y[r*s.heads*s.vdim:(r+1)*s.heads*s.vdim], s.q[r*s.heads*s.dim:], s.k, s.v, g, s.heads, s.dim, s.vdim, s.scale)
	}
	return y
}

// TestReferenceOfTilesIsThatOfTheCache: the two specifications are one formula, so they differ by where they round.
func TestReferenceOfTilesIsThatOfTheCache(t *testing.T) {
	s := newScene(rand.New(rand.NewPCG(53, 1)), []int{150}, 2, 3, 12, 9, 64)
	acc, y := make([]float32, 150*6*11), make([]float32, 150*6*9)
	spec.AttendStart(acc, 9)
	for from := 0; from < 150; from += 64 {
		n := min(64, 150-from)
		flat, k, v := make([]float32, n*2*12), make([]float32, n*2*12), make([]float32, n*2*9)
		spec.CacheRead(flat, s.k, s.g, 0, from, 12)
		spec.HeadsFirst(k, flat, nil, n, 2, 12, 0)
		spec.CacheRead(flat[:n*2*9], s.v, s.g, 0, from, 9)
		spec.HeadsFirst(v, flat[:n*2*9], nil, n, 2, 9, 0)
		spec.AttendTile(acc, s.q, k, v, s.g.Positions, spec.Tile{Heads: 6, KVHeads: 2, Keys: n, Dim: 12, VDim: 9, First: from}, s.scale)
	}
	spec.AttendDone(y, acc, 9)
	want := make([]float32, len(y))
	spec.Attention(want, s.q, s.k, s.v, s.g, 6, 12, 9, s.scale)
	within(t, "tiles", y, want, func(int) float64 { return 6 * 10 * eps })
}

// TestHeadsFirstLaysATileOut: columns of each head, behind them what all heads share.
func TestHeadsFirstLaysATileOut(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		x := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // 2 rows of 2 heads of 3
		y := make([]float32, 2*2*3)
		d.run(t, headsFirst(y, x, []float32{-1, -2}, 2, 2, 3, 1))
		sameBits(t, "heads first", y, []float32{2, 3, -1, 8, 9, -2, 5, 6, -1, 11, 12, -2})
		rng := rand.New(rand.NewPCG(54, 1))
		for _, s := range [][5]int{{1, 1, 1, 0, 0}, {130, 5, 33, 7, 9}, {64, 20, 448, 192, 0}, {70, 3, 20, 0, 64}} { // rows, heads, dim, from, tail
			rows, heads, dim, from, m := s[0], s[1], s[2], s[3], s[4]
			x, tail := random(rng, rows*heads*dim), random(rng, rows*m)
			got := make([]float32, heads*rows*(dim-from+m))
			want := make([]float32, len(got))
			if m == 0 {
				tail = nil
			}
			d.run(t, headsFirst(got, x, tail, rows, heads, dim, from))
			spec.HeadsFirst(want, x, tail, rows, heads, dim, from)
			sameBits(t, shape(s[:]...), got, want)
		}
	})
}

// TestCacheReadIsTheInverseOfCacheWrite, from any position on, of the rows that were written and nothing else.
func TestCacheReadIsTheInverseOfCacheWrite(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, c := range scenes {
			s := newScene(rand.New(rand.NewPCG(55, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			for seq, n := range c.lengths {
				for _, first := range []int{0, n / 2, n - 1} {
					got, want := make([]float32, (n-first)*c.kvHeads*c.dim), make([]float32, (n-first)*c.kvHeads*c.dim)
					d.run(t, cacheRead(got, s.k, s.g, seq, first, c.dim))
					spec.CacheRead(want, s.k, s.g, seq, first, c.dim)
					sameBits(t, c.name, got, want)
				}
			}
			x := random(rand.New(rand.NewPCG(55, 2)), len(s.g.Positions)*c.kvHeads*c.dim)
			got, want := slices.Clone(s.k), slices.Clone(s.k)
			d.run(t, cacheWrite(f32(got, c.kvHeads, c.size, c.dim), f32(x, c.kvHeads, c.dim), s.g))
			spec.CacheWrite(want, x, s.g, c.dim)
			for i := range want {
				if !same(got[i], want[i]) {
					t.Fatalf("%s: element %d of the cache is %g, not %g", c.name, i, got[i], want[i])
				}
			}
			read := make([]float32, c.lengths[0]*c.kvHeads*c.dim)
			d.run(t, cacheRead(read, got, s.g, 0, 0, c.dim))
			sameBits(t, c.name+" read back", read, x[:len(read)])
		}
	})
}

func cacheWrite(cache, x cuda.Tensor, g spec.Pages) *cuda.Op {
	return cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(x).Takes(pages(g)...)
}

// TestAttendStartAndDone: what has seen no key is nothing, whatever lay there before; a sum is divided by its weights, each number
// rounded once.
func TestAttendStartAndDone(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(56, 1))
		for _, s := range [][3]int{{1, 1, 1}, {3, 2, 7}, {700, 4, 33}} {
			rows, heads, vdim := s[0], s[1], s[2]
			acc, want := random(rng, rows*heads*(vdim+2)), make([]float32, rows*heads*(vdim+2))
			d.run(t, attendStart(acc, heads, vdim))
			spec.AttendStart(want, vdim)
			sameBits(t, "start", acc, want)
			y := random(rng, rows*heads*vdim)
			d.run(t, attendDone(y, acc, heads, vdim))
			sameBits(t, "nothing seen", y, make([]float32, len(y)))
			for i := range acc {
				acc[i] = float32(1 + rng.Float64())
			}
			exact := make([]float32, len(y))
			d.run(t, attendDone(y, acc, heads, vdim))
			spec.AttendDone(exact, acc, vdim)
			within(t, "done", y, exact, relative(exact, 4))
		}
	})
}
