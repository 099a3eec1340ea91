package cuda

import "fmt"

// ops_attention.go is attention over keys and values that are in no cache: they come in tiles, each (kv heads, keys, dim),
// and the rows keep a running softmax between tiles. Attention over compressed keys is in ops_latent.go.

// AttentionOps is the part of Ops that these and those of ops_latent.go are. AttendTile changes acc in place.
type AttentionOps interface {
	CacheRead(dst, cache, tables Tensor, seq, first int) error
	HeadsFirst(dst, x, tail Tensor, from int) error
	AttendStart(acc Tensor) error
	AttendTile(acc, q, keys, values, limits Tensor, first int, scale float32) error
	AttendDone(dst, acc Tensor) error

	LatentQuery(dst, q, w Tensor, nope int) error
	LatentAttention(dst, q, cache, positions, seqs, tables Tensor, scale float32) error
	LatentValue(dst, x, w Tensor) error
}

// TileKeys is what the first position of a tile is a multiple of: attention takes keys in groups of this many, counted
// from position 0, so that a row's bits depend on the positions of its keys alone.
const TileKeys = 64

// CacheRead reads positions first..first+n-1 of a sequence back from a paged cache, whose row of tables is seq: the inverse
// of CacheWrite. cache (blocks, heads, size, dim), tables (sequences, blocks) -> (n, heads, dim).
func (s *Step) CacheRead(cache *State, tables Tensor, seq, first, n int) Tensor {
	dev := s.state(cache)
	if s.err != nil {
		return Tensor{}
	}
	c, tables := cache.t, s.on(dev, tables)
	if !s.shaped("cacheread", nil, c.dtype == F32 && c.nd == 4 && tables.dtype == I32 && tables.nd == 2, c, tables) {
		return Tensor{}
	}
	if seq < 0 || seq >= tables.Rows() || first < 0 || n < 1 || int64(first)+int64(n) > int64(tables.dim[1])*int64(c.dim[2]) {
		return s.refuse("cacheread", fmt.Errorf("positions %d to %d of sequence %d are outside tables %v of blocks of %d", first, first+n-1, seq, tables, c.dim[2]))
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{int32(n), c.dim[1], c.dim[3]})
	if s.runs() {
		s.done("cacheread", nil, s.ops[dev].CacheRead(y, c, tables, seq, first))
	}
	return y
}

// HeadsFirst lays rows of heads out as a tile: y[h][t] = x[t][h][from:to], followed by tail[t][0] if there is a tail, which
// all heads share. x (n, heads, dim), tail (n, 1, m) or none -> (heads, n, to-from+m).
func (s *Step) HeadsFirst(x Tensor, from, to int, tail Tensor) Tensor {
	dev := s.current
	x, tail = s.on(dev, x), s.on(dev, tail)
	ok := x.dtype == F32 && x.nd == 3 && (tail.IsZero() || tail.dtype == F32 && tail.nd == 3 && tail.dim[0] == x.dim[0] && tail.dim[1] == 1)
	if !s.shaped("headsfirst", nil, ok, x, x) {
		return Tensor{}
	}
	if from < 0 || to <= from || to > int(x.dim[2]) {
		return s.refuse("headsfirst", fmt.Errorf("elements %d to %d of %v", from, to, x))
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{x.dim[1], x.dim[0], int32(to-from) + tail.dim[2]})
	if s.runs() {
		s.done("headsfirst", nil, s.ops[dev].HeadsFirst(y, x, tail, from))
	}
	return y
}

// AttendStart makes the running state of rows that have seen no key: for each row and head the weighted sum of values, the
// largest score, and the sum of weights. -> acc (rows, heads, vdim + 2).
func (s *Step) AttendStart(rows, heads, vdim int) Tensor {
	acc := s.Empty(rows, heads, vdim+2)
	if s.runs() {
		s.done("attendstart", nil, s.ops[s.current].AttendStart(acc))
	}
	return acc
}

// AttendTile takes rows through a tile of keys and values at positions first, first+1, ..: row r sees those up to limits[r],
// with scores scale · q[r][h]·k[g][t], g = h·(kv heads)/heads. It changes acc (rows, heads, vdim+2), of AttendStart.
// q (rows, heads, dim), keys (kv heads, n, dim), values (kv heads, n, vdim), limits (rows). Tiles come in rising order;
// first is a multiple of TileKeys, and so is n but in the last tile.
func (s *Step) AttendTile(acc, q, keys, values, limits Tensor, first int, scale float32) {
	dev := s.current
	acc, q, keys, values, limits = s.changing(dev, acc), s.on(dev, q), s.on(dev, keys), s.on(dev, values), s.on(dev, limits)
	ok := acc.dtype == F32 && q.dtype == F32 && keys.dtype == F32 && values.dtype == F32 && limits.dtype == I32 &&
		acc.nd == 3 && q.nd == 3 && keys.nd == 3 && values.nd == 3 && limits.nd == 1 &&
		acc.dim[0] == q.dim[0] && acc.dim[1] == q.dim[1] && limits.dim[0] == q.dim[0] && q.dim[2] == keys.dim[2] &&
		keys.dim[0] == values.dim[0] && keys.dim[1] == values.dim[1] && acc.dim[2] == values.dim[2]+2 &&
		keys.dim[0] > 0 && q.dim[1]%keys.dim[0] == 0
	if !s.shaped("attendtile", nil, ok, q, keys) {
		return
	}
	if first < 0 || first%TileKeys != 0 {
		s.refuse("attendtile", fmt.Errorf("a tile begins at position %d, which is no multiple of %d", first, TileKeys))
		return
	}
	if s.runs() {
		s.done("attendtile", nil, s.ops[dev].AttendTile(acc, q, keys, values, limits, first, scale))
	}
}

// AttendDone is what the rows have attended to: weighted sum / sum of weights, 0 for a row that has seen no key.
// acc (rows, heads, vdim+2) -> (rows, heads, vdim).
func (s *Step) AttendDone(acc Tensor) Tensor {
	dev := s.current
	acc = s.on(dev, acc)
	if !s.shaped("attenddone", nil, acc.dtype == F32 && acc.nd == 3 && acc.dim[2] >= 2, acc, acc) {
		return Tensor{}
	}
	y := s.make(dev, F32, 3, [MaxDims]int32{acc.dim[0], acc.dim[1], acc.dim[2] - 2})
	if s.runs() {
		s.done("attenddone", nil, s.ops[dev].AttendDone(y, acc))
	}
	return y
}
