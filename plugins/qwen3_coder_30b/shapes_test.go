package main

import (
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// Dense layers by either key, odd widths, five, six and thirteen experts, weights that are not normalized, all experts at once,
// experts joined in one tensor, f32 and f16 weights, shards: the numbers are those of another implementation (see make.py there).
func TestUnusualShapesAreTheReferences(t *testing.T) {
	dirs, err := filepath.Glob("testdata/shapes/*/config.json")
	if err != nil || len(dirs) != 3 {
		t.Fatalf("%d checkpoints, %v", len(dirs), err)
	}
	for _, config := range dirs {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			r, _ := load(t, read(t, config), checkpoint(t, dir), nntest.Limits{Rows: 256, Sequences: 2, Positions: 256})
			how, err := r.Layers(dir, bound)
			if err != nil {
				t.Error(err)
			}
			t.Log(how)

			prompt := make([]int32, 130)
			for i := range prompt {
				prompt[i] = int32(i * i % 33)
			}
			sameBits(t, "chunked", all(t, r, 1, prompt, 64), all(t, r, 0, prompt, len(prompt)))
		})
	}
}
