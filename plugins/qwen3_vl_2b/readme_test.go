package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// The README's memory table is what the published config comes to.
func TestReadmeTellsTheMemory(t *testing.T) {
	c, err := ParseConfig([]byte(published))
	if err != nil {
		t.Fatal(err)
	}
	m := New(c, 0)
	outline, elements, err := nn.Outline(m, "model.")
	if err != nil {
		t.Fatal(err)
	}
	position, tower := int64(0), int64(0)
	for _, spec := range m.Caches() {
		position += spec.PositionBytes()
	}
	for id, n := range elements {
		if id == "visual" || strings.HasPrefix(id, "visual.") {
			tower += n
		}
	}
	readme := string(read(t, "README.md"))
	for row, n := range map[string]int64{
		"parameters":         outline.Parameters,
		"weights":            2 * outline.Parameters,
		"of these the tower": 2 * tower,
		"of these the embedding, which is also the head": 2 * elements["embed_tokens"],
		"of these one decoder layer, 28 in all":          2 * elements["layers.27"],
		"cache for one position, all layers":             position,
		"cache for 32,768 positions":                     32768 * position,
	} {
		if want := fmt.Sprintf("| %s | %s |", row, thousands(n)); !strings.Contains(readme, want) {
			t.Errorf("README lacks the line %q", want)
		}
	}
}

func thousands(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
