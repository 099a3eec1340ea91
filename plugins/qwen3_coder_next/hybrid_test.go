//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

// TestMixture is no part of make hybrid, which it would fail: on the machine of KTransformers' published figure a token takes half as long again as is planned
// (docs/bench.md).
//
//	PIO_HYBRID=table.md go test -tags cuda -count 1 -timeout 2h -v -run TestMixture ./plugins/qwen3_coder_next
func TestMixture(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-Next, q8", Family: family, Config: published, Quantize: "q8", Machines: []int{3}, Tenths: []int{10}, Tokens: 256, Experts: 48,
		Skew: hybrid.Skew})
}

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }
