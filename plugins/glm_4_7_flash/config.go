// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda/hfconfig"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

const architecture = "Glm4MoeLiteForCausalLM"

// Config is what config.json says, in its own words.
type Config struct {
	hfconfig.Checkpoint
	hfconfig.Decoder     // as many kv heads as heads: the latents are shared, not heads
	IntermediateSize int `json:"intermediate_size"` // of dense layers

	QLoraRank      *int `json:"q_lora_rank"` // null: queries are not compressed
	KVLoraRank     int  `json:"kv_lora_rank"`
	QKNopeHeadDim  int  `json:"qk_nope_head_dim"`
	QKRopeHeadDim  int  `json:"qk_rope_head_dim"`
	QKHeadDim      int  `json:"qk_head_dim"` // if given, the sum of both
	VHeadDim       int  `json:"v_head_dim"`
	HeadDim        int  `json:"head_dim"` // if given, what is rotated
	AttentionBias  bool `json:"attention_bias"`
	RopeInterleave bool `json:"rope_interleave"`

	MLPLayerTypes       []string `json:"mlp_layer_types"`
	FirstKDenseReplace  int      `json:"first_k_dense_replace"` // where mlp_layer_types is absent
	MoEIntermediateSize int      `json:"moe_intermediate_size"`
	NRoutedExperts      int      `json:"n_routed_experts"`
	NumExpertsPerTok    int      `json:"num_experts_per_tok"`
	NSharedExperts      int      `json:"n_shared_experts"`
	NGroup              int      `json:"n_group"`
	TopKGroup           int      `json:"topk_group"`
	NormTopKProb        bool     `json:"norm_topk_prob"`
	RoutedScalingFactor float64  `json:"routed_scaling_factor"`

	ScoreFactor float64 `json:"-"` // on attention scores, besides 1/sqrt(qk_head_dim)

	// LatentNormEps is the eps of q_a_layernorm and kv_a_layernorm, about which implementations differ: transformers has
	// 1e-6 whatever the config says, all others rms_norm_eps; the vendor has not said. It matters where a latent's mean
	// square is near it.
	LatentNormEps float64 `json:"-"`

	// What is not built, and must say so.
	ScoringFunc  string `json:"scoring_func"`
	TopKMethod   string `json:"topk_method"`
	MoELayerFreq int    `json:"moe_layer_freq"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	queryRank := 768
	c := Config{
		Decoder:   hfconfig.Decoder{HiddenAct: "silu", RMSNormEps: 1e-5, RopeTheta: 10000},
		QLoraRank: &queryRank, RopeInterleave: true, FirstKDenseReplace: 1, NSharedExperts: 1, NGroup: 1, TopKGroup: 1,
		NormTopKProb: true, RoutedScalingFactor: 1.8, ScoringFunc: "sigmoid", TopKMethod: "noaux_tc", MoELayerFreq: 1,
	}
	f, err := hfconfig.Read(text, &c)
	if err != nil {
		return c, err
	}
	c.check(f.Problems)
	c.LatentNormEps = c.RMSNormEps
	c.readRope(f.Rope())
	c.FP8Block = f.FP8()
	return c, f.Err()
}

// readRope reads the rope and, where it is stretched, what that does to scores.
func (c *Config) readRope(r *hfconfig.Rope) {
	r.Whole()
	c.ReadRope(r)
	c.ScoreFactor = 1
	if c.Yarn != nil {
		if all := r.Number("mscale_all_dim", 0); all != 0 { // queries and keys both have it
			c.ScoreFactor = math.Pow(nn.YarnAttention(c.Yarn.Factor, all), 2)
			r.Refuse(!(c.ScoreFactor > 0 && c.ScoreFactor < 1<<16), "mscale_all_dim is %v, which multiplies scores by %v", all, c.ScoreFactor)
		}
	}
	r.Done()
}

// Sparse says whether a layer has experts; any other is dense.
func (c Config) Sparse(layer int) bool {
	if c.MLPLayerTypes != nil {
		return layer < len(c.MLPLayerTypes) && c.MLPLayerTypes[layer] == "sparse"
	}
	return layer >= c.FirstKDenseReplace
}

// Published says whether these are the dimensions of GLM-4.7-Flash.
func (c Config) Published() bool {
	return c.VocabSize == 154880 && c.HiddenSize == 2048 && c.IntermediateSize == 10240 && c.NumHiddenLayers == 47 && c.NumAttentionHeads == 20 &&
		c.QLoraRank != nil && *c.QLoraRank == 768 && c.KVLoraRank == 512 && c.QKNopeHeadDim == 192 && c.QKRopeHeadDim == 64 && c.VHeadDim == 256 &&
		c.RopeTheta == 1e6 && !c.TieWordEmbeddings && !c.Sparse(0) && c.Sparse(1) && c.MoEIntermediateSize == 1536 && c.NRoutedExperts == 64 &&
		c.NumExpertsPerTok == 4 && c.NSharedExperts == 1 && c.RoutedScalingFactor == 1.8
}
