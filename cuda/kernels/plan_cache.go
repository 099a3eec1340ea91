package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_cache.go launches cache.cu, and what heads.cu does with latents.

var cache = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpCacheWrite: func(p *Plan, op *cuda.Op) {
		if isJoined(op) {
			p.latentRows(op)
			return
		}
		x := op.In[0]
		p.launch("cache_write", 128, 0, ceilDiv(x.Dim(0)*x.Dim(1)*ceilDiv(x.Dim(2), 64), 4), 1, 1)
	},
	cuda.OpCacheRead: func(p *Plan, op *cuda.Op) { p.launch("cache_read", 256, 0, ceilDiv(op.Out[0].Len(), 256), 1, 1) },
}
