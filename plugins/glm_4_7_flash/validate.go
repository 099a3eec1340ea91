// validate.go says in sentences what a config lacks, what in it is impossible and what is not built.

package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda/hfconfig"
)

func (c Config) check(p *hfconfig.Problems) {
	c.CheckClass(p, architecture, "glm4_moe_lite")
	c.CheckDecoder(p, "full_attention")
	c.checkAttention(p)
	c.checkLayers(p)
	c.checkBuilt(p)
}

func (c Config) checkAttention(p *hfconfig.Problems) {
	p.Size("kv_lora_rank", c.KVLoraRank, 1<<12)
	p.Size("qk_nope_head_dim", c.QKNopeHeadDim, 1<<12)
	p.Size("qk_rope_head_dim", c.QKRopeHeadDim, 1<<12)
	p.Size("v_head_dim", c.VHeadDim, 1<<12)
	if c.QLoraRank != nil {
		p.Size("q_lora_rank", *c.QLoraRank, 1<<16)
	}
	p.Refuse(c.NumKeyValueHeads != c.NumAttentionHeads, "num_key_value_heads is %d, not num_attention_heads %d; latent attention has as many",
		c.NumKeyValueHeads, c.NumAttentionHeads)
	p.Even("qk_rope_head_dim", c.QKRopeHeadDim)
	p.Refuse(c.QKHeadDim != 0 && c.QKHeadDim != c.QKNopeHeadDim+c.QKRopeHeadDim,
		"qk_head_dim is %d, not the sum of qk_nope_head_dim %d and qk_rope_head_dim %d", c.QKHeadDim, c.QKNopeHeadDim, c.QKRopeHeadDim)
	p.Refuse(c.HeadDim != 0 && c.HeadDim != c.QKRopeHeadDim, "head_dim is %d, not qk_rope_head_dim %d", c.HeadDim, c.QKRopeHeadDim)
}

// checkLayers checks which layers are of which kind, and the numbers of a kind only if there is one.
func (c Config) checkLayers(p *hfconfig.Problems) {
	p.Refuse(c.MLPLayerTypes == nil && c.FirstKDenseReplace < 0, "first_k_dense_replace is %d; a number from 0 on is needed", c.FirstKDenseReplace)
	p.Layers("mlp_layer_types", c.MLPLayerTypes, c.NumHiddenLayers, "dense", "sparse")
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
	p.NotBuilt(c.ScoringFunc != "sigmoid", "scoring_func", c.ScoringFunc, "sigmoid")
	p.NotBuilt(c.TopKMethod != "noaux_tc", "topk_method", c.TopKMethod, "noaux_tc")
	p.NotBuilt(c.MoELayerFreq != 1, "moe_layer_freq", c.MoELayerFreq, "1")
}
