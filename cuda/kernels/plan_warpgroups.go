package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_warpgroups.go launches warpgroups.cuh: products of many rows on Hopper. How rows are cut into tiles follows from how many there are, which a
// row's bits do not depend on.

// wide is Wide of warpgroups.cuh.
type wide struct {
	suffix              string
	parts, rows, stages int
}

const wideOuts, wideThreads, halfChunk, aligned = 128, 384, chunk / 2, 1024

var (
	wideExact = wide{"_wide_exact", 3, 64, 5}
	wideFast  = [...]wide{{"_wide_64", 1, 64, 8}, {"_wide_128", 1, 128, 6}, {"_wide_192", 1, 192, 5}}
)

// shared is bytes of shared memory: a stage is half a chunk of outs and of rows in parts, with two barriers.
func (s wide) shared() int { return aligned + s.stages*(2*halfChunk*(wideOuts+s.parts*s.rows)+16) }

// wideOf takes the cut that ends first if a tile's time is as its rows: of multiprocessors each has a tile at once.
func (p *Properties) wideOf(rows, outs int) (best wide) {
	if !p.Fast {
		return wideExact
	}
	least := 0
	for _, s := range wideFast {
		rounds := ceilDiv(ceilDiv(rows, s.rows)*ceilDiv(outs, wideOuts), p.Multiprocessors)
		if time := rounds * (s.rows + wideOuts/4); least == 0 || time <= least { // a tile's outs have their time, too
			best, least = s, time
		}
	}
	return best
}

// matmulWide multiplies rows that are in parts at the start of scratch memory.
func (p *Plan) matmulWide(w cuda.Matrix, rows, slices, chunks int) {
	s := p.wideOf(rows, w.Rows)
	across, down := ceilDiv(rows, s.rows), ceilDiv(w.Rows, wideOuts)
	each := ceilDiv(slices, min(slices, max(1, p.Multiprocessors/(across*down))))
	ranges := ceilDiv(slices, each)
	p.launch(p.name(nameOf{"matmul_many_", "bf16", 0, s.suffix}), wideThreads, s.shared(), min(across*down*ranges, p.Multiprocessors), 1, 1,
		chunks, each, slices, int(p.Scratch/256), across, down)
	p.Launches[len(p.Launches)-1].Maps = [2]Map{
		{Rows: w.Rows, Cols: w.Cols, TileRows: wideOuts, TileCols: halfChunk / 2},
		{Rows: s.parts * rows, Cols: ceilDiv(w.Cols, chunk) * chunk, TileRows: s.rows, TileCols: halfChunk, Swizzled: true, Scratch: true},
	}
	if ranges > 1 {
		p.addSlices(slices, rows*w.Rows)
	}
}
