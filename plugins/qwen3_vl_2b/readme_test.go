package main

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// The README's memory table is what the published config comes to.
func TestReadmeTellsTheMemory(t *testing.T) {
	need := plugin.Needs(t, published)
	m := configtest.SizesOf(t, New(configs.Parsed(t, ""), 0))
	tower := int64(0)
	for id, n := range m.Elements {
		if id == "visual" || strings.HasPrefix(id, "visual.") {
			tower += n
		}
	}
	configtest.Table(t, "README.md", map[string]int64{
		"parameters":         m.Parameters,
		"weights":            2 * m.Parameters,
		"of these the tower": 2 * tower,
		"of these the embedding, which is also the head":                              2 * m.Elements["embed_tokens"],
		"of these one decoder layer, 28 in all":                                       2 * m.Elements["layers.27"],
		"cache for one position, all layers":                                          m.Position,
		"cache for 32,768 positions":                                                  32768 * m.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in":                                                           need.Least(),
	})
}
