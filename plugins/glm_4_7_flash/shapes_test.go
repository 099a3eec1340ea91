package main

import (
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// Odd ranks and heads, queries that are not compressed, biases, groups, shared experts, a yarn rope that scales scores, joined
// experts, f32 and f16 weights, shards, a layer behind the last: the numbers are those of another implementation (see make.py there),
// with rms_norm_eps in the norms of latents as this plugin has by default.
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
