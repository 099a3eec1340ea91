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
		"parameters":      m.Parameters,
		"weights in bf16": publishedBytes(false),
		"weights in FP8":  publishedBytes(true),
		"the embedding, which is also the head, bf16 in both":                         2 * m.Elements["embed_tokens"],
		"one layer in bf16, 36 in all":                                                2 * m.Elements["layers.35"],
		"cache for one position, all layers":                                          m.Position,
		"cache for 262,144 positions":                                                 262144 * m.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in, in bf16":                                                  need.Least(),
	})
}
