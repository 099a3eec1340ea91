package cpu

// #cgo noescape pio_attend_tile
// #cgo nocallback pio_attend_tile
// #cgo noescape pio_latent_attention
// #cgo nocallback pio_latent_attention
// #cgo noescape pio_latent_query
// #cgo nocallback pio_latent_query
// #cgo noescape pio_latent_value
// #cgo nocallback pio_latent_value
// #include "kernels.h"
import "C"

import "fmt"

// attention.go calls attention over tiles and over latents; ref_attention.go says what they compute.

// CacheRead moves rows and computes nothing, so it is the specification. Of g only the shape and the tables matter.
func (p *Pool) CacheRead(y, cache []float32, g Pages, seq, start, dim int) error {
	if g.Heads <= 0 || dim <= 0 {
		return fmt.Errorf("%d heads of %d", g.Heads, dim)
	}
	n := len(y) / (g.Heads * dim)
	g.Positions, g.Seqs = []int32{int32(start + n - 1)}, []int32{int32(seq)}
	if n == 0 || start < 0 {
		return fmt.Errorf("%d positions from %d on", n, start)
	}
	err := first(g.check(), sizes(len(y), n*g.Heads*dim), sizes(len(cache), g.Blocks*g.Heads*g.Size*dim))
	if err == nil {
		RefCacheRead(y, cache, g, seq, start, dim)
	}
	return err
}

// HeadsFirst moves elements and computes nothing, so it is the specification. tail may be empty.
func (p *Pool) HeadsFirst(y, x, tail []float32, rows, heads, dim, from int) error {
	if rows <= 0 || heads <= 0 {
		return sizes(len(y), 0)
	}
	shared, width := len(tail)/rows, len(y)/(rows*heads)
	if from < 0 || width < shared || from+width-shared > dim {
		return fmt.Errorf("%d elements from %d of a head of %d, and %d of all heads", width-shared, from, dim, shared)
	}
	err := first(sizes(len(x), rows*heads*dim), sizes(len(tail), rows*shared), sizes(len(y), rows*heads*width))
	if err == nil {
		RefHeadsFirst(y, x, tail, rows, heads, dim, from)
	}
	return err
}

// AttendStart makes rows that have seen nothing.
func (p *Pool) AttendStart(acc []float32, vdim int) error {
	err := sizes(len(acc), rowsOf(acc, vdim+2)*(vdim+2))
	if err == nil {
		RefAttendStart(acc, vdim)
	}
	return err
}

// AttendTile takes rows through the keys of a tile.
func (p *Pool) AttendTile(acc, q, k, v []float32, limits []int32, t Tile, scale float32) error {
	if t.KVHeads <= 0 || t.Heads%t.KVHeads != 0 {
		return fmt.Errorf("%d heads cannot share %d kv heads evenly", t.Heads, t.KVHeads)
	}
	rows, keys := len(limits)*t.Heads, t.KVHeads*t.Keys
	err := first(sizes(len(acc), rows*(t.VDim+2)), sizes(len(q), rows*t.Dim), sizes(len(k), keys*t.Dim), sizes(len(v), keys*t.VDim))
	if err == nil && rows*keys > 0 {
		C.pio_attend_tile(p.c, p.table, ptr(acc), ptr(q), ptr(k), ptr(v), ints(limits), C.size_t(len(limits)), C.size_t(t.Heads),
			C.size_t(t.KVHeads), C.size_t(t.Keys), C.size_t(t.First), C.size_t(t.Dim), C.size_t(t.VDim), C.float(scale))
	}
	return err
}

// AttendDone divides by the sums of weights.
func (p *Pool) AttendDone(y, acc []float32, vdim int) error {
	heads := rowsOf(y, vdim)
	err := first(sizes(len(y), heads*vdim), sizes(len(acc), heads*(vdim+2)))
	if err == nil && len(y) > 0 {
		RefAttendDone(y, acc, vdim)
	}
	return err
}

// LatentQuery multiplies the first nope elements of each head by the transposed keys' part of w.
func (p *Pool) LatentQuery(y, q []float32, w Matrix, heads, dim, nope int) error {
	if heads <= 0 || w.Rows%heads != 0 || nope < 1 || nope > dim || nope > w.Rows/heads {
		return fmt.Errorf("%d of %d elements in %d heads of a matrix with %d rows", nope, dim, heads, w.Rows)
	}
	rows := rowsOf(q, heads*dim)
	err := first(w.check(), sizes(len(q), rows*heads*dim), sizes(len(y), rows*heads*(w.Cols+dim-nope)))
	if err == nil && len(y) > 0 {
		C.pio_latent_query(p.c, p.table, ptr(y), ptr(q), w.Ptr, C.int(w.Type), w.Scale.Ptr, C.int(w.Scale.Type), C.size_t(w.Scale.Rows), C.size_t(w.Scale.Cols),
			C.size_t(rows), C.size_t(heads), C.size_t(w.Rows/heads), C.size_t(w.Cols), C.size_t(dim), C.size_t(nope))
	}
	return err
}

// LatentValue multiplies each head by the values' part of w, the last vdim rows of the head.
func (p *Pool) LatentValue(y, x []float32, w Matrix, heads, vdim int) error {
	if heads <= 0 || w.Rows%heads != 0 || vdim < 0 || vdim > w.Rows/heads {
		return fmt.Errorf("%d values in %d heads of a matrix with %d rows", vdim, heads, w.Rows)
	}
	rows := rowsOf(x, heads*w.Cols)
	err := first(w.check(), sizes(len(x), rows*heads*w.Cols), sizes(len(y), rows*heads*vdim))
	if err == nil && w.Type == F8E4M3 && w.Cols > C.PIO_RANK_F8 {
		err = fmt.Errorf("latents of %d elements; with a matrix in f8e4m3 there may be %d", w.Cols, C.PIO_RANK_F8)
	}
	if err == nil && len(y) > 0 {
		C.pio_latent_value(p.c, p.table, ptr(y), ptr(x), w.Ptr, C.int(w.Type), w.Scale.Ptr, C.int(w.Scale.Type), C.size_t(w.Scale.Rows), C.size_t(w.Scale.Cols),
			C.size_t(rows), C.size_t(heads), C.size_t(w.Rows/heads), C.size_t(w.Cols), C.size_t(vdim))
	}
	return err
}

// LatentAttention attends with every row to the latents up to its position.
func (p *Pool) LatentAttention(y, q, cache []float32, g Pages, heads, dim, vdim int, scale float32) error {
	rows := len(g.Positions)
	err := first(g.check(), sizes(len(q), rows*heads*dim), sizes(len(y), rows*heads*vdim), sizes(len(cache), g.Blocks*g.Size*dim))
	if err != nil {
		return err
	}
	if g.Heads != 1 || vdim > dim {
		return fmt.Errorf("values of %d elements in latents of %d, %d of them at a position", vdim, dim, g.Heads)
	}
	if len(y) > 0 {
		C.pio_latent_attention(p.c, p.table, ptr(y), ptr(q), ptr(cache), ints(g.Positions), ints(g.Seqs), ints(g.Tables), C.size_t(g.Width),
			C.size_t(rows), C.size_t(heads), C.size_t(g.Size), C.size_t(dim), C.size_t(vdim), C.float(scale))
	}
	return nil
}
