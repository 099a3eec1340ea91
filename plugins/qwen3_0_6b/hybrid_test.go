//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

func TestHybrid(t *testing.T) {
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-0.6B, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}})
}

func TestHybridComes(t *testing.T) {
	hybrid.Comes(t, hybrid.Model{Name: "Qwen3-0.6B, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}})
}

func TestHybridSlow(t *testing.T) {
	hybrid.Slow(t, hybrid.Model{Family: family, Config: published})
}

func TestHybridPriority(t *testing.T) {
	hybrid.Priority(t, hybrid.Model{Name: "Qwen3-0.6B, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}})
}

func TestHybridBeside(t *testing.T) {
	hybrid.Beside(t, hybrid.Model{Family: family, Config: published, Layers: 2}, 3)
}

func TestHybridTokens(t *testing.T) { hybrid.Tokens(t, plugin) }

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }

func TestHybridLives(t *testing.T) { hybrid.Lives(t, plugin) }
