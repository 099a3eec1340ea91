package main

import (
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// Key heads shared by several value heads of another dim, other convolutions and patterns of layers, dense layers, routers that do
// not normalize, projections and experts in their other spelling, f32 and f16, shards, a tied head with a stray copy, a yarn rope
// over part of a head: the numbers are those of another implementation (see make.py there), which computes prompts one token
// after the other.
func TestUnusualShapesAreTheReferences(t *testing.T) {
	dirs, err := filepath.Glob("testdata/shapes/*/config.json")
	if err != nil || len(dirs) != 3 {
		t.Fatalf("%d checkpoints, %v", len(dirs), err)
	}
	for _, config := range dirs {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			r, _ := load(t, read(t, config), 0, checkpoint(t, dir), nntest.Limits{Rows: 256, Sequences: 2, Positions: 256})
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
