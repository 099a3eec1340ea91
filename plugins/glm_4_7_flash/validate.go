// validate.go says in sentences what a config lacks, what in it is impossible and what is not built.

package main

import (
	"fmt"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda/hfconfig"
)

func (c Config) check(p *hfconfig.Problems) {
	p.Refuse(!slices.Contains(c.Architectures, architecture), "architectures is %q; this plugin runs %s", c.Architectures, architecture)
	p.Refuse(c.ModelType != "" && c.ModelType != "glm4_moe_lite", "model_type is %q; this plugin runs glm4_moe_lite", c.ModelType)
	p.Size("vocab_size", c.VocabSize, 1<<24)
	p.Size("hidden_size", c.HiddenSize, 1<<20)
	p.Size("num_hidden_layers", c.NumHiddenLayers, 1<<12)
	p.Size("max_position_embeddings", c.MaxPositionEmbeddings, 1<<28)
	p.Refuse(!(c.RMSNormEps > 0 && c.RMSNormEps < 1), "rms_norm_eps is %v; a number between 0 and 1 is needed", c.RMSNormEps)
	c.checkAttention(p)
	c.checkLayers(p)
	c.checkBuilt(p)
}

func (c Config) checkAttention(p *hfconfig.Problems) {
	p.Size("num_attention_heads", c.NumAttentionHeads, 1<<12)
	p.Size("kv_lora_rank", c.KVLoraRank, 1<<12)
	p.Size("qk_nope_head_dim", c.QKNopeHeadDim, 1<<12)
	p.Size("qk_rope_head_dim", c.QKRopeHeadDim, 1<<12)
	p.Size("v_head_dim", c.VHeadDim, 1<<12)
	if c.QLoraRank != nil {
		p.Size("q_lora_rank", *c.QLoraRank, 1<<16)
	}
	p.Refuse(c.NumKeyValueHeads != c.NumAttentionHeads, "num_key_value_heads is %d, not num_attention_heads %d; latent attention has as many",
		c.NumKeyValueHeads, c.NumAttentionHeads)
	p.Refuse(c.QKRopeHeadDim%2 != 0, "qk_rope_head_dim is %d; rotation needs an even number", c.QKRopeHeadDim)
	p.Refuse(c.QKHeadDim != 0 && c.QKHeadDim != c.QKNopeHeadDim+c.QKRopeHeadDim,
		"qk_head_dim is %d, not the sum of qk_nope_head_dim %d and qk_rope_head_dim %d", c.QKHeadDim, c.QKNopeHeadDim, c.QKRopeHeadDim)
	p.Refuse(c.HeadDim != 0 && c.HeadDim != c.QKRopeHeadDim, "head_dim is %d, not qk_rope_head_dim %d", c.HeadDim, c.QKRopeHeadDim)
}

// checkLayers checks which layers are of which kind, and the numbers of a kind only if there is one.
func (c Config) checkLayers(p *hfconfig.Problems) {
	p.Refuse(c.MLPLayerTypes == nil && c.FirstKDenseReplace < 0, "first_k_dense_replace is %d; a number from 0 on is needed", c.FirstKDenseReplace)
	p.Refuse(c.MLPLayerTypes != nil && len(c.MLPLayerTypes) != c.NumHiddenLayers, "mlp_layer_types has %d entries for %d layers",
		len(c.MLPLayerTypes), c.NumHiddenLayers)
	for i, kind := range c.MLPLayerTypes {
		p.Refuse(kind != "dense" && kind != "sparse", "mlp_layer_types[%d] is %q; only dense and sparse are known", i, kind)
	}
	var dense, sparse bool
	for i := range min(c.NumHiddenLayers, 1<<12) {
		dense, sparse = dense || !c.Sparse(i), sparse || c.Sparse(i)
	}
	if dense {
		p.Size("intermediate_size", c.IntermediateSize, 1<<20)
	}
	if sparse {
		c.checkExperts(p)
	}
}

func (c Config) checkExperts(p *hfconfig.Problems) {
	p.Size("n_routed_experts", c.NRoutedExperts, 1<<12)
	p.Size("num_experts_per_tok", c.NumExpertsPerTok, 1<<12)
	p.Size("moe_intermediate_size", c.MoEIntermediateSize, 1<<20)
	p.Refuse(c.NSharedExperts < 0 || c.NSharedExperts > 1<<8, "n_shared_experts is %d; a number from 0 to %d is needed", c.NSharedExperts, 1<<8)
	p.Refuse(c.NumExpertsPerTok > c.NRoutedExperts, "num_experts_per_tok is %d of %d experts", c.NumExpertsPerTok, c.NRoutedExperts)
	p.Refuse(!(c.RoutedScalingFactor > 0) || math.IsInf(c.RoutedScalingFactor, 0), "routed_scaling_factor is %v; a number above 0 is needed", c.RoutedScalingFactor)
	p.Refuse(c.NGroup < 1 || c.NRoutedExperts%max(c.NGroup, 1) != 0, "n_group is %d, which does not divide n_routed_experts %d", c.NGroup, c.NRoutedExperts)
	p.Refuse(c.TopKGroup < 1, "topk_group is %d; a number from 1 on is needed", c.TopKGroup)
	if c.NGroup > 1 {
		group := c.NRoutedExperts / c.NGroup
		p.Refuse(group < 2, "n_group %d leaves %d expert in a group, whose score is that of its two best", c.NGroup, group)
		p.Refuse(c.TopKGroup > c.NGroup, "topk_group is %d of %d groups", c.TopKGroup, c.NGroup)
		p.Refuse(c.TopKGroup*group < c.NumExpertsPerTok, "topk_group %d groups of %d have fewer than num_experts_per_tok %d", c.TopKGroup, group, c.NumExpertsPerTok)
	}
}

// checkBuilt names each key that asks for a computation this plugin does not have.
func (c Config) checkBuilt(p *hfconfig.Problems) {
	p.NotBuilt(c.HiddenAct != "silu", "hidden_act", c.HiddenAct, "silu")
	p.NotBuilt(c.MLPBias, "mlp_bias", true, "false")
	p.NotBuilt(c.ScoringFunc != "sigmoid", "scoring_func", c.ScoringFunc, "sigmoid")
	p.NotBuilt(c.TopKMethod != "noaux_tc", "topk_method", c.TopKMethod, "noaux_tc")
	p.NotBuilt(c.MoELayerFreq != 1, "moe_layer_freq", c.MoELayerFreq, "1")
	p.NotBuilt(c.UseSlidingWindow, "use_sliding_window", true, "false")
	p.NotBuilt(c.IsEncoderDecoder, "is_encoder_decoder", true, "false")
	p.NotBuilt(c.AddCrossAttention, "add_cross_attention", true, "false")
	p.NotBuilt(c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers, "layer_types", fmt.Sprintf("a list of %d", len(c.LayerTypes)), "one entry per layer")
	for i, kind := range c.LayerTypes {
		p.NotBuilt(kind != "full_attention", fmt.Sprintf("layer_types[%d]", i), kind, "full_attention")
	}
}
