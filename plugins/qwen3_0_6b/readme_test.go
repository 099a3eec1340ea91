package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// The README's memory table is what the published config comes to.
func TestReadmeTellsTheMemory(t *testing.T) {
	need := plugin.Needs(t, published)
	m := configtest.SizesOf(t, New(configs.Parsed(t, ""), 0))
	configtest.Table(t, "README.md", map[string]int64{
		"parameters": m.Parameters,
		"weights":    2 * m.Parameters,
		"of these the embedding, which is also the head":                              2 * m.Elements["embed_tokens"],
		"of these one layer, 28 in all":                                               2 * m.Elements["layers.27"],
		"cache for one position, all layers":                                          m.Position,
		"cache for 40,960 positions":                                                  40960 * m.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in":                                                           need.Least(),
	})
}
