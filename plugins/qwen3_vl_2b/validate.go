// validate.go says in sentences what a config lacks, what in it is impossible and what is not built.

package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/hfconfig"
)

func (c Config) check(p *hfconfig.Problems) {
	c.CheckClass(p, architecture, "qwen3_vl")
	vocab := c.Text.VocabSize
	p.Refuse(c.ImageTokenID < 0 || c.ImageTokenID >= max(vocab, 1), "image_token_id is %d of a vocabulary of %d", c.ImageTokenID, vocab)
	p.Refuse(c.VideoTokenID < 0 || c.VideoTokenID >= max(vocab, 1), "video_token_id is %d of a vocabulary of %d", c.VideoTokenID, vocab)
	p.Refuse(c.ImageTokenID == c.VideoTokenID, "image_token_id and video_token_id are both %d", c.ImageTokenID)
	p.Refuse(c.Vision.OutHiddenSize != c.Text.HiddenSize, "vision_config: out_hidden_size is %d, not text_config's hidden_size %d", c.Vision.OutHiddenSize, c.Text.HiddenSize)
}

func (c TextConfig) check(p *hfconfig.Problems) {
	p.ModelType(c.ModelType, "qwen3_vl_text")
	c.CheckDecoder(p, "full_attention")
	c.CheckWholeHeads(p, c.HeadDim)
	p.Size("intermediate_size", c.IntermediateSize, 1<<20)
}

func (c VisionConfig) check(p *hfconfig.Problems) {
	p.ModelType(c.ModelType, "qwen3_vl_vision", "qwen3_vl")
	p.Size("depth", c.Depth, 1<<12)
	p.Size("hidden_size", c.HiddenSize, 1<<16)
	p.Size("intermediate_size", c.IntermediateSize, 1<<18)
	p.Size("num_heads", c.NumHeads, 1<<12)
	p.Size("out_hidden_size", c.OutHiddenSize, 1<<20)
	p.Size("patch_size", c.PatchSize, 1<<8)
	p.Size("temporal_patch_size", c.TemporalPatchSize, 1<<4)
	p.Size("spatial_merge_size", c.SpatialMergeSize, 1<<4)
	p.Size("num_position_embeddings", c.NumPositionEmbeddings, 1<<24)
	p.Divides("hidden_size", c.HiddenSize, "num_heads", c.NumHeads)
	if c.NumHeads > 0 {
		p.Refuse(c.headDim()%4 != 0, "hidden_size %d in num_heads %d makes heads of %d; rotation by row and column needs a multiple of 4",
			c.HiddenSize, c.NumHeads, c.headDim())
	}
	blocks := c.DeepStackVisualIndexes
	p.Refuse(len(blocks) > c.Depth, "deepstack_visual_indexes has %d entries for %d blocks", len(blocks), c.Depth)
	for i, block := range blocks[:min(len(blocks), max(c.Depth, 0), 1<<12)] {
		p.Refuse(block < 0 || block >= c.Depth, "deepstack_visual_indexes[%d] is %d of %d blocks", i, block, c.Depth)
		p.Refuse(slices.Contains(blocks[:i], block), "deepstack_visual_indexes has %d twice", block)
	}
	p.NotBuilt(c.InChannels != 3, "in_channels", c.InChannels, "3")
	_, built := gelus[c.HiddenAct]
	p.NotBuilt(!built, "hidden_act", c.HiddenAct, strings.Join(slices.Sorted(maps.Keys(gelus)), ", "))
}
