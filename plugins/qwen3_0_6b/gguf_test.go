package main

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/internal/gguf/gguftest"
)

func FuzzGGUF(f *testing.F) { plugin.FuzzFile(f) }

// TestInBlocks has 2 layers and an untied head, 16 matrices, in 14 types.
func TestInBlocks(t *testing.T) {
	b := nntest.Blocked{
		Keys: map[string]any{"general.architecture": "qwen3", "qwen3.block_count": uint32(2), "qwen3.context_length": uint32(64), "qwen3.embedding_length": uint32(256),
			"qwen3.feed_forward_length": uint32(256), "qwen3.attention.head_count": uint32(4), "qwen3.attention.head_count_kv": uint32(2), "qwen3.attention.key_length": uint32(64),
			"qwen3.attention.value_length": uint32(64), "qwen3.attention.layer_norm_rms_epsilon": float32(1e-6), "qwen3.rope.freq_base": float32(1e4)},
		Config: `{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
			"num_key_value_heads": 2, "head_dim": 64, "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": false}`,
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
			{File: "ffn_gate", Model: "mlp.gate_proj", Shape: []int{256, 256}}, {File: "ffn_up", Model: "mlp.up_proj", Shape: []int{256, 256}},
			{File: "ffn_down", Model: "mlp.down_proj", Shape: []int{256, 256}},
		} {
			x.File, x.Model = fmt.Sprintf("blk.%d.%s.weight", i, x.File), fmt.Sprintf("model.layers.%d.%s.weight", i, x.Model)
			b.Tensors = append(b.Tensors, x)
		}
	}
	suite.InBlocks(t, b)
}

// The tiny model as a file in Q4_K_M, with rows of 256 numbers and more: what it is packed to is as good as what it has.
func TestFourBitFile(t *testing.T) {
	const layers, hidden, inner = 4, 256, 512
	src := nntest.Checkpoint(t, tiny)
	file := gguftest.File{Keys: map[string]any{"general.architecture": "qwen3", "qwen3.block_count": uint32(layers), "qwen3.context_length": uint32(2048),
		"qwen3.embedding_length": uint32(hidden), "qwen3.feed_forward_length": uint32(inner), "qwen3.attention.head_count": uint32(4), "qwen3.attention.head_count_kv": uint32(2),
		"qwen3.attention.key_length": uint32(64), "qwen3.attention.value_length": uint32(64), "qwen3.attention.layer_norm_rms_epsilon": float32(1e-6 / 2),
		"qwen3.rope.freq_base": float32(1e6)}}
	matrix := func(name, of string, more bool, rows, cols int) {
		kind := uint32(12)
		if more {
			kind = 14
		}
		file.Tensors = append(file.Tensors, nntest.InK(name+".weight", kind, []int{rows, cols}, nntest.Wider(t, src, "model."+of+".weight", rows, cols)))
	}
	norm := func(name, of string, by float64) {
		x := nntest.WiderNorm(t, src, "model."+of+".weight", by)
		file.Tensors = append(file.Tensors, gguftest.F32(name+".weight", []int{len(x)}, x...))
	}
	matrix("token_embd", "embed_tokens", true, 1024, hidden)
	norm("output_norm", "norm", 2)
	for i := range layers {
		to, of := fmt.Sprintf("blk.%d.", i), fmt.Sprintf("layers.%d.", i)
		more := nntest.MoreBits(i, layers)
		norm(to+"attn_norm", of+"input_layernorm", 2)
		norm(to+"ffn_norm", of+"post_attention_layernorm", 2)
		norm(to+"attn_q_norm", of+"self_attn.q_norm", 1)
		norm(to+"attn_k_norm", of+"self_attn.k_norm", 1)
		matrix(to+"attn_q", of+"self_attn.q_proj", false, 256, hidden)
		matrix(to+"attn_k", of+"self_attn.k_proj", false, 128, hidden)
		matrix(to+"attn_v", of+"self_attn.v_proj", more, 128, hidden)
		matrix(to+"attn_output", of+"self_attn.o_proj", false, hidden, 256)
		matrix(to+"ffn_gate", of+"mlp.gate_proj", false, inner, hidden)
		matrix(to+"ffn_up", of+"mlp.up_proj", false, inner, hidden)
		matrix(to+"ffn_down", of+"mlp.down_proj", more, hidden, inner)
	}
	suite.RepackedFile(t, file.Write(t, "tiny-Q4_K_M.gguf"), tiny, 0.002)
}
