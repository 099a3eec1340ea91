package main

import (
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// FP8 in blocks that end inside rows and columns, some matrices left in bf16, scales in another shard than their matrix, odd widths, a
// stray lm_head.weight beside a tied head, a yarn rope, biases: the numbers are those of another implementation (see make.py there).
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
				prompt[i] = int32(i * i % 37)
			}
			sameBits(t, "chunked", all(t, r, 1, prompt, 64), all(t, r, 0, prompt, len(prompt)))
		})
	}
}
