//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

// Caches of experts take many tokens to fill: all tenths on three machines are two minutes.
func TestHybridMixture(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-30B-A3B, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}, Tokens: 352, Experts: 48,
		Skew: hybrid.Skew})
}

func TestHybridAtOnce(t *testing.T) {
	hybrid.AtOnce(t, hybrid.Model{Name: "Qwen3-Coder-30B-A3B, bf16, asked right behind its load", Family: family, Config: published, Machines: []int{0, 1, 2}, Tenths: []int{2, 5, 10},
		Tokens: 352, Experts: 48, Skew: hybrid.Skew})
}

func TestHybridAgain(t *testing.T) {
	hybrid.Again(t, hybrid.Model{Family: family, Config: published, Machines: []int{1, 0}, Tokens: 256, Experts: 16, Layers: 16, Skew: hybrid.Skew})
}

func TestHybridPolicies(t *testing.T) {
	hybrid.Policies(t, hybrid.Mixture{Plugin: plugin, Name: "Qwen3-Coder-30B-A3B, tiny 2 of 8, invented 8 of 128", Layers: 4, Experts: 8, Config: published, NarrowLayers: 4, Of: 128,
		Narrow: `{"num_hidden_layers": 4, "hidden_size": 128, "moe_intermediate_size": 32, "vocab_size": 1000, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32}`})
}

func TestHybridTokens(t *testing.T) { hybrid.Tokens(t, plugin) }

// Experts are fetched again and again, and from where they lie: a byte takes one of the host's memory.
func TestHybridBeside(t *testing.T) {
	hybrid.Beside(t, hybrid.Model{Family: family, Config: published, Layers: 2, Experts: 2, Skew: hybrid.Skew}, 1)
}

func TestHybridPinned(t *testing.T) { hybrid.Pinned(t, plugin) }

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }

func TestHybridLives(t *testing.T) { hybrid.Lives(t, plugin) }
