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
		"embedding, and as much again for the head, bf16 in both":                     2 * m.Elements["embed_tokens"],
		"one layer in bf16 without its experts, 46 in all":                            2 * m.Elements["layers.46"],
		"one expert in bf16, 2,944 in all":                                            2 * m.Elements["layers.46.mlp.experts.63"],
		"cache for one position, all layers":                                          m.Position,
		"cache for 202,752 positions":                                                 202752 * m.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in, in bf16":                                                  need.Least(),
	})
}
