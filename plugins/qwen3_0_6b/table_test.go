package main

import (
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// rows are what a host plans with. The embedding is the head as well, so that each token multiplies by all of it.
func rows() []sdk.Module {
	const hidden, queries, keys, inner = 1024, 16 * 128, 8 * 128, 3072
	return []sdk.Module{
		servetest.Row("embed_tokens", 151936*hidden, 0, 1),
		servetest.State(servetest.Row("layers.0", hidden*(2*queries+2*keys)+3*hidden*inner, 2*hidden+2*128, 1), 2*keys, 0),
		servetest.State(servetest.Row("layers.27", hidden*(2*queries+2*keys)+3*hidden*inner, 2*hidden+2*128, 1), 2*keys, 0),
		servetest.Row("norm", 0, hidden, 1),
	}
}
