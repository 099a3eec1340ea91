package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// The README's memory table is what the published config comes to.
func TestReadmeTellsTheMemory(t *testing.T) {
	need := plugin.Needs(t, published)
	m := configtest.SizesOf(t, New(configs.Parsed(t, ""), 0))
	layer, expert, head := 2*m.Elements["layers.47"], 2*m.Elements["layers.47.mlp.experts.127"], 2*m.Elements["lm_head"]
	configtest.Table(t, "README.md", map[string]int64{
		"parameters":                       m.Parameters,
		"weights in bf16":                  publishedBytes(false),
		"weights in FP8":                   publishedBytes(true),
		"embedding and head, bf16 in both": 2*m.Elements["embed_tokens"] + head,
		"one layer but for its experts, in bf16, 48 in all":                           layer,
		"one expert in bf16, 128 in each layer":                                       expert,
		"read for one token in bf16":                                                  48*(layer+8*expert) + head + 2*2048 + 2*2048, // a row of the embedding, the last norm
		"cache for one position, all layers":                                          m.Position,
		"cache for 262,144 positions":                                                 262144 * m.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in, in bf16":                                                  need.Least(),
	})
}
