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
		"the embedding, which is also the head, bf16 in both": 2 * elements["embed_tokens"],
		"one layer in bf16, 36 in all":                        2 * elements["layers.35"],
		"cache for one position, all layers":                  position,
		"cache for 262,144 positions":                         262144 * position,
	})
}
