package main

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

func FuzzGGUF(f *testing.F) { plugin.FuzzFile(f) }

// TestInBlocks has 2 layers with experts, 16 matrices or stacks of them, in 14 types.
func TestInBlocks(t *testing.T) {
	b := nntest.Blocked{
		Keys: map[string]any{"general.architecture": "qwen3moe", "qwen3moe.block_count": uint32(2), "qwen3moe.context_length": uint32(64), "qwen3moe.embedding_length": uint32(256),
			"qwen3moe.feed_forward_length": uint32(256), "qwen3moe.attention.head_count": uint32(4), "qwen3moe.attention.head_count_kv": uint32(2),
			"qwen3moe.attention.key_length": uint32(64), "qwen3moe.attention.value_length": uint32(64), "qwen3moe.attention.layer_norm_rms_epsilon": float32(1e-6),
			"qwen3moe.rope.freq_base": float32(1e4), "qwen3moe.expert_count": uint32(3), "qwen3moe.expert_used_count": uint32(2), "qwen3moe.expert_feed_forward_length": uint32(256)},
		Config: `{"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
			"num_key_value_heads": 2, "head_dim": 64, "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": false,
			"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": []}`,
		Tensors: []nntest.BlockedTensor{
			{File: "token_embd.weight", Model: "model.embed_tokens.weight", Shape: []int{40, 256}}, {File: "output.weight", Model: "lm_head.weight", Shape: []int{40, 256}},
			{File: "output_norm.weight", Model: "model.norm.weight", Shape: []int{256}},
		},
	}
	for i := range 2 {
		for _, x := range []nntest.BlockedTensor{
			{File: "attn_norm", Model: "input_layernorm", Shape: []int{256}}, {File: "ffn_norm", Model: "post_attention_layernorm", Shape: []int{256}},
			{File: "attn_q", Model: "self_attn.q_proj", Shape: []int{256, 256}}, {File: "attn_k", Model: "self_attn.k_proj", Shape: []int{128, 256}},
			{File: "attn_v", Model: "self_attn.v_proj", Shape: []int{128, 256}}, {File: "attn_output", Model: "self_attn.o_proj", Shape: []int{256, 256}},
			{File: "attn_q_norm", Model: "self_attn.q_norm", Shape: []int{64}}, {File: "attn_k_norm", Model: "self_attn.k_norm", Shape: []int{64}},
			{File: "ffn_gate_inp", Model: "mlp.gate", Shape: []int{3, 256}}, {File: "ffn_gate_exps", Model: "mlp.experts.E.gate_proj", Shape: []int{3, 256, 256}},
			{File: "ffn_up_exps", Model: "mlp.experts.E.up_proj", Shape: []int{3, 256, 256}}, {File: "ffn_down_exps", Model: "mlp.experts.E.down_proj", Shape: []int{3, 256, 256}},
		} {
			x.File, x.Model = fmt.Sprintf("blk.%d.%s.weight", i, x.File), fmt.Sprintf("model.layers.%d.%s.weight", i, x.Model)
			b.Tensors = append(b.Tensors, x)
		}
	}
	suite.InBlocks(t, b)
}
