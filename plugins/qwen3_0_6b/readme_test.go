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
		"parameters": outline.Parameters,
		"weights":    2 * outline.Parameters,
		"of these the embedding, which is also the head": 2 * elements["embed_tokens"],
		"of these one layer, 28 in all":                  2 * elements["layers.27"],
		"cache for one position, all layers":             position,
		"cache for 40,960 positions":                     40960 * position,
	})
}
