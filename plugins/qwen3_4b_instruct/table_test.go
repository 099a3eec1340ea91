package main

import (
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// rows are what a host plans with.
func rows() []sdk.Module {
	const hidden, queries, keys, inner = 2560, 32 * 128, 8 * 128, 9728
	return []sdk.Module{
		servetest.Row("embed_tokens", 151936*hidden, 0, 1),
		servetest.State(servetest.Row("layers.35", hidden*(2*queries+2*keys)+3*hidden*inner, 2*hidden+2*128, 1), 2*keys, 0),
		servetest.Row("norm", 0, hidden, 1),
	}
}
