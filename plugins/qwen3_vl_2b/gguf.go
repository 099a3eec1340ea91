// gguf.go is how GGUF files have this architecture: the decoder in one, the tower in another beside it, mmproj-*.gguf. Which key stands for what of
// config.json and preprocessor_config.json, which tensor for which.

package main

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda/hfgguf"
)

var inGGUF = hfgguf.Architecture{Name: "qwen3vl", Config: ggufConfig, Rules: ggufRules, Finish: ggufFinish, Sight: ggufSight}

// ggufConfig has the decoder's keys in text_config, and what is of the whole outside.
func ggufConfig(k *hfgguf.Keys) hfgguf.Config {
	text := k.Decoder(architecture, "qwen3_vl_text")
	text["head_dim"] = k.Int("attention.key_length")
	sections := k.Ints("rope.dimension_sections")
	k.Refuse(len(sections) < 3, "key qwen3vl.rope.dimension_sections has %d numbers; three are needed", len(sections))
	rope, _ := text["rope_scaling"].(hfgguf.Config)
	if rope == nil {
		rope = hfgguf.Config{"rope_type": "default"}
	}
	rope["mrope_section"], rope["mrope_interleaved"] = sections[:min(3, len(sections))], true
	text["rope_scaling"] = rope
	c := hfgguf.Config{"architectures": []string{architecture}, "model_type": "qwen3_vl", "tie_word_embeddings": text["tie_word_embeddings"], "text_config": text}
	for key, token := range map[string]string{"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"} {
		if id, ok := k.Token(token); ok {
			c[key] = id
		}
	}
	delete(text, "architectures")
	delete(text, "tie_word_embeddings")
	return c
}

// ggufSight adds the tower's part to the config, and is what pictures are made to. How many pixels they may have the file does not say: the
// published numbers hold.
func ggufSight(k *hfgguf.Keys, c hfgguf.Config) any {
	kind := k.Text("projector_type") // newer files say it of each part that they have
	if kind == "" {
		kind = k.Text("vision.projector_type")
	}
	k.Refuse(kind != "qwen3vl_merger", "key clip.projector_type is %q, not \"qwen3vl_merger\"", kind)
	var indexes []int
	for i, on := range k.Ints("vision.is_deepstack_layers") {
		if on != 0 {
			indexes = append(indexes, i)
		}
	}
	patch, merge, table := k.Int("vision.patch_size"), k.IntOr("vision.spatial_merge_size", 2), k.Shape("v.position_embd.weight")
	k.Refuse(len(table) != 2, "tensor v.position_embd.weight is missing, or no matrix")
	positions := 0
	if len(table) == 2 {
		positions = table[0]
	}
	c["vision_config"] = hfgguf.Config{
		"model_type": "qwen3_vl", "depth": k.Int("vision.block_count"), "hidden_size": k.Int("vision.embedding_length"),
		"intermediate_size": k.Int("vision.feed_forward_length"), "num_heads": k.Int("vision.attention.head_count"),
		"out_hidden_size": k.Int("vision.projection_dim"), "patch_size": patch, "temporal_patch_size": 2, "spatial_merge_size": merge,
		"num_position_embeddings": positions, "deepstack_visual_indexes": indexes,
	}
	return hfgguf.Config{"patch_size": patch, "temporal_patch_size": 2, "merge_size": merge,
		"image_mean": k.Floats("vision.image_mean"), "image_std": k.Floats("vision.image_std")}
}

func ggufRules(k *hfgguf.Keys) hfgguf.Rules {
	const at = "model.visual."
	return hfgguf.With(hfgguf.Embeddings("model."), hfgguf.Norms("model.", "blk.N.ffn_norm.weight"), k.Attention("model."), hfgguf.DenseMLP("model."),
		hfgguf.Named(map[string]string{
			"v.patch_embd.weight": "slice.0", "v.patch_embd.weight.N": "slice.1", "v.patch_embd.bias": at + "patch_embed.proj.bias",
			"v.position_embd.weight": at + "pos_embed.weight",
			"v.blk.N.ln1.*":          at + "blocks.N.norm1.*", "v.blk.N.ln2.*": at + "blocks.N.norm2.*",
			"v.blk.N.attn_qkv.*": at + "blocks.N.attn.qkv.*", "v.blk.N.attn_out.*": at + "blocks.N.attn.proj.*",
			"v.blk.N.ffn_up.*": at + "blocks.N.mlp.linear_fc1.*", "v.blk.N.ffn_down.*": at + "blocks.N.mlp.linear_fc2.*",
			"v.post_ln.*": at + "merger.norm.*", "mm.N.weight": "mm.N.weight", "mm.N.bias": "mm.N.bias",
			"v.deepstack.N.norm.*": "deepstack.N.norm.*", "v.deepstack.N.fc1.*": "deepstack.N.linear_fc1.*", "v.deepstack.N.fc2.*": "deepstack.N.linear_fc2.*",
		})).Only(k.Layers())
}

// ggufFinish joins the two slices of the window that patches are seen through, and gives the mergers their numbers: in the file they have those
// of the blocks whose results they read.
func ggufFinish(_ *hfgguf.Keys, t *hfgguf.Table) {
	const at = "model.visual."
	first, ok := t.Take("slice.0")
	second, also := t.Take("slice.1")
	if ok && also {
		t.Slices(at+"patch_embed.proj.weight", first, second)
	}
	for _, kind := range []string{".weight", ".bias"} {
		t.Rename("mm.0"+kind, at+"merger.linear_fc1"+kind)
		t.Rename("mm.2"+kind, at+"merger.linear_fc2"+kind)
	}
	for block, merger := 0, 0; block < 1<<12; block++ {
		found := false
		for _, part := range []string{"norm", "linear_fc1", "linear_fc2"} {
			for _, kind := range []string{".weight", ".bias"} {
				found = t.Rename(fmt.Sprintf("deepstack.%d.%s%s", block, part, kind), fmt.Sprintf("%sdeepstack_merger_list.%d.%s%s", at, merger, part, kind)) || found
			}
		}
		if found {
			merger++
		}
	}
}
