package cpu_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// BenchmarkLatents is one layer of GLM-4.7-Flash: the maps to latents and back, attention over 4096 of them, and a tile of a prompt,
// in turn with arithmetic in registers alone.
func BenchmarkLatents(b *testing.B) {
	const heads, nope, rope, vdim, rank, context = 20, 192, 64, 256, 512, 4096
	rng := rand.New(rand.NewPCG(4, 4))
	raw := slices.Repeat([]uint16{0x3c80}, heads*(nope+vdim)*rank)
	w := matrixOf(raw, cuda.BF16, heads*(nope+vdim), rank)
	g := spec.Pages{Width: context / 64, Blocks: context / 64, Heads: 1, Size: 64}
	for i := range context / 64 {
		g.Tables = append(g.Tables, int32(i))
	}
	cache := random(rng, context*(rank+rope))
	for _, rows := range []int{1, 16, 64} {
		q, x := random(rng, rows*heads*(nope+rope)), make([]float32, rows*heads*(rank+rope))
		y, z := make([]float32, rows*heads*rank), make([]float32, rows*heads*vdim)
		g.Positions, g.Seqs = slices.Repeat([]int32{context - 1}, rows), make([]int32, rows)
		name := fmt.Sprintf("rows=%d/", rows)
		b.Run(name+"query", func(b *testing.B) {
			besidePeak(b, 2*rows*heads*nope*rank, latentQuery(x, q, w, heads, nope+rope, nope))
		})
		b.Run(name+"attention", func(b *testing.B) {
			s := scene{k: cache, heads: heads, dim: rank + rope, vdim: rank, scale: float32(1 / math.Sqrt(nope+rope))}
			besidePeak(b, 2*rows*heads*context*(2*rank+rope), s.latentAttention(y, x, g))
		})
		b.Run(name+"value", func(b *testing.B) {
			besidePeak(b, 2*rows*heads*vdim*rank, latentValue(z, y, w, heads, vdim))
		})
	}
	const rows, keys = 512, 192
	q, k, v := random(rng, rows*heads*(nope+rope)), random(rng, keys*heads*(nope+rope)), random(rng, keys*heads*vdim)
	acc, limits := make([]float32, rows*heads*(vdim+2)), slices.Repeat([]int32{keys}, rows)
	b.Run("tile", func(b *testing.B) {
		tile := spec.Tile{Heads: heads, KVHeads: heads, Keys: keys, Dim: nope + rope, VDim: vdim}
		besidePeak(b, 2*rows*heads*keys*(nope+rope+vdim), attendStart(acc, heads, vdim), attendTile(acc, q, k, v, limits, tile, 0.06))
	})
	b.Run("tile/heads first", func(b *testing.B) { // moves, counted as operations
		both := random(rng, keys*heads*(nope+vdim))
		besidePeak(b, keys*heads*(nope+rope+vdim), headsFirst(k, both, random(rng, keys*rope), keys, heads, nope+vdim, 0),
			headsFirst(v, both, nil, keys, heads, nope+vdim, nope))
	})
}

// besidePeak reports the operations/s of some ops as such and as a share of what the machine can do at that time.
func besidePeak(b *testing.B, operations int, ops ...*cuda.Op) {
	d := newDevice(b, 0, timedTable())
	var spent time.Duration
	peak := 0.0
	for b.Loop() {
		start := time.Now()
		for _, op := range ops {
			d.run(b, op)
		}
		spent += time.Since(start)
		peak += d.PeakFLOPS()
	}
	rate := float64(operations) * float64(b.N) / spent.Seconds()
	b.ReportMetric(rate/1e9, "GFLOP/s")
	b.ReportMetric(100*rate*float64(b.N)/peak, "%peak")
}
