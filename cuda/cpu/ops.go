package cpu

func (p *Pool) Embed(y []float32, tokens []int32, table Matrix) error {
	if err := checkIndex("token", tokens, table.Rows); err != nil {
		return err
	}
	RefEmbed(y, tokens, table)
	return table.check()
}

func (p *Pool) MatMul(y, x []float32, w Matrix) error {
	RefMatMul(y, x, w)
	return w.check()
}

func (p *Pool) RMSNorm(y, x []float32, w Matrix, eps float32) error {
	RefRMSNorm(y, x, w, eps)
	return w.check()
}

func (p *Pool) Add(z, x, y []float32) error { RefAdd(z, x, y); return nil }

func (p *Pool) SwiGLU(y, gate, up []float32) error { RefSwiGLU(y, gate, up); return nil }

func (p *Pool) Angles(y []float32, positions []int32, freqs []float32, scale float32) error {
	RefAngles(y, positions, freqs, scale)
	return nil
}

func (p *Pool) Rotate(y, x, angles []float32, s Heads, interleaved bool) error {
	RefRotate(y, x, angles, s, interleaved)
	return nil
}

func (p *Pool) CacheWrite(cache, x []float32, g Pages, dim int) error {
	if err := g.check(); err != nil {
		return err
	}
	RefCacheWrite(cache, x, g, dim)
	return nil
}

func (p *Pool) Attention(y, q, k, v []float32, g Pages, heads, dim, vdim int, scale float32) error {
	if err := g.check(); err != nil {
		return err
	}
	RefAttention(y, q, k, v, g, heads, dim, vdim, scale)
	return nil
}

func (p *Pool) Gather(y, x []float32, index []int32, width int) error {
	if err := checkIndex("row", index, len(x)/max(width, 1)); err != nil {
		return err
	}
	RefGather(y, x, index, width)
	return nil
}
