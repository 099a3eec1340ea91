package main

import (
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// rows are what a host plans with: of the embedding a token reads one row and multiplies by nothing, of each expert it reads as much
// as it takes of all.
func rows() []sdk.Module {
	const hidden, queries, keys, inner, experts = 2048, 32 * 128, 4 * 128, 768, 128
	return []sdk.Module{
		{ID: "embed_tokens", WeightBytes: 2 * 151936 * hidden, ActiveBytesToken: 2 * hidden},
		servetest.State(servetest.Row("layers.47", hidden*(2*queries+2*keys)+experts*hidden, 2*hidden+2*128, 1), 2*keys, 0),
		servetest.Row("layers.47.mlp.experts.127", 3*hidden*inner, 0, 8./experts),
		servetest.Row("norm", 0, hidden, 1),
		servetest.Row("lm_head", 151936*hidden, 0, 1),
	}
}
