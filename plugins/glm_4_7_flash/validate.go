// validate.go says in sentences what a config lacks, what in it is impossible and what is not built.

package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Validate checks a config; all that is wrong is in one error.
func (c Config) Validate() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: "+format, args...))
		}
	}
	refuse(!slices.Contains(c.Architectures, architecture), "architectures is %q; this plugin runs %s", c.Architectures, architecture)
	refuse(c.ModelType != "" && c.ModelType != "glm4_moe_lite", "model_type is %q; this plugin runs glm4_moe_lite", c.ModelType)
	for _, n := range c.sizes() {
		refuse(n.value < 1 || n.value > n.max, "%s is %d; a number from 1 to %d is needed", n.key, n.value, n.max)
	}
	refuse(c.NumKeyValueHeads != c.NumAttentionHeads, "num_key_value_heads is %d, not num_attention_heads %d; latent attention has as many", c.NumKeyValueHeads, c.NumAttentionHeads)
	refuse(c.QKRopeHeadDim%2 != 0, "qk_rope_head_dim is %d; rotation needs an even number", c.QKRopeHeadDim)
	refuse(c.QKHeadDim != 0 && c.QKHeadDim != c.QKNopeHeadDim+c.QKRopeHeadDim, "qk_head_dim is %d, not the sum of qk_nope_head_dim %d and qk_rope_head_dim %d", c.QKHeadDim, c.QKNopeHeadDim, c.QKRopeHeadDim)
	refuse(c.HeadDim != 0 && c.HeadDim != c.QKRopeHeadDim, "head_dim is %d, not qk_rope_head_dim %d", c.HeadDim, c.QKRopeHeadDim)
	refuse(!(c.RMSNormEps > 0 && c.RMSNormEps < 1), "rms_norm_eps is %v; a number between 0 and 1 is needed", c.RMSNormEps)
	refuse(c.MLPLayerTypes == nil && c.FirstKDenseReplace < 0, "first_k_dense_replace is %d; a number from 0 on is needed", c.FirstKDenseReplace)
	refuse(c.MLPLayerTypes != nil && len(c.MLPLayerTypes) != c.NumHiddenLayers, "mlp_layer_types has %d entries for %d layers", len(c.MLPLayerTypes), c.NumHiddenLayers)
	for i, kind := range c.MLPLayerTypes {
		refuse(kind != "dense" && kind != "sparse", "mlp_layer_types[%d] is %q; only dense and sparse are known", i, kind)
	}
	if _, sparse := c.kinds(); sparse {
		errs = append(errs, c.validateRouter())
	}
	return errors.Join(append(errs, c.notBuilt()...)...)
}

func (c Config) validateRouter() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: "+format, args...))
		}
	}
	refuse(c.NSharedExperts < 0 || c.NSharedExperts > 1<<8, "n_shared_experts is %d; a number from 0 to %d is needed", c.NSharedExperts, 1<<8)
	refuse(c.NumExpertsPerTok > c.NRoutedExperts, "num_experts_per_tok is %d of %d experts", c.NumExpertsPerTok, c.NRoutedExperts)
	refuse(!(c.RoutedScalingFactor > 0) || math.IsInf(c.RoutedScalingFactor, 0), "routed_scaling_factor is %v; a number above 0 is needed", c.RoutedScalingFactor)
	refuse(c.NGroup < 1 || c.NRoutedExperts%max(c.NGroup, 1) != 0, "n_group is %d, which does not divide n_routed_experts %d", c.NGroup, c.NRoutedExperts)
	if c.NGroup > 1 {
		group := c.NRoutedExperts / c.NGroup
		refuse(group < 2, "n_group %d leaves %d expert in a group, whose score is that of its two best", c.NGroup, group)
		refuse(c.TopKGroup > c.NGroup, "topk_group is %d of %d groups", c.TopKGroup, c.NGroup)
		refuse(c.TopKGroup*group < c.NumExpertsPerTok, "topk_group %d groups of %d have fewer than num_experts_per_tok %d", c.TopKGroup, group, c.NumExpertsPerTok)
	}
	refuse(c.TopKGroup < 1, "topk_group is %d; a number from 1 on is needed", c.TopKGroup)
	return errors.Join(errs...)
}

// kinds says which kinds of layer there are.
func (c Config) kinds() (dense, sparse bool) {
	for i := range min(c.NumHiddenLayers, 1<<12) {
		dense, sparse = dense || !c.Sparse(i), sparse || c.Sparse(i)
	}
	return dense, sparse
}

type size struct {
	key        string
	value, max int
}

// sizes are the numbers that must be given; those of a kind of layer only if there is one.
func (c Config) sizes() []size {
	list := []size{
		{"vocab_size", c.VocabSize, 1 << 24}, {"hidden_size", c.HiddenSize, 1 << 20}, {"num_hidden_layers", c.NumHiddenLayers, 1 << 12},
		{"num_attention_heads", c.NumAttentionHeads, 1 << 12}, {"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 28},
		{"kv_lora_rank", c.KVLoraRank, 1 << 16}, {"qk_nope_head_dim", c.QKNopeHeadDim, 1 << 12}, {"qk_rope_head_dim", c.QKRopeHeadDim, 1 << 12},
		{"v_head_dim", c.VHeadDim, 1 << 12},
	}
	if c.QLoraRank != nil {
		list = append(list, size{"q_lora_rank", *c.QLoraRank, 1 << 16})
	}
	dense, sparse := c.kinds()
	if dense {
		list = append(list, size{"intermediate_size", c.IntermediateSize, 1 << 20})
	}
	if sparse {
		list = append(list, size{"n_routed_experts", c.NRoutedExperts, 1 << 12}, size{"num_experts_per_tok", c.NumExpertsPerTok, 1 << 12},
			size{"moe_intermediate_size", c.MoEIntermediateSize, 1 << 20})
	}
	return list
}

// notBuilt names each key that asks for a computation this plugin does not have.
func (c Config) notBuilt() (errs []error) {
	refuse := func(wrong bool, key string, value any, only string) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: %s is %v, which is not built; only %s is", key, value, only))
		}
	}
	refuse(c.HiddenAct != "silu", "hidden_act", c.HiddenAct, "silu")
	refuse(c.MLPBias, "mlp_bias", true, "false")
	refuse(c.ScoringFunc != "sigmoid", "scoring_func", c.ScoringFunc, "sigmoid")
	refuse(c.TopKMethod != "noaux_tc", "topk_method", c.TopKMethod, "noaux_tc")
	refuse(c.MoELayerFreq != 1, "moe_layer_freq", c.MoELayerFreq, "1")
	refuse(c.UseSlidingWindow, "use_sliding_window", true, "false")
	refuse(c.IsEncoderDecoder, "is_encoder_decoder", true, "false")
	refuse(c.AddCrossAttention, "add_cross_attention", true, "false")
	if c.PartialRotary != nil {
		refuse(*c.PartialRotary != 1, "partial_rotary_factor", *c.PartialRotary, "1")
	}
	refuse(c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers, "layer_types", fmt.Sprintf("a list of %d", len(c.LayerTypes)), "one entry per layer")
	for i, kind := range c.LayerTypes {
		refuse(kind != "full_attention", fmt.Sprintf("layer_types[%d]", i), kind, "full_attention")
	}
	return errs
}
