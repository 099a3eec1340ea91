package main

import (
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// rows are what a host plans with: the first layer is dense, and all keep one latent of a position.
func rows() []sdk.Module {
	const hidden, heads, rank, latent = 2048, 20, 768, 512
	const attention = hidden*rank + rank*heads*256 + hidden*(latent+64) + latent*heads*(192+256) + heads*256*hidden
	return []sdk.Module{
		{ID: "embed_tokens", WeightBytes: 2 * 154880 * hidden, ActiveBytesToken: 2 * hidden},
		servetest.State(servetest.Row("layers.0", attention+3*hidden*10240, 2*hidden+rank+latent, 1), latent+64, 0),
		servetest.State(servetest.Row("layers.1", attention+64*hidden+3*hidden*1536, 2*hidden+rank+latent+64, 1), latent+64, 0),
		servetest.Row("layers.46.mlp.experts.63", 3*hidden*1536, 0, 4./64),
		servetest.Row("norm", 0, hidden, 1),
		servetest.Row("lm_head", 154880*hidden, 0, 1),
	}
}
