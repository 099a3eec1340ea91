package main

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// blocks_test.go runs a file of this architecture in blocks of every type.

// TestInBlocks has a dense layer and one with experts and a bias of them. Of kv_b_proj the file has the halves, the keys' transposed: their rows are
// 192 numbers, as in files of GLM-4.7-Flash, so that blocks of 256 are not theirs.
func TestInBlocks(t *testing.T) {
	const heads, rank, nope, rope, value = 2, 256, 192, 64, 256
	b := nntest.Blocked{
		Keys: nntest.InArchitecture("deepseek2", map[string]any{"block_count": 2, "context_length": 64, "embedding_length": 256, "feed_forward_length": 256, "attention.head_count": heads,
			"attention.head_count_kv": 1, "attention.key_length": rank + rope, "attention.value_length": rank, "attention.key_length_mla": nope + rope, "attention.value_length_mla": value,
			"attention.q_lora_rank": 256, "attention.kv_lora_rank": rank, "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 1e4, "rope.dimension_count": rope,
			"leading_dense_block_count": 1, "expert_count": 3, "expert_used_count": 2, "expert_shared_count": 1, "expert_feed_forward_length": 256, "expert_weights_scale": 1.5,
			"expert_weights_norm": true}),
		Config: `{"architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite", "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2,
			"num_key_value_heads": 2, "q_lora_rank": 256, "kv_lora_rank": 256, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "vocab_size": 40,
			"max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "tie_word_embeddings": false, "first_k_dense_replace": 1, "moe_intermediate_size": 256,
			"n_routed_experts": 3, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": true, "routed_scaling_factor": 1.5}`,
		Tensors: []nntest.BlockedTensor{
			{File: "token_embd.weight", Model: "model.embed_tokens.weight", Shape: []int{40, 256}}, {File: "output.weight", Model: "lm_head.weight", Shape: []int{40, 256}},
			{File: "output_norm.weight", Model: "model.norm.weight", Shape: []int{256}},
		},
		Undo: func(checkpoint map[string]nntest.Numbers) {
			for i := range 2 {
				at := fmt.Sprintf("model.layers.%d.", i)
				keys, values := checkpoint[at+"k_b"].Of, checkpoint[at+"v_b"].Of
				var both []float32
				for h := range heads {
					for j := range nope {
						for r := range rank {
							both = append(both, keys[(h*rank+r)*nope+j])
						}
					}
					both = append(both, values[h*value*rank:(h+1)*value*rank]...)
				}
				delete(checkpoint, at+"k_b")
				delete(checkpoint, at+"v_b")
				checkpoint[at+"self_attn.kv_b_proj.weight"] = nntest.Numbers{Shape: []int{heads * (nope + value), rank}, Of: both}
			}
		},
	}
	for i, mlp := range [][]nntest.BlockedTensor{{
		{File: "ffn_gate.weight", Model: "mlp.gate_proj.weight", Shape: []int{256, 256}}, {File: "ffn_up.weight", Model: "mlp.up_proj.weight", Shape: []int{256, 256}},
		{File: "ffn_down.weight", Model: "mlp.down_proj.weight", Shape: []int{256, 256}},
	}, {
		{File: "ffn_gate_inp.weight", Model: "mlp.gate.weight", Shape: []int{3, 256}}, {File: "exp_probs_b.bias", Model: "mlp.gate.e_score_correction_bias", Shape: []int{3}},
		{File: "ffn_gate_exps.weight", Model: "mlp.experts.E.gate_proj.weight", Shape: []int{3, 256, 256}},
		{File: "ffn_up_exps.weight", Model: "mlp.experts.E.up_proj.weight", Shape: []int{3, 256, 256}}, {File: "ffn_down_exps.weight", Model: "mlp.experts.E.down_proj.weight", Shape: []int{3, 256, 256}},
		{File: "ffn_gate_shexp.weight", Model: "mlp.shared_experts.gate_proj.weight", Shape: []int{256, 256}},
		{File: "ffn_up_shexp.weight", Model: "mlp.shared_experts.up_proj.weight", Shape: []int{256, 256}},
		{File: "ffn_down_shexp.weight", Model: "mlp.shared_experts.down_proj.weight", Shape: []int{256, 256}},
	}} {
		for _, x := range append(mlp, []nntest.BlockedTensor{
			{File: "attn_norm.weight", Model: "input_layernorm.weight", Shape: []int{256}}, {File: "ffn_norm.weight", Model: "post_attention_layernorm.weight", Shape: []int{256}},
			{File: "attn_q_a.weight", Model: "self_attn.q_a_proj.weight", Shape: []int{256, 256}}, {File: "attn_q_a_norm.weight", Model: "self_attn.q_a_layernorm.weight", Shape: []int{256}},
			{File: "attn_q_b.weight", Model: "self_attn.q_b_proj.weight", Shape: []int{heads * (nope + rope), 256}},
			{File: "attn_kv_a_mqa.weight", Model: "self_attn.kv_a_proj_with_mqa.weight", Shape: []int{rank + rope, 256}},
			{File: "attn_kv_a_norm.weight", Model: "self_attn.kv_a_layernorm.weight", Shape: []int{rank}},
			{File: "attn_k_b.weight", Model: "k_b", Shape: []int{heads, rank, nope}}, {File: "attn_v_b.weight", Model: "v_b", Shape: []int{heads, value, rank}},
			{File: "attn_output.weight", Model: "self_attn.o_proj.weight", Shape: []int{256, heads * value}},
		}...) {
			x.File, x.Model = fmt.Sprintf("blk.%d.%s", i, x.File), fmt.Sprintf("model.layers.%d.%s", i, x.Model)
			b.Tensors = append(b.Tensors, x)
		}
	}
	suite.InBlocks(t, b)
}
