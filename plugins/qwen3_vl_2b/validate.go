// validate.go says in sentences what a config lacks, what in it is impossible and what is not built.

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/hfconfig"
)

func (c Config) check(p *hfconfig.Problems) {
	p.Refuse(!slices.Contains(c.Architectures, architecture), "architectures is %q; this plugin runs %s", c.Architectures, architecture)
	p.Refuse(c.ModelType != "" && c.ModelType != "qwen3_vl", "model_type is %q; this plugin runs qwen3_vl", c.ModelType)
	vocab := c.Text.VocabSize
	p.Refuse(c.ImageTokenID < 0 || c.ImageTokenID >= max(vocab, 1), "image_token_id is %d of a vocabulary of %d", c.ImageTokenID, vocab)
	p.Refuse(c.VideoTokenID < 0 || c.VideoTokenID >= max(vocab, 1), "video_token_id is %d of a vocabulary of %d", c.VideoTokenID, vocab)
	p.Refuse(c.ImageTokenID == c.VideoTokenID, "image_token_id and video_token_id are both %d", c.ImageTokenID)
	p.Refuse(c.Vision.OutHiddenSize != c.Text.HiddenSize, "vision_config: out_hidden_size is %d, not text_config's hidden_size %d", c.Vision.OutHiddenSize, c.Text.HiddenSize)
}

func (c TextConfig) check(p *hfconfig.Problems) {
	p.Refuse(c.ModelType != "" && c.ModelType != "qwen3_vl_text", "model_type is %q; this plugin runs qwen3_vl_text", c.ModelType)
	p.Size("vocab_size", c.VocabSize, 1<<24)
	p.Size("hidden_size", c.HiddenSize, 1<<20)
	p.Size("intermediate_size", c.IntermediateSize, 1<<20)
	p.Size("num_hidden_layers", c.NumHiddenLayers, 1<<12)
	p.Size("num_attention_heads", c.NumAttentionHeads, 1<<12)
	p.Size("num_key_value_heads", c.NumKeyValueHeads, 1<<12)
	p.Size("head_dim", c.HeadDim, 1<<12)
	p.Size("max_position_embeddings", c.MaxPositionEmbeddings, 1<<28)
	p.Refuse(c.NumKeyValueHeads > 0 && c.NumAttentionHeads%c.NumKeyValueHeads != 0,
		"num_attention_heads is %d, which num_key_value_heads %d does not divide", c.NumAttentionHeads, c.NumKeyValueHeads)
	p.Refuse(c.HeadDim%2 != 0, "head_dim is %d; rotation needs an even number", c.HeadDim)
	p.Refuse(!(c.RMSNormEps > 0 && c.RMSNormEps < 1), "rms_norm_eps is %v; a number between 0 and 1 is needed", c.RMSNormEps)

	p.NotBuilt(c.HiddenAct != "silu", "hidden_act", c.HiddenAct, "silu")
	p.NotBuilt(c.UseSlidingWindow, "use_sliding_window", true, "false")
	p.NotBuilt(c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers, "layer_types", fmt.Sprintf("a list of %d", len(c.LayerTypes)), "one entry per layer")
	for i, kind := range c.LayerTypes {
		p.NotBuilt(kind != "full_attention", fmt.Sprintf("layer_types[%d]", i), kind, "full_attention")
	}
}

func (c VisionConfig) check(p *hfconfig.Problems) {
	p.Refuse(c.ModelType != "" && c.ModelType != "qwen3_vl" && c.ModelType != "qwen3_vl_vision", "model_type is %q; this plugin runs qwen3_vl_vision", c.ModelType)
	p.Size("depth", c.Depth, 1<<12)
	p.Size("hidden_size", c.HiddenSize, 1<<16)
	p.Size("intermediate_size", c.IntermediateSize, 1<<18)
	p.Size("num_heads", c.NumHeads, 1<<12)
	p.Size("out_hidden_size", c.OutHiddenSize, 1<<20)
	p.Size("patch_size", c.PatchSize, 1<<8)
	p.Size("temporal_patch_size", c.TemporalPatchSize, 1<<4)
	p.Size("spatial_merge_size", c.SpatialMergeSize, 1<<4)
	p.Size("num_position_embeddings", c.NumPositionEmbeddings, 1<<24)
	if c.NumHeads > 0 {
		p.Refuse(c.HiddenSize%c.NumHeads != 0, "hidden_size is %d, which num_heads %d does not divide", c.HiddenSize, c.NumHeads)
		p.Refuse(c.headDim()%4 != 0, "hidden_size %d in num_heads %d makes heads of %d; rotation by row and column needs a multiple of 4",
			c.HiddenSize, c.NumHeads, c.headDim())
	}
	p.Refuse(len(c.DeepStackVisualIndexes) > 1<<12, "deepstack_visual_indexes has %d entries", len(c.DeepStackVisualIndexes))
	for i, block := range c.DeepStackVisualIndexes {
		p.Refuse(block < 0 || block >= c.Depth, "deepstack_visual_indexes[%d] is %d of %d blocks", i, block, c.Depth)
		p.Refuse(slices.Contains(c.DeepStackVisualIndexes[:i], block), "deepstack_visual_indexes has %d twice", block)
	}
	p.NotBuilt(c.InChannels != 3, "in_channels", c.InChannels, "3")
	_, built := gelus[c.HiddenAct]
	p.NotBuilt(!built, "hidden_act", c.HiddenAct, strings.Join(slices.Sorted(maps.Keys(gelus)), ", "))
}
