package cuda

import "github.com/inference-pio/inference-pio/internal/block"

// ops_attention.go is attention over keys and values that are in no cache: they come in tiles, each (kv heads, keys, dim),
// and the rows keep a running softmax between tiles. Attention over compressed keys is in ops_latent.go.

// TileKeys is what the first position of a tile is a multiple of: attention takes keys in groups of this many, counted
// from position 0, so that a row's bits depend on the positions of its keys alone.
const TileKeys = block.Size

// CacheRead reads positions first..first+n-1 of a sequence back from a paged cache, whose row of the pages' tables is seq: the inverse
// of CacheWrite. cache (blocks, heads, size, dim) -> (n, heads, dim).
func (s *Step) CacheRead(cache *State, pages Pages, seq, first, n int) Tensor {
	c := s.startIn(cache, OpCacheRead)
	c.at(seq, first)
	k, tables := c.state(cache), c.in(pages.Tables)
	if !c.fits(k.cached() > 0 && tables.nd == 2 && tables.Indexes(k.Rows()) && pages.size == k.dim[2]) {
		return Tensor{}
	}
	if seq < 0 || seq >= len(pages.upto) || first < 0 || n < 1 || !s.measuring && int64(first)+int64(n) > int64(pages.upto[seq]) {
		return c.refuse("positions %d to %d of sequence %d are outside tables %v of blocks of %d", first, first+n-1, seq, tables, k.dim[2])
	}
	return c.gives(c.out(F32, int32(n), k.dim[1], k.cached()))
}

// HeadsFirst lays rows of heads out as a tile: y[h][t] = x[t][h][from:to], followed by tail[t][0] if there is a tail, which
// all heads share. x (n, heads, dim), tail (n, 1, m) or none -> (heads, n, to-from+m).
func (s *Step) HeadsFirst(x Tensor, from, to int, tail Tensor) Tensor {
	c := s.start(OpHeadsFirst)
	c.at(from)
	x, tail = c.in(x), c.optional(tail)
	if !c.fits(x.float() && x.nd == 3 && (tail.IsZero() || tail.float() && tail.nd == 3 && tail.dim[0] == x.dim[0] && tail.dim[1] == 1)) {
		return Tensor{}
	}
	if from < 0 || to <= from || to > x.Dim(2) {
		return c.refuse("elements %d to %d of %v", from, to, x)
	}
	return c.gives(c.out(F32, x.dim[1], x.dim[0], int32(to-from)+tail.dim[2]))
}

// AttendStart makes the running state of rows that have seen no key: for each row and head the weighted sum of values, the
// largest score, and the sum of weights. -> acc (rows, heads, vdim + 2).
func (s *Step) AttendStart(rows, heads, vdim int) Tensor {
	c := s.start(OpAttendStart)
	if rows < 0 || heads < 1 || vdim < 1 {
		return c.refuse("%d rows of %d heads with values of %d", rows, heads, vdim)
	}
	return c.gives(c.out(F32, int32(rows), int32(heads), int32(vdim+2)))
}

// AttendTile takes rows through a tile of keys and values at positions first, first+1, ..: row r sees those up to limits[r],
// with scores scale · q[r][h]·k[g][t], g = h·(kv heads)/heads. It changes acc (rows, heads, vdim+2), of AttendStart.
// q (rows, heads, dim), keys (kv heads, n, dim), values (kv heads, n, vdim), limits (rows). Tiles come in rising order;
// first is a multiple of TileKeys, and so is n but in the last tile.
func (s *Step) AttendTile(acc, q, keys, values, limits Tensor, first int, scale float32) {
	c := s.start(OpAttendTile)
	c.with(scale)
	c.at(first)
	acc, q, keys, values, limits = c.alters(acc), c.in(q), c.in(keys), c.in(values), c.in(limits)
	if !c.fits(acc.dtype == F32 && q.float() && keys.float() && values.float() && limits.dtype == I32 &&
		acc.nd == 3 && q.nd == 3 && keys.nd == 3 && values.nd == 3 && limits.nd == 1 &&
		acc.dim[0] == q.dim[0] && acc.dim[1] == q.dim[1] && limits.dim[0] == q.dim[0] && q.dim[2] == keys.dim[2] &&
		keys.dim[0] == values.dim[0] && keys.dim[1] == values.dim[1] && acc.dim[2] == values.dim[2]+2 &&
		keys.dim[0] > 0 && q.dim[1]%keys.dim[0] == 0) {
		return
	}
	if first < 0 || first%TileKeys != 0 {
		c.refuse("a tile begins at position %d, which is no multiple of %d", first, TileKeys)
		return
	}
	c.run()
}

// AttendDone is what the rows have attended to: weighted sum / sum of weights, 0 for a row that has seen no key.
// acc (rows, heads, vdim+2) -> (rows, heads, vdim).
func (s *Step) AttendDone(acc Tensor) Tensor {
	c := s.start(OpAttendDone)
	if acc = c.in(acc); !c.fits(acc.dtype == F32 && acc.nd == 3 && acc.dim[2] >= 2) {
		return Tensor{}
	}
	return c.gives(c.out(F32, acc.dim[0], acc.dim[1], acc.dim[2]-2))
}
