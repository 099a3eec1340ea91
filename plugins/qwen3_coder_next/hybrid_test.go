//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

// TestHybridMixture is on the machine of KTransformers' published figure (docs/bench.md).
func TestHybridMixture(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-Next, q8", Family: family, Config: published, Quantize: "q8", Machines: []int{3}, Tokens: 256, Experts: 48,
		Skew: hybrid.Skew})
}

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }

func TestHybridLives(t *testing.T) { hybrid.Lives(t, plugin) }

func TestHybridPolicies(t *testing.T) {
	hybrid.Policies(t, hybrid.Mixture{Plugin: plugin, Name: "Qwen3-Coder-Next, tiny 2 of 8, invented 10 of 512", Layers: 4, Experts: 8, Config: published, NarrowLayers: 4, Of: 512,
		Narrow: `{"num_hidden_layers": 4, "hidden_size": 128, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "vocab_size": 1000, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 32, "linear_value_head_dim": 32}`})
}
