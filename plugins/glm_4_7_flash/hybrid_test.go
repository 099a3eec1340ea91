//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }

func TestHybridLives(t *testing.T) { hybrid.Lives(t, plugin) }

func TestHybridPolicies(t *testing.T) {
	hybrid.Policies(t, hybrid.Mixture{Plugin: plugin, Name: "GLM-4.7-Flash, tiny 2 of 8, invented 4 of 64", Layers: 3, Experts: 8, Config: published, NarrowLayers: 3, Of: 64,
		Narrow: `{"num_hidden_layers": 4, "hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 32, "vocab_size": 1000, "num_attention_heads": 4, "num_key_value_heads": 4, "q_lora_rank": 64, "kv_lora_rank": 32, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "eos_token_id": 999, "pad_token_id": 999}`})
}
