package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// The README's memory table is what the published config comes to.
func TestReadmeTellsTheMemory(t *testing.T) {
	c := configs.Parsed(t, "")
	m := New(c, 0)
	outline, elements, err := nn.Outline(m, "model.")
	if err != nil {
		t.Fatal(err)
	}
	position := int64(0)
	for _, spec := range m.Caches() {
		position += spec.PositionBytes()
	}
	configtest.Table(t, "README.md", map[string]int64{
		"parameters":      outline.Parameters,
		"weights in bf16": publishedBytes(false),
		"weights in FP8":  publishedBytes(true),
		"embedding, and as much again for the head, bf16 in both": 2 * elements["embed_tokens"],
		"one layer in bf16 without its experts, 46 in all":        2 * elements["layers.46"],
		"one expert in bf16, 2,944 in all":                        2 * elements["layers.46.mlp.experts.63"],
		"cache for one position, all layers":                      position,
		"cache for 202,752 positions":                             202752 * position,
	})
}
