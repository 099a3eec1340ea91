package cuda

import "github.com/inference-pio/inference-pio/cuda/cpu"

// hostops_attention.go has the CPU's kernels do the ops of ops_attention.go and ops_latent.go.

func (o *hostOps) CacheRead(dst, cache, tables Tensor, seq, first int) error {
	if err := o.owns(dst, cache, tables, dst); err != nil {
		return err
	}
	g := pagesOf(cache, tables, tables, tables) // of which only the tables are looked at
	return o.pool.CacheRead(f32s(dst), f32s(cache), g, seq, first, cache.Dim(3))
}

func (o *hostOps) HeadsFirst(dst, x, tail Tensor, from int) error {
	if err := o.owns(dst, x, x, x); err != nil {
		return err
	}
	shared := []float32(nil)
	if !tail.IsZero() {
		if err := o.owns(tail, tail, tail, tail); err != nil {
			return err
		}
		shared = f32s(tail)
	}
	return o.pool.HeadsFirst(f32s(dst), f32s(x), shared, x.Dim(0), x.Dim(1), x.Dim(2), from)
}

func (o *hostOps) AttendStart(acc Tensor) error {
	if err := o.owns(acc, acc, acc, acc); err != nil {
		return err
	}
	return o.pool.AttendStart(f32s(acc), acc.Dim(2)-2)
}

func (o *hostOps) AttendTile(acc, q, keys, values, limits Tensor, first int, scale float32) error {
	if err := o.owns(acc, q, keys, values); err != nil {
		return err
	}
	if err := o.owns(limits, q, q, q); err != nil {
		return err
	}
	return o.pool.AttendTile(f32s(acc), f32s(q), f32s(keys), f32s(values), i32s(limits), tileOf(q, keys, values, first), scale)
}

func (o *hostOps) AttendDone(dst, acc Tensor) error {
	if err := o.owns(dst, acc, acc, acc); err != nil {
		return err
	}
	return o.pool.AttendDone(f32s(dst), f32s(acc), dst.Dim(2))
}

func (o *hostOps) LatentQuery(dst, q, w Tensor, nope int) error {
	if err := o.owns(dst, q, w, w); err != nil {
		return err
	}
	return o.pool.LatentQuery(f32s(dst), f32s(q), matrix(w), q.Dim(1), q.Dim(2), nope)
}

func (o *hostOps) LatentAttention(dst, q, cache, positions, seqs, tables Tensor, scale float32) error {
	if err := o.owns(dst, q, cache, positions); err != nil {
		return err
	}
	if err := o.owns(seqs, tables, q, q); err != nil {
		return err
	}
	return o.pool.LatentAttention(f32s(dst), f32s(q), f32s(cache), pagesOf(cache, positions, seqs, tables), q.Dim(1), q.Dim(2), dst.Dim(2), scale)
}

func (o *hostOps) LatentValue(dst, x, w Tensor) error {
	if err := o.owns(dst, x, w, w); err != nil {
		return err
	}
	return o.pool.LatentValue(f32s(dst), f32s(x), matrix(w), x.Dim(1), dst.Dim(2))
}

func tileOf(q, keys, values Tensor, first int) cpu.Tile {
	return cpu.Tile{Heads: q.Dim(1), KVHeads: keys.Dim(0), Keys: keys.Dim(1), Dim: q.Dim(2), VDim: values.Dim(2), First: first}
}
