package main

import (
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// rows are what a host plans with: layers with the delta rule keep a state of a fixed size, every fourth keeps keys and values.
func rows() []sdk.Module {
	const hidden, inner, experts, keys, values = 2048, 512, 512, 16 * 128, 32 * 128
	const mixture = experts*hidden + 3*hidden*inner + hidden // router, shared expert and its gate
	return []sdk.Module{
		{ID: "embed_tokens", WeightBytes: 2 * 151936 * hidden, ActiveBytesToken: 2 * hidden},
		servetest.State(servetest.Row("layers.0", hidden*(2*keys+2*values)+hidden*2*32+4*(2*keys+values)+values*hidden+mixture, 2*hidden+2*32+128, 1),
			0, 3*(2*keys+values)+32*128*128),
		servetest.State(servetest.Row("layers.3", hidden*(2*16*256+2*2*256)+16*256*hidden+mixture, 2*hidden+2*256, 1), 2*2*256, 0),
		servetest.Row("layers.3.mlp.experts.511", 3*hidden*inner, 0, 10./experts),
		servetest.Row("norm", 0, hidden, 1),
		servetest.Row("lm_head", 151936*hidden, 0, 1),
	}
}
