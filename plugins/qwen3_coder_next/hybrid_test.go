//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

func TestHybrid(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-Next, q8", Family: family, Config: published, Machines: []int{1, 3, 2}, Quantize: "q8", Tokens: 256, Experts: 48, Skew: hybrid.Skew})
}
