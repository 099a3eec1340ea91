// validate.go says in sentences what a config lacks, what in it is impossible and what is not built.

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checks collects sentences.
type checks struct{ errs []error }

func (k *checks) refuse(wrong bool, format string, args ...any) {
	if wrong {
		k.errs = append(k.errs, fmt.Errorf("config.json: "+format, args...))
	}
}

// notBuilt refuses a key that asks for a computation this plugin does not have.
func (k *checks) notBuilt(wrong bool, key string, value any, only string) {
	k.refuse(wrong, "%s is %v, which is not built; only %s is", key, value, only)
}

// size refuses a number that is absent or absurd.
func (k *checks) size(key string, value, most int) {
	k.refuse(value < 1 || value > most, "%s is %d; a number from 1 to %d is needed", key, value, most)
}

// Validate checks a config; all that is wrong is in one error.
func (c Config) Validate() error {
	var k checks
	k.refuse(!slices.Contains(c.Architectures, architecture), "architectures is %q; this plugin runs %s", c.Architectures, architecture)
	k.refuse(c.ModelType != "" && c.ModelType != "qwen3_vl", "model_type is %q; this plugin runs qwen3_vl", c.ModelType)
	for _, id := range []struct {
		key   string
		value int
	}{{"image_token_id", c.ImageTokenID}, {"video_token_id", c.VideoTokenID}} {
		k.refuse(id.value < 0 || id.value >= max(c.Text.VocabSize, 1), "%s is %d of a vocabulary of %d", id.key, id.value, c.Text.VocabSize)
	}
	k.refuse(c.ImageTokenID == c.VideoTokenID, "image_token_id and video_token_id are both %d", c.ImageTokenID)
	k.refuse(c.Vision.OutHiddenSize != c.Text.HiddenSize, "vision_config.out_hidden_size is %d, not text_config.hidden_size %d", c.Vision.OutHiddenSize, c.Text.HiddenSize)
	c.Text.check(&k)
	c.Vision.check(&k)
	return errors.Join(k.errs...)
}

func (c TextConfig) check(k *checks) {
	k.refuse(c.ModelType != "" && c.ModelType != "qwen3_vl_text", "text_config.model_type is %q; this plugin runs qwen3_vl_text", c.ModelType)
	k.size("text_config.vocab_size", c.VocabSize, 1<<24)
	k.size("text_config.hidden_size", c.HiddenSize, 1<<20)
	k.size("text_config.intermediate_size", c.IntermediateSize, 1<<20)
	k.size("text_config.num_hidden_layers", c.NumHiddenLayers, 1<<12)
	k.size("text_config.num_attention_heads", c.NumAttentionHeads, 1<<12)
	k.size("text_config.num_key_value_heads", c.NumKeyValueHeads, 1<<12)
	k.size("text_config.head_dim", c.HeadDim, 1<<12)
	k.size("text_config.max_position_embeddings", c.MaxPositionEmbeddings, 1<<28)
	k.refuse(c.NumKeyValueHeads > 0 && c.NumAttentionHeads%c.NumKeyValueHeads != 0,
		"text_config.num_attention_heads is %d, which num_key_value_heads %d does not divide", c.NumAttentionHeads, c.NumKeyValueHeads)
	k.refuse(c.HeadDim%2 != 0, "text_config.head_dim is %d; rotation needs an even number", c.HeadDim)
	k.refuse(!(c.RMSNormEps > 0 && c.RMSNormEps < 1), "text_config.rms_norm_eps is %v; a number between 0 and 1 is needed", c.RMSNormEps)

	k.notBuilt(c.HiddenAct != "silu", "text_config.hidden_act", c.HiddenAct, "silu")
	k.notBuilt(c.AttentionBias, "text_config.attention_bias", true, "false")
	k.notBuilt(c.UseSlidingWindow, "text_config.use_sliding_window", true, "false")
	if c.PartialRotary != nil {
		k.notBuilt(*c.PartialRotary != 1, "text_config.partial_rotary_factor", *c.PartialRotary, "1")
	}
	k.notBuilt(c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers, "text_config.layer_types", fmt.Sprintf("a list of %d", len(c.LayerTypes)), "one entry per layer")
	for i, kind := range c.LayerTypes {
		k.notBuilt(kind != "full_attention", fmt.Sprintf("text_config.layer_types[%d]", i), kind, "full_attention")
	}
}

func (c VisionConfig) check(k *checks) {
	k.refuse(c.ModelType != "" && c.ModelType != "qwen3_vl" && c.ModelType != "qwen3_vl_vision", "vision_config.model_type is %q; this plugin runs qwen3_vl_vision", c.ModelType)
	k.size("vision_config.depth", c.Depth, 1<<12)
	k.size("vision_config.hidden_size", c.HiddenSize, 1<<16)
	k.size("vision_config.intermediate_size", c.IntermediateSize, 1<<18)
	k.size("vision_config.num_heads", c.NumHeads, 1<<12)
	k.size("vision_config.out_hidden_size", c.OutHiddenSize, 1<<20)
	k.size("vision_config.patch_size", c.PatchSize, 1<<8)
	k.size("vision_config.temporal_patch_size", c.TemporalPatchSize, 1<<4)
	k.size("vision_config.spatial_merge_size", c.SpatialMergeSize, 1<<4)
	k.size("vision_config.num_position_embeddings", c.NumPositionEmbeddings, 1<<24)
	if c.NumHeads > 0 {
		k.refuse(c.HiddenSize%c.NumHeads != 0, "vision_config.hidden_size is %d, which num_heads %d does not divide", c.HiddenSize, c.NumHeads)
		k.refuse(c.headDim()%4 != 0, "vision_config.hidden_size %d in num_heads %d makes heads of %d; rotation by row and column needs a multiple of 4",
			c.HiddenSize, c.NumHeads, c.headDim())
	}
	k.refuse(len(c.DeepStackVisualIndexes) > 1<<12, "vision_config.deepstack_visual_indexes has %d entries", len(c.DeepStackVisualIndexes))
	for i, block := range c.DeepStackVisualIndexes {
		k.refuse(block < 0 || block >= c.Depth, "vision_config.deepstack_visual_indexes[%d] is %d of %d blocks", i, block, c.Depth)
		k.refuse(slices.Contains(c.DeepStackVisualIndexes[:i], block), "vision_config.deepstack_visual_indexes has %d twice", block)
	}
	k.notBuilt(c.InChannels != 3, "vision_config.in_channels", c.InChannels, "3")
	_, built := gelus[c.HiddenAct]
	k.notBuilt(!built, "vision_config.hidden_act", c.HiddenAct, strings.Join(slices.Sorted(maps.Keys(gelus)), ", "))
}
