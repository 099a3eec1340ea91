package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// The README's memory table is what the published config comes to.
func TestReadmeTellsTheMemory(t *testing.T) {
	need := plugin.Needs(t, published)
	m := configtest.SizesOf(t, New(configs.Parsed(t, ""), 0, Spelling{}))
	if m.Parameters != publishedParameters {
		t.Errorf("%d parameters; the published model has %d", m.Parameters, int64(publishedParameters))
	}
	configtest.Table(t, "README.md", map[string]int64{
		"parameters":                             m.Parameters,
		"weights in bf16":                        2 * m.Parameters,
		"weights in FP8":                         fp8Bytes(),
		"embedding and head, bf16 in both, each": 2 * m.Elements["lm_head"],
		"one layer with the delta rule, without experts, bf16":                        2 * m.Elements["layers.0"],
		"one layer with attention, without experts, bf16":                             2 * m.Elements["layers.3"],
		"one expert, 48 times 512 in all, bf16":                                       2 * m.Elements["layers.7.mlp.experts.500"],
		"states of one sequence, whatever its length":                                 m.Sequence,
		"cache for one position":                                                      m.Position,
		"cache for 262,144 positions":                                                 262144 * m.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in, in bf16":                                                  need.Least(),
	})
}

// fp8Bytes counts by hand: what inFP8 names is one byte each and has a factor in f32 for every 128 x 128, which all sizes are
// multiples of; the rest is bf16.
func fp8Bytes() int64 {
	const delta, gated = 12288*2048 + 2048*4096, 8192*2048 + 2*512*2048 + 2048*4096
	const quantized = 36*delta + 12*gated + 48*513*expertParameters // 512 experts and the shared one
	return 2*(publishedParameters-quantized) + quantized + quantized/(128*128)*4
}
