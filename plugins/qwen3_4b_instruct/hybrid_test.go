//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

func TestHybrid(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-4B-Instruct, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}})
}

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }

func TestHybridLives(t *testing.T) { hybrid.Lives(t, plugin) }
