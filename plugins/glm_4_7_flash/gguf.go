// gguf.go is how a GGUF file has this architecture: which key stands for what of config.json, which tensor for which. The file's architecture is
// deepseek2, which others have as well: attention as one head reads the latents, so that what the checkpoint says of heads is in the keys
// that end in _mla.

package main

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/hfgguf"
)

var inGGUF = hfgguf.Architecture{Name: "deepseek2", Config: ggufConfig, Rules: ggufRules, Finish: ggufFinish}

func ggufConfig(k *hfgguf.Keys) hfgguf.Config {
	c := k.Decoder(architecture, "glm4_moe_lite")
	rotary := k.Int("rope.dimension_count")
	c["num_key_value_heads"] = c["num_attention_heads"]
	c["attention_bias"] = k.Shape("blk.0.attn_kv_a_mqa.bias") != nil
	c["kv_lora_rank"], c["q_lora_rank"] = k.Int("attention.kv_lora_rank"), nil
	if k.Has("attention.q_lora_rank") {
		c["q_lora_rank"] = k.Int("attention.q_lora_rank")
	}
	c["qk_rope_head_dim"], c["qk_nope_head_dim"] = rotary, k.Int("attention.key_length_mla")-rotary
	c["v_head_dim"] = k.Int("attention.value_length_mla")

	c["first_k_dense_replace"] = k.IntOr("leading_dense_block_count", 0)
	c["moe_intermediate_size"] = k.Int("expert_feed_forward_length")
	c["n_routed_experts"], c["num_experts_per_tok"], c["n_shared_experts"] = k.Int("expert_count"), k.Int("expert_used_count"), k.IntOr("expert_shared_count", 0)
	c["n_group"], c["topk_group"] = max(1, k.IntOr("expert_group_count", 1)), max(1, k.IntOr("expert_group_used_count", 1))
	c["norm_topk_prob"], c["routed_scaling_factor"] = k.Bool("expert_weights_norm", false), k.FloatOr("expert_weights_scale", 1)
	if k.Has("rope.scaling.yarn_log_multiplier") {
		if s, ok := c["rope_scaling"].(hfgguf.Config); ok {
			s["mscale_all_dim"] = k.Float("rope.scaling.yarn_log_multiplier") * 10
			s["mscale"] = s["mscale_all_dim"] // which the file does not have, and published models have alike
		}
	}
	checkGating(k)
	return c
}

// checkGating refuses routers that score by softmax. Where the file does not say how, as of GLM-4.7-Flash, it is by sigmoid if experts have a
// bias, without which no such router is.
func checkGating(k *hfgguf.Keys) {
	const softmax, sigmoid = 1, 2
	bias := k.Shape(fmt.Sprintf("blk.%d.exp_probs_b.bias", k.IntOr("leading_dense_block_count", 0))) != nil
	gating := k.IntOr("expert_gating_func", softmax)
	k.Refuse(gating != sigmoid && (k.Has("expert_gating_func") || !bias),
		"the router of this file scores experts by softmax, as older models of its architecture do; this plugin runs GLM-4.7-Flash, whose router has sigmoid and exp_probs_b.bias")
}

func ggufRules(k *hfgguf.Keys) hfgguf.Rules {
	const at = "model.layers.N.self_attn."
	return hfgguf.With(hfgguf.Embeddings("model."), hfgguf.Norms("model.", "blk.N.ffn_norm.weight"), hfgguf.DenseMLP("model."), hfgguf.Mixture("model.", "shared_experts"),
		hfgguf.Named(map[string]string{
			"blk.N.attn_q.*": at + "q_proj.*", "blk.N.attn_q_a.*": at + "q_a_proj.*", "blk.N.attn_q_b.*": at + "q_b_proj.*",
			"blk.N.attn_q_a_norm.weight": at + "q_a_layernorm.weight", "blk.N.attn_kv_a_norm.weight": at + "kv_a_layernorm.weight",
			"blk.N.attn_kv_a_mqa.*": at + "kv_a_proj_with_mqa.*", "blk.N.attn_kv_b.weight": at + "kv_b_proj.weight",
			"blk.N.attn_k_b.weight": "k_b.N.weight", "blk.N.attn_v_b.weight": "v_b.N.weight", "blk.N.attn_output.*": at + "o_proj.*",
			"blk.N.exp_probs_b.bias": "model.layers.N.mlp.gate.e_score_correction_bias",
		})).Only(k.Layers())
}

// ggufFinish joins what newer files have of kv_b_proj in two tensors: of each head the key's rows, transposed, and the value's.
func ggufFinish(k *hfgguf.Keys, t *hfgguf.Table) {
	for n := range min(max(0, k.Layers()), 1<<12) {
		keys, ok := t.Take(fmt.Sprintf("k_b.%d.weight", n))
		values, also := t.Take(fmt.Sprintf("v_b.%d.weight", n))
		if ok && also {
			t.HeadsOf(fmt.Sprintf("model.layers.%d.self_attn.kv_b_proj.weight", n), keys, values)
		}
	}
}
