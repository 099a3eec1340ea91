//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

// TestHybridMixture is on the machine of KTransformers' published figure (docs/bench.md).
func TestHybridMixture(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-Next, q8", Family: family, Config: published, Quantize: "q8", Machines: []int{3}, Tenths: []int{0, 2, 5, 10}, Tokens: 256, Experts: 48,
		Skew: hybrid.Skew})
}

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }
