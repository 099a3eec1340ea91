package main

import (
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// rows are what a host plans with: no token enters the tower, which only takes bytes.
func rows() []sdk.Module {
	const hidden, queries, keys, inner, seen = 2048, 16 * 128, 8 * 128, 6144, 1024
	return []sdk.Module{
		{ID: "visual", WeightBytes: 2 * (3*2*16*16*seen + seen + 2304*seen + 2*seen + 4*seen*4*seen + 4*seen + 4*seen*hidden + hidden)},
		{ID: "visual.blocks.23", WeightBytes: 2 * (4*seen + 3*seen*seen + 3*seen + seen*seen + seen + 2*4096*seen + 4096 + seen)},
		servetest.Row("embed_tokens", 151936*hidden, 0, 1),
		servetest.State(servetest.Row("layers.27", hidden*(2*queries+2*keys)+3*hidden*inner, 2*hidden+2*128, 1), 2*keys, 0),
		servetest.Row("norm", 0, hidden, 1),
	}
}
