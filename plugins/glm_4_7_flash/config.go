// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

const architecture = "Glm4MoeLiteForCausalLM"

// Config is what config.json says, in its own words.
type Config struct {
	Architectures         []string `json:"architectures"`
	ModelType             string   `json:"model_type"`
	VocabSize             int      `json:"vocab_size"`
	HiddenSize            int      `json:"hidden_size"`
	IntermediateSize      int      `json:"intermediate_size"` // of dense layers
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	NumAttentionHeads     int      `json:"num_attention_heads"`
	NumKeyValueHeads      int      `json:"num_key_value_heads"` // must be the same: the latents are shared, not heads
	MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	RMSNormEps            float64  `json:"rms_norm_eps"`
	TieWordEmbeddings     bool     `json:"tie_word_embeddings"`

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

	RopeTheta   float64  `json:"-"` // see rope.go
	Yarn        *nn.Yarn `json:"-"`
	ScoreFactor float64  `json:"-"` // on attention scores, besides 1/sqrt(qk_head_dim)
	FP8Block    [2]int   `json:"-"` // see quantization.go

	// LatentNormEps is the eps of q_a_layernorm and kv_a_layernorm, about which implementations differ: transformers has
	// 1e-6 whatever the config says, all others rms_norm_eps; the vendor has not said. It matters where a latent's mean
	// square is near it.
	LatentNormEps float64 `json:"-"`

	// What is not built, and must say so.
	HiddenAct         string   `json:"hidden_act"`
	MLPBias           bool     `json:"mlp_bias"`
	ScoringFunc       string   `json:"scoring_func"`
	TopKMethod        string   `json:"topk_method"`
	MoELayerFreq      int      `json:"moe_layer_freq"`
	LayerTypes        []string `json:"layer_types"`
	UseSlidingWindow  bool     `json:"use_sliding_window"`
	PartialRotary     *float64 `json:"partial_rotary_factor"`
	IsEncoderDecoder  bool     `json:"is_encoder_decoder"`
	AddCrossAttention bool     `json:"add_cross_attention"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	queryRank := 768
	c := Config{
		HiddenAct: "silu", RMSNormEps: 1e-5, QLoraRank: &queryRank, RopeInterleave: true, FirstKDenseReplace: 1, NSharedExperts: 1,
		NGroup: 1, TopKGroup: 1, NormTopKProb: true, RoutedScalingFactor: 1.8, ScoringFunc: "sigmoid", TopKMethod: "noaux_tc", MoELayerFreq: 1,
	}
	var rope ropeKeys
	var quantization quantizationKeys
	for _, part := range []any{&c, &rope, &quantization} {
		if err := decode(text, part); err != nil {
			return c, fmt.Errorf("config.json: %w", err)
		}
	}
	c.LatentNormEps = c.RMSNormEps
	err := errors.Join(rope.apply(&c), quantization.apply(&c))
	if err := errors.Join(c.Validate(), err); err != nil {
		return c, err
	}
	return c, nil
}

// decode reads JSON and words a wrong type as people say it.
func decode(text []byte, into any) error {
	err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), into)
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("an object was expected, found %s", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %s was expected, found %s", wrong.Field, inWords(wrong.Type.Kind()), wrong.Value)
	case errors.As(err, &broken):
		return fmt.Errorf("is broken JSON at byte %d: %w", broken.Offset, err)
	}
	return err
}

func inWords(k reflect.Kind) string {
	switch k {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "an object"
	}
	return "a " + k.String()
}

// Sparse says whether a layer has experts; any other is dense.
func (c Config) Sparse(layer int) bool {
	if c.MLPLayerTypes != nil {
		return layer < len(c.MLPLayerTypes) && c.MLPLayerTypes[layer] == "sparse"
	}
	return layer >= c.FirstKDenseReplace
}

// Context is the number of positions the checkpoint is made for; a yarn rope stretches it.
func (c Config) Context() int {
	if c.Yarn == nil {
		return c.MaxPositionEmbeddings
	}
	return max(c.MaxPositionEmbeddings, int(math.Min(c.Yarn.Factor*c.Yarn.Original, 1<<28)))
}

// Published says whether these are the dimensions of GLM-4.7-Flash.
func (c Config) Published() bool {
	return c.VocabSize == 154880 && c.HiddenSize == 2048 && c.IntermediateSize == 10240 && c.NumHiddenLayers == 47 && c.NumAttentionHeads == 20 &&
		c.QLoraRank != nil && *c.QLoraRank == 768 && c.KVLoraRank == 512 && c.QKNopeHeadDim == 192 && c.QKRopeHeadDim == 64 && c.VHeadDim == 256 &&
		c.RopeTheta == 1e6 && !c.TieWordEmbeddings && !c.Sparse(0) && c.Sparse(1) && c.MoEIntermediateSize == 1536 && c.NRoutedExperts == 64 &&
		c.NumExpertsPerTok == 4 && c.NSharedExperts == 1 && c.RoutedScalingFactor == 1.8
}
