// gguf.go is how a GGUF file has this architecture: which key stands for what of config.json, which tensor for which.

package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda/hfgguf"
)

var inGGUF = hfgguf.Architecture{Name: "qwen3next", Config: ggufConfig, Rules: ggufRules}

func ggufConfig(k *hfgguf.Keys) hfgguf.Config {
	c := k.Decoder(architecture, "qwen3_next")
	c["head_dim"] = k.Int("attention.key_length")
	if n := k.IntOr("attention.key_length", 0); n > 0 {
		c["partial_rotary_factor"] = float64(k.IntOr("rope.dimension_count", n)) / float64(n)
	}
	c.Mixture(k)
	c["norm_topk_prob"] = true // which the file does not say: the architecture has it
	c["shared_expert_intermediate_size"] = k.IntOr("expert_shared_feed_forward_length", 0)
	values := k.Int("ssm.time_step_rank")
	c["linear_num_key_heads"], c["linear_num_value_heads"] = k.Int("ssm.group_count"), values
	c["linear_key_head_dim"], c["linear_conv_kernel_dim"] = k.Int("ssm.state_size"), k.Int("ssm.conv_kernel")
	if values > 0 {
		c["linear_value_head_dim"] = k.Int("ssm.inner_size") / values
	}
	c["layer_types"] = ggufLayers(k)
	return c
}

// ggufWindow is the shape of a convolution, which newer files have without the dimension of one.
func ggufWindow(s []int) []int {
	if len(s) != 2 {
		return s
	}
	return []int{s[0], 1, s[1]}
}

// ggufLayers are the kinds of the layers: newer files list them, older ones have the interval, or nothing where it is four.
func ggufLayers(k *hfgguf.Keys) []string {
	listed, interval := k.Ints("attention.recurrent_layers"), max(1, k.IntOr("full_attention_interval", 4))
	kinds := make([]string, min(max(0, k.Layers()), 1<<12))
	k.Refuse(listed != nil && len(listed) < len(kinds), "key qwen3next.attention.recurrent_layers has %d entries for %d layers", len(listed), len(kinds))
	for i := range kinds {
		kinds[i] = linearAttention
		if listed == nil && (i+1)%interval == 0 || i < len(listed) && listed[i] == 0 {
			kinds[i] = fullAttention
		}
	}
	return kinds
}

// ggufRules: norms have their one added; A_log is kept as what it stands for, -exp(A_log); q, k and v of a layer with the delta rule stand
// one after the other, and z by itself, which is the newer spelling of the checkpoint; older files have both as the published one does.
func ggufRules(k *hfgguf.Keys) hfgguf.Rules {
	const at = "model.layers.N."
	minusOne := func(name string) hfgguf.Rule { return hfgguf.Add(name, -1) }
	return hfgguf.With(hfgguf.Embeddings("model."), k.Attention("model."), hfgguf.DenseMLP("model."), hfgguf.Mixture("model.", "shared_expert"), hfgguf.Rules{
		"output_norm.weight":               minusOne("model.norm.weight"),
		"blk.N.attn_norm.weight":           minusOne(at + "input_layernorm.weight"),
		"blk.N.post_attention_norm.weight": minusOne(at + "post_attention_layernorm.weight"),
		"blk.N.attn_q_norm.weight":         minusOne(at + "self_attn.q_norm.weight"),
		"blk.N.attn_k_norm.weight":         minusOne(at + "self_attn.k_norm.weight"),
		"blk.N.attn_qkv.weight":            hfgguf.As(at + "linear_attn.in_proj_qkv.weight"),
		"blk.N.attn_gate.weight":           hfgguf.As(at + "linear_attn.in_proj_z.weight"),
		"blk.N.ssm_in.weight":              hfgguf.As(at + "linear_attn.in_proj_qkvz.weight"),
		"blk.N.ssm_ba.weight":              hfgguf.As(at + "linear_attn.in_proj_ba.weight"),
		"blk.N.ssm_conv1d.weight":          hfgguf.Shaped(at+"linear_attn.conv1d.weight", ggufWindow),
		"blk.N.ssm_a":                      hfgguf.Each(at+"linear_attn.A_log", func(x float32) float32 { return float32(math.Log(-float64(x))) }),
		"blk.N.ssm_dt.bias":                hfgguf.As(at + "linear_attn.dt_bias"),
		"blk.N.ssm_norm.weight":            hfgguf.As(at + "linear_attn.norm.weight"),
		"blk.N.ssm_out.weight":             hfgguf.As(at + "linear_attn.out_proj.weight"),
		"blk.N.ffn_gate_inp_shexp.weight":  hfgguf.Shaped(at+"mlp.shared_expert_gate.weight", func(s []int) []int { return append([]int{1}, hfgguf.Flat(s)...) }),
	}).Only(k.Layers())
}
