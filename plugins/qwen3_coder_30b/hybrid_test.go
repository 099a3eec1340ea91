//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

// Caches of experts take many tokens to fill: some tenths on one machine are minutes.
func TestHybridMixture(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-30B-A3B, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}, Tenths: []int{0, 1, 2, 5, 10}, Tokens: 352, Experts: 48,
		Skew: hybrid.Skew})
}

func TestHybridAgain(t *testing.T) {
	hybrid.Again(t, hybrid.Model{Family: family, Config: published, Machines: []int{1, 0}, Tokens: 256, Experts: 16, Layers: 16, Skew: hybrid.Skew})
}

func TestHybridPolicies(t *testing.T) {
	hybrid.Policies(t, plugin, 4, 8, "the tiny Qwen3-Coder-30B-A3B, 2 of 8")
}

func TestHybridTokens(t *testing.T) { hybrid.Tokens(t, plugin) }

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }
