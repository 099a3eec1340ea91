package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// tiled takes the first sequence of a scene, whose rows stand first and in order, through tiles of so many keys.
func (s *scene) tiled(t *testing.T, p *cpu.Pool, rows, keys int, limits []int32) []float32 {
	t.Helper()
	acc, y := make([]float32, len(limits)*s.heads*(s.vdim+2)), make([]float32, len(limits)*s.heads*s.vdim)
	must(t, p.AttendStart(acc, s.vdim))
	for from := 0; from < rows; from += keys {
		n := min(keys, rows-from)
		k, v := make([]float32, s.g.Heads*n*s.dim), make([]float32, s.g.Heads*n*s.vdim)
		flat := make([]float32, n*s.g.Heads*s.dim)
		must(t, p.CacheRead(flat, s.k, s.g, 0, from, s.dim))
		must(t, p.HeadsFirst(k, flat, nil, n, s.g.Heads, s.dim, 0))
		flat = make([]float32, n*s.g.Heads*s.vdim)
		must(t, p.CacheRead(flat, s.v, s.g, 0, from, s.vdim))
		must(t, p.HeadsFirst(v, flat, nil, n, s.g.Heads, s.vdim, 0))
		tile := cpu.Tile{Heads: s.heads, KVHeads: s.g.Heads, Keys: n, Dim: s.dim, VDim: s.vdim, First: from}
		must(t, p.AttendTile(acc, s.q[:len(limits)*s.heads*s.dim], k, v, limits, tile, s.scale))
	}
	must(t, p.AttendDone(y, acc, s.vdim))
	return y
}

// TestTilesAreTheCache: keys read back from a cache and attended to in tiles of any length give the bits of attention over the
// cache, for tiles go through the same groups of keys.
func TestTilesAreTheCache(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		for _, c := range scenes {
			s := newScene(rand.New(rand.NewPCG(51, 1)), c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			if c.size < 64 {
				continue // attention over a cache of smaller blocks takes keys in smaller groups
			}
			n := c.lengths[0]
			want := s.rows(t, p, upTo(n))
			for _, keys := range []int{64, 128, 192, 4096} {
				sameBits(t, c.name+" in tiles of "+shape(keys), s.tiled(t, p, n, keys, s.g.Positions[:n]), want)
			}
		}
	})
}

// TestTilesMatchTheSpecification for rows that see what lies after them too, as in a picture, in no order, or see nothing. The
// bound is that of TestAttentionMatchesTheSpecification.
func TestTilesMatchTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		one := newPool(t, 1, lastName(t))
		for _, c := range scenes {
			rng := rand.New(rand.NewPCG(52, 1))
			s := newScene(rng, c.lengths, c.kvHeads, c.group, c.dim, c.vdim, c.size)
			n := c.lengths[0]
			limits := make([]int32, n)
			for _, sees := range []struct {
				name  string
				limit func(r int) int
			}{
				{"all", func(int) int { return n - 1 }}, {"in order", func(r int) int { return r }}, {"any", func(int) int { return rng.IntN(n+1) - 1 }},
			} {
				for r := range limits {
					limits[r] = int32(sees.limit(r))
				}
				got := s.tiled(t, p, n, 128, limits)
				within(t, c.name+", "+sees.name, got, s.whole(n, limits), func(int) float64 { return 6 * eps * (2*40*(float64(s.dim)/4+4) + 200) })
				sameBits(t, "on one thread", s.tiled(t, one, n, 64, limits), got)
			}
		}
	})
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
		cpu.RefAttention(y[r*s.heads*s.vdim:(r+1)*s.heads*s.vdim], s.q[r*s.heads*s.dim:], s.k, s.v, g, s.heads, s.dim, s.vdim, s.scale)
	}
	return y
}

// TestReferenceOfTilesIsThatOfTheCache: the two specifications are one formula, so they differ by where they round.
func TestReferenceOfTilesIsThatOfTheCache(t *testing.T) {
	s := newScene(rand.New(rand.NewPCG(53, 1)), []int{150}, 2, 3, 12, 9, 64)
	acc, y := make([]float32, 150*6*11), make([]float32, 150*6*9)
	cpu.RefAttendStart(acc, 9)
	for from := 0; from < 150; from += 64 {
		n := min(64, 150-from)
		flat, k, v := make([]float32, n*2*12), make([]float32, n*2*12), make([]float32, n*2*9)
		cpu.RefCacheRead(flat, s.k, s.g, 0, from, 12)
		cpu.RefHeadsFirst(k, flat, nil, n, 2, 12, 0)
		cpu.RefCacheRead(flat[:n*2*9], s.v, s.g, 0, from, 9)
		cpu.RefHeadsFirst(v, flat[:n*2*9], nil, n, 2, 9, 0)
		cpu.RefAttendTile(acc, s.q, k, v, s.g.Positions, cpu.Tile{Heads: 6, KVHeads: 2, Keys: n, Dim: 12, VDim: 9, First: from}, s.scale)
	}
	cpu.RefAttendDone(y, acc, 9)
	want := make([]float32, len(y))
	cpu.RefAttention(want, s.q, s.k, s.v, s.g, 6, 12, 9, s.scale)
	within(t, "tiles", y, want, func(int) float64 { return 6 * 10 * eps })
}

// TestHeadsFirstLaysATileOut: columns of each head, behind them what all heads share.
func TestHeadsFirstLaysATileOut(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	x := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12} // 2 rows of 2 heads of 3
	y := make([]float32, 2*2*3)
	must(t, p.HeadsFirst(y, x, []float32{-1, -2}, 2, 2, 3, 1))
	sameBits(t, "heads first", y, []float32{2, 3, -1, 8, 9, -2, 5, 6, -1, 11, 12, -2})
	for what, err := range map[string]error{
		"columns that are not there": p.HeadsFirst(y, x, []float32{-1, -2}, 2, 2, 3, 2),
		"a tail of another length":   p.HeadsFirst(y, x, []float32{-1, -2, -3}, 2, 2, 3, 0),
		"rows that are not there":    p.HeadsFirst(y, x, nil, 3, 2, 3, 0),
	} {
		if err == nil {
			t.Errorf("%s were accepted", what)
		}
	}
}

// TestTilesThatDoNotFitAreRefused before a kernel sees them.
func TestTilesThatDoNotFitAreRefused(t *testing.T) {
	p := newPool(t, 1, cpu.Tables()[0])
	good := cpu.Tile{Heads: 2, KVHeads: 1, Keys: 3, Dim: 4, VDim: 5}
	floats := func(n int) []float32 { return make([]float32, n) }
	attend := func(c cpu.Tile, acc, q, k, v int) error {
		return p.AttendTile(floats(acc), floats(q), floats(k), floats(v), []int32{math.MaxInt32}, c, 1)
	}
	if err := attend(good, 2*7, 8, 12, 15); err != nil {
		t.Fatal(err)
	}
	uneven, none := good, good
	uneven.KVHeads, none.KVHeads = 3, 0
	for what, err := range map[string]error{
		"a state of another size": attend(good, 2*6, 8, 12, 15), "queries of another size": attend(good, 2*7, 9, 12, 15),
		"too few keys": attend(good, 2*7, 8, 8, 15), "too few values": attend(good, 2*7, 8, 12, 14),
		"uneven heads": attend(uneven, 2*7, 8, 36, 45), "no kv heads": attend(none, 2*7, 8, 0, 0),
		"half a state": p.AttendStart(floats(8), 5), "a result of another size": p.AttendDone(floats(11), floats(2*7), 5),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
	g := cpu.Pages{Tables: []int32{1, 0}, Width: 2, Blocks: 2, Heads: 1, Size: 4}
	for what, err := range map[string]error{
		"positions behind the table":    p.CacheRead(floats(5), floats(8), g, 0, 4, 1),
		"positions before it":           p.CacheRead(floats(2), floats(8), g, 0, -1, 1),
		"a sequence that has no table":  p.CacheRead(floats(2), floats(8), g, 1, 0, 1),
		"a cache of another size":       p.CacheRead(floats(2), floats(7), g, 0, 0, 1),
		"no positions":                  p.CacheRead(nil, floats(8), g, 0, 0, 1),
		"a part of a position":          p.CacheRead(floats(3), floats(16), g, 0, 0, 2),
		"a block that is not allocated": p.CacheRead(floats(5), floats(8), cpu.Pages{Tables: []int32{1, -1}, Width: 2, Blocks: 2, Heads: 1, Size: 4}, 0, 0, 1),
	} {
		if err == nil {
			t.Errorf("%s were accepted", what)
		}
	}
}
