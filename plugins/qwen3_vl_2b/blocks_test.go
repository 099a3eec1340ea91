package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
)

// blocks_test.go runs files of this architecture in blocks of every type.

// TestInBlocks has a decoder of 2 layers and, in the file beside it, a tower of 3 blocks, of which the first and the last are read by mergers of
// their own. A picture of two by two tokens stands in the prompt: what is seen of it is held to the reference's as layers are.
func TestInBlocks(t *testing.T) {
	tokens := make([]string, 40)
	for i := range tokens {
		tokens[i] = fmt.Sprintf("<%d>", i)
	}
	tokens[38], tokens[39] = "<|image_pad|>", "<|video_pad|>"
	b := nntest.Blocked{
		Keys: nntest.InArchitecture("qwen3vl", map[string]any{"block_count": 2, "context_length": 64, "embedding_length": 256, "feed_forward_length": 256, "attention.head_count": 4,
			"attention.head_count_kv": 2, "attention.key_length": 64, "attention.value_length": 64, "attention.layer_norm_rms_epsilon": 1e-6, "rope.freq_base": 1e4,
			"rope.dimension_sections": []int32{12, 10, 10, 0}, "n_deepstack_layers": 2}),
		Config: `{"architectures": ["Qwen3VLForConditionalGeneration"], "model_type": "qwen3_vl", "image_token_id": 38, "video_token_id": 39, "tie_word_embeddings": true,
			"text_config": {"model_type": "qwen3_vl_text", "hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
				"head_dim": 64, "vocab_size": 40, "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
				"rope_scaling": {"rope_type": "default", "mrope_interleaved": true, "mrope_section": [12, 10, 10]}},
			"vision_config": {"model_type": "qwen3_vl", "depth": 3, "hidden_size": 256, "intermediate_size": 512, "num_heads": 4, "out_hidden_size": 256, "patch_size": 4,
				"temporal_patch_size": 2, "spatial_merge_size": 2, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 2]}}`,
		Tensors: []nntest.BlockedTensor{
			{File: "token_embd.weight", Model: "model.embed_tokens.weight", Shape: []int{40, 256}}, {File: "output_norm.weight", Model: "model.norm.weight", Shape: []int{256}},
		},
		Tower: towerInBlocks(),
		Undo: func(checkpoint map[string]nntest.Numbers) {
			first, second := checkpoint["slice.0"].Of, checkpoint["slice.1"].Of
			var both []float32
			for at := 0; at < len(first); at += 4 * 4 { // of each channel of each window
				both = append(append(both, first[at:at+4*4]...), second[at:at+4*4]...)
			}
			delete(checkpoint, "slice.0")
			delete(checkpoint, "slice.1")
			checkpoint[patchWeight] = nntest.Numbers{Shape: []int{256, 3, 2, 4, 4}, Of: both}
		},
		Look: func(t testing.TB, model nntest.Model, prompt []int32) nntest.Chunk {
			m := model.(*Model)
			p := painted(m, 2, 2)
			sc := &scene{m: m, placed: []serve.Placed{{At: 3, Picture: p}}, features: see(t, m, p)}
			sc.ids = slices.Concat(prompt[:3], slices.Repeat([]int32{m.PadToken()}, p.Tokens()), prompt[3:])
			return sc.chunk(0, len(sc.ids))
		},
	}
	b.Keys["tokenizer.ggml.tokens"] = tokens
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

// towerInBlocks is the tower's file, whose windows and positions are plain, as converters have them.
func towerInBlocks() *nntest.Blocked {
	const at, joined = "model.visual.", 4 * 256 // what a token is made of
	b := &nntest.Blocked{
		Keys: nntest.InArchitecture("clip", map[string]any{"projector_type": "qwen3vl_merger", "has_vision_encoder": true, "use_gelu": true, "vision.patch_size": 4, "vision.image_size": 32,
			"vision.embedding_length": 256, "vision.feed_forward_length": 512, "vision.block_count": 3, "vision.attention.head_count": 4, "vision.attention.layer_norm_epsilon": 1e-6,
			"vision.projection_dim": 256, "vision.spatial_merge_size": 2, "vision.image_mean": []float32{0.5, 0.5, 0.5}, "vision.image_std": []float32{0.5, 0.5, 0.5},
			"vision.is_deepstack_layers": []bool{true, false, true}}),
		Config: `{"patch_size": 4, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`,
		Tensors: []nntest.BlockedTensor{
			{File: "v.patch_embd.weight", Model: "slice.0", Shape: []int{256, 3, 4, 4}}, {File: "v.patch_embd.weight.1", Model: "slice.1", Shape: []int{256, 3, 4, 4}},
			{File: "v.patch_embd.bias", Model: at + "patch_embed.proj.bias", Shape: []int{256}, Mean: 0.1},
			{File: "v.position_embd.weight", Model: at + "pos_embed.weight", Shape: []int{64, 256}, Plain: true},
		},
	}
	linear := func(file, model string, out, in int) {
		b.Tensors = append(b.Tensors, nntest.BlockedTensor{File: file + ".weight", Model: at + model + ".weight", Shape: []int{out, in}},
			nntest.BlockedTensor{File: file + ".bias", Model: at + model + ".bias", Shape: []int{out}, Mean: 0.1})
	}
	norm := func(file, model string, n int) {
		b.Tensors = append(b.Tensors, nntest.BlockedTensor{File: file + ".weight", Model: at + model + ".weight", Shape: []int{n}},
			nntest.BlockedTensor{File: file + ".bias", Model: at + model + ".bias", Shape: []int{n}, Mean: 0.1})
	}
	for i := range 3 {
		file, model := fmt.Sprintf("v.blk.%d.", i), fmt.Sprintf("blocks.%d.", i)
		norm(file+"ln1", model+"norm1", 256)
		norm(file+"ln2", model+"norm2", 256)
		linear(file+"attn_qkv", model+"attn.qkv", 3*256, 256)
		linear(file+"attn_out", model+"attn.proj", 256, 256)
		linear(file+"ffn_up", model+"mlp.linear_fc1", 512, 256)
		linear(file+"ffn_down", model+"mlp.linear_fc2", 256, 512)
	}
	norm("v.post_ln", "merger.norm", 256)
	linear("mm.0", "merger.linear_fc1", joined, joined)
	linear("mm.2", "merger.linear_fc2", 256, joined)
	for merger, block := range []int{0, 2} {
		file, model := fmt.Sprintf("v.deepstack.%d.", block), fmt.Sprintf("deepstack_merger_list.%d.", merger)
		norm(file+"norm", model+"norm", joined)
		linear(file+"fc1", model+"linear_fc1", joined, joined)
		linear(file+"fc2", model+"linear_fc2", 256, joined)
	}
	return b
}
