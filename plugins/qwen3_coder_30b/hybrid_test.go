//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

// TestMixture is no part of make hybrid: caches of experts take so many tokens to fill that it takes half an hour.
//
//	PIO_HYBRID=table.md go test -tags cuda -count 1 -timeout 2h -v -run TestMixture ./plugins/qwen3_coder_30b
func TestMixture(t *testing.T) {
	hybrid.Whole(t)
	hybrid.Test(t, hybrid.Model{Name: "Qwen3-Coder-30B-A3B, bf16", Family: family, Config: published, Machines: []int{0, 1, 2}, Tokens: 256, Experts: 48, Skew: hybrid.Skew})
}

func TestHybridPolicies(t *testing.T) {
	hybrid.Policies(t, plugin, 4, 8, "the tiny Qwen3-Coder-30B-A3B, 2 of 8")
}
