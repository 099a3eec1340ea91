package main

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// blocks_test.go runs a file of this architecture in blocks of every type.

// TestInBlocks has a layer with the delta rule, whose value heads share key heads, and one with attention, both with experts: in the newer spelling
// of the first's projections and in the older one, which is also that of new files in NVFP4.
func TestInBlocks(t *testing.T) {
	t.Run("newer", func(t *testing.T) {
		suite.InBlocks(t, inBlocks(
			nntest.BlockedTensor{File: "attn_qkv.weight", Model: "linear_attn.in_proj_qkv.weight", Shape: []int{2*2*64 + 4*64, 256}},
			nntest.BlockedTensor{File: "attn_gate.weight", Model: "linear_attn.in_proj_z.weight", Shape: []int{4 * 64, 256}}))
	})
	t.Run("older", func(t *testing.T) {
		suite.InBlocks(t, inBlocks(nntest.BlockedTensor{File: "ssm_in.weight", Model: "linear_attn.in_proj_qkvz.weight", Shape: []int{2*2*64 + 2*4*64, 256}}))
	})
}

// inBlocks is the model, of which the layer with the delta rule has these projections.
func inBlocks(projections ...nntest.BlockedTensor) nntest.Blocked {
	b := nntest.Blocked{
		Keys: nntest.InArchitecture("qwen3next", map[string]any{"block_count": 2, "context_length": 64, "embedding_length": 256, "attention.head_count": 4, "attention.head_count_kv": 2,
			"attention.key_length": 64, "attention.value_length": 64, "attention.layer_norm_rms_epsilon": 1e-6, "attention.recurrent_layers": []bool{true, false}, "rope.freq_base": 1e4,
			"rope.dimension_count": 16, "expert_count": 3, "expert_used_count": 2, "expert_feed_forward_length": 256, "expert_shared_feed_forward_length": 256,
			"ssm.time_step_rank": 4, "ssm.group_count": 2, "ssm.state_size": 64, "ssm.inner_size": 256, "ssm.conv_kernel": 4}),
		Config: `{"architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
			"head_dim": 64, "partial_rotary_factor": 0.25, "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": false,
			"layer_types": ["linear_attention", "full_attention"], "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 256, "shared_expert_intermediate_size": 256,
			"norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [], "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 64,
			"linear_value_head_dim": 64, "linear_conv_kernel_dim": 4}`,
		Tensors: []nntest.BlockedTensor{
			{File: "token_embd.weight", Model: "model.embed_tokens.weight", Shape: []int{40, 256}}, {File: "output.weight", Model: "lm_head.weight", Shape: []int{40, 256}},
			{File: "output_norm.weight", Model: "model.norm.weight", Shape: []int{256}},
		},
		Bound: 0.5, // a head whose query and key are nearly at right angles gives nearly nothing, which the norm behind it blows up with its rounding; what is another's is above 1
		Undo: func(checkpoint map[string]nntest.Numbers) {
			for name, x := range checkpoint {
				if strings.HasSuffix(name, "conv1d.weight") {
					checkpoint[name] = nntest.Numbers{Shape: []int{x.Shape[0], 1, x.Shape[1]}, Of: x.Of}
				}
				plain := strings.HasSuffix(name, "linear_attn.norm.weight") // the one norm that has no one added
				for i, n := range x.Of {
					switch {
					case strings.HasSuffix(name, "norm.weight") && !plain:
						x.Of[i] = n - 1
					case strings.HasSuffix(name, "A_log"): // the file has -exp of it
						x.Of[i] = float32(math.Log(float64(-n)))
					}
				}
			}
		},
	}
	for i, mixer := range [][]nntest.BlockedTensor{append(projections,
		nntest.BlockedTensor{File: "ssm_ba.weight", Model: "linear_attn.in_proj_ba.weight", Shape: []int{2 * 4, 256}},
		nntest.BlockedTensor{File: "ssm_conv1d.weight", Model: "linear_attn.conv1d.weight", Shape: []int{2*2*64 + 4*64, 4}},
		nntest.BlockedTensor{File: "ssm_a", Model: "linear_attn.A_log", Shape: []int{4}, Mean: -1.5},
		nntest.BlockedTensor{File: "ssm_dt.bias", Model: "linear_attn.dt_bias", Shape: []int{4}, Mean: -3},
		nntest.BlockedTensor{File: "ssm_norm.weight", Model: "linear_attn.norm.weight", Shape: []int{64}},
		nntest.BlockedTensor{File: "ssm_out.weight", Model: "linear_attn.out_proj.weight", Shape: []int{256, 4 * 64}},
	), {
		{File: "attn_q.weight", Model: "self_attn.q_proj.weight", Shape: []int{4 * 2 * 64, 256}}, {File: "attn_k.weight", Model: "self_attn.k_proj.weight", Shape: []int{2 * 64, 256}},
		{File: "attn_v.weight", Model: "self_attn.v_proj.weight", Shape: []int{2 * 64, 256}}, {File: "attn_output.weight", Model: "self_attn.o_proj.weight", Shape: []int{256, 4 * 64}},
		{File: "attn_q_norm.weight", Model: "self_attn.q_norm.weight", Shape: []int{64}}, {File: "attn_k_norm.weight", Model: "self_attn.k_norm.weight", Shape: []int{64}},
	}} {
		for _, x := range append(mixer, []nntest.BlockedTensor{
			{File: "attn_norm.weight", Model: "input_layernorm.weight", Shape: []int{256}}, {File: "post_attention_norm.weight", Model: "post_attention_layernorm.weight", Shape: []int{256}},
			{File: "ffn_gate_inp.weight", Model: "mlp.gate.weight", Shape: []int{3, 256}}, {File: "ffn_gate_exps.weight", Model: "mlp.experts.E.gate_proj.weight", Shape: []int{3, 256, 256}},
			{File: "ffn_up_exps.weight", Model: "mlp.experts.E.up_proj.weight", Shape: []int{3, 256, 256}}, {File: "ffn_down_exps.weight", Model: "mlp.experts.E.down_proj.weight", Shape: []int{3, 256, 256}},
			{File: "ffn_gate_inp_shexp.weight", Model: "mlp.shared_expert_gate.weight", Shape: []int{1, 256}},
			{File: "ffn_gate_shexp.weight", Model: "mlp.shared_expert.gate_proj.weight", Shape: []int{256, 256}},
			{File: "ffn_up_shexp.weight", Model: "mlp.shared_expert.up_proj.weight", Shape: []int{256, 256}},
			{File: "ffn_down_shexp.weight", Model: "mlp.shared_expert.down_proj.weight", Shape: []int{256, 256}},
		}...) {
			x.File, x.Model = fmt.Sprintf("blk.%d.%s", i, x.File), fmt.Sprintf("model.layers.%d.%s", i, x.Model)
			b.Tensors = append(b.Tensors, x)
		}
	}
	return b
}
