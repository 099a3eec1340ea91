// decoder.go has the rules that several architectures have alike. prefix is what the checkpoint's names of the decoder begin with: "model.".

package hfgguf

import "fmt"

// Embeddings are the embedding and the head, and the norm before it.
func Embeddings(prefix string) Rules {
	return Rules{
		"token_embd.weight":  As(prefix + "embed_tokens.weight"),
		"output.weight":      As("lm_head.weight"),
		"output_norm.weight": As(prefix + "norm.weight"),
		"rope_freqs.weight":  Ignored, // an older converter's: they follow from the keys
	}
}

// Norms are those before attention and before what follows it, the second by its name in the file.
func Norms(prefix, second string) Rules {
	return Rules{
		"blk.N.attn_norm.weight": As(prefix + "layers.N.input_layernorm.weight"),
		second:                   As(prefix + "layers.N.post_attention_layernorm.weight"),
	}
}

// Attention is attention whose queries and keys are normed, be its matrices apart or joined. In the file the dimension of a value is
// attention.value_length.
func (k *Keys) Attention(prefix string) Rules {
	at := prefix + "layers.N.self_attn."
	heads, kv := k.IntOr("attention.head_count", 0), k.IntOr("attention.head_count_kv", k.IntOr("attention.head_count", 0))
	queries, keys := heads*k.IntOr("attention.key_length", 0), kv*k.IntOr("attention.key_length", 0)
	values := kv * k.IntOr("attention.value_length", k.IntOr("attention.key_length", 0))
	joined := func(kind string) Rule {
		return Rows([]string{at + "q_proj" + kind, at + "k_proj" + kind, at + "v_proj" + kind}, queries, keys, values)
	}
	return With(Named(map[string]string{
		"blk.N.attn_q.*": at + "q_proj.*", "blk.N.attn_k.*": at + "k_proj.*", "blk.N.attn_v.*": at + "v_proj.*", "blk.N.attn_output.*": at + "o_proj.*",
		"blk.N.attn_q_norm.weight": at + "q_norm.weight", "blk.N.attn_k_norm.weight": at + "k_norm.weight",
	}), Rules{"blk.N.attn_qkv.weight": joined(".weight"), "blk.N.attn_qkv.bias": joined(".bias")})
}

// DenseMLP is a gated feed-forward layer.
func DenseMLP(prefix string) Rules {
	at := prefix + "layers.N.mlp."
	return Rules{
		"blk.N.ffn_gate.weight": As(at + "gate_proj.weight"), "blk.N.ffn_up.weight": As(at + "up_proj.weight"), "blk.N.ffn_down.weight": As(at + "down_proj.weight"),
	}
}

// Mixture is a router and its experts, of which all of a layer are in one tensor, be gate and up apart or joined; shared is what the checkpoint
// calls the expert that every token visits.
func Mixture(prefix, shared string) Rules {
	at := prefix + "layers.N.mlp."
	expert, other := at+"experts.E.", at+shared+"."
	return Rules{
		"blk.N.ffn_gate_inp.weight":     As(at + "gate.weight"),
		"blk.N.ffn_gate_exps.weight":    Experts(expert + "gate_proj.weight"),
		"blk.N.ffn_up_exps.weight":      Experts(expert + "up_proj.weight"),
		"blk.N.ffn_down_exps.weight":    Experts(expert + "down_proj.weight"),
		"blk.N.ffn_gate_up_exps.weight": Experts(expert+"gate_proj.weight", expert+"up_proj.weight"),
		"blk.N.ffn_gate_shexp.weight":   As(other + "gate_proj.weight"),
		"blk.N.ffn_up_shexp.weight":     As(other + "up_proj.weight"),
		"blk.N.ffn_down_shexp.weight":   As(other + "down_proj.weight"),
	}
}

// Mixture adds what a config in Qwen's keys says of experts. Layers without a router are dense.
func (c Config) Mixture(k *Keys) {
	c["num_experts"], c["num_experts_per_tok"] = k.Int("expert_count"), k.Int("expert_used_count")
	c["moe_intermediate_size"], c["decoder_sparse_step"] = k.Int("expert_feed_forward_length"), 1
	dense := []int{}
	for i := range min(max(0, k.Layers()), maxBlocks) {
		if k.Shape(fmt.Sprintf("blk.%d.ffn_gate_inp.weight", i)) == nil {
			dense = append(dense, i)
		}
	}
	c["mlp_only_layers"] = dense
}

// maxBlocks is how many layers of a file are looked at.
const maxBlocks = 1 << 12
