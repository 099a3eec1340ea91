package main

import (
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// published is config.json of GLM-4.7-Flash.
const published = `{
	"architectures": ["Glm4MoeLiteForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "dtype": "bfloat16",
	"eos_token_id": [154820, 154827, 154829], "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 10240,
	"kv_lora_rank": 512, "max_position_embeddings": 202752, "model_type": "glm4_moe_lite", "moe_intermediate_size": 1536, "n_group": 1,
	"n_routed_experts": 64, "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 20, "num_experts_per_tok": 4,
	"num_hidden_layers": 47, "num_key_value_heads": 20, "num_nextn_predict_layers": 1, "pad_token_id": 154820, "partial_rotary_factor": 1.0,
	"q_lora_rank": 768, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 1000000,
	"routed_scaling_factor": 1.8, "tie_word_embeddings": false, "topk_group": 1, "topk_method": "noaux_tc", "transformers_version": "5.0.0rc0",
	"v_head_dim": 256, "vocab_size": 154880
}`

var configs = configtest.Suite[Config]{
	Published: published, Parse: ParseConfig,
	Spellings: map[string]func(c Config) bool{tiny: func(c Config) bool {
		return kinds(c, c.NumHiddenLayers) == "0111" && c.RopeTheta == 1e6 && c.LatentNormEps == 1e-5
	}},
	Forget: func(c *Config) { c.MLPLayerTypes, c.QKHeadDim = nil, 0 }, // checked, and say no more
	Reads: map[string]func(c Config) bool{
		``: func(c Config) bool {
			return c.Context() == 202752 && c.Yarn == nil && c.RopeInterleave && c.ScoreFactor == 1
		},
		configtest.Without("hidden_act", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type", "rope_scaling", "first_k_dense_replace", "n_group",
			"n_shared_experts", "norm_topk_prob", "q_lora_rank", "routed_scaling_factor", "topk_group", "topk_method", "partial_rotary_factor", "attention_bias"): func(c Config) bool {
			return c.RMSNormEps == 1e-5 && c.RopeTheta == 10000 && !c.TieWordEmbeddings && c.Yarn == nil && !c.Sparse(0) && c.Sparse(1) && c.NGroup == 1 && c.TopKGroup == 1 &&
				c.NSharedExperts == 1 && c.NormTopKProb && c.QLoraRank != nil && *c.QLoraRank == 768 && c.RoutedScalingFactor == 1.8 && !c.AttentionBias
		},
		`"q_lora_rank": null`: func(c Config) bool { return c.QLoraRank == nil }, // null is not absent
	},
	Others: []string{`"num_hidden_layers": 46`, `"rope_theta": 5e6`, `"tie_word_embeddings": true`, `"q_lora_rank": null`, `"routed_scaling_factor": 1`},
	Bounds: configtest.Bounds{
		"kv_lora_rank": {1, 1 << 12}, "q_lora_rank": {1, 1 << 16}, "qk_nope_head_dim": {1, 1 << 12},
		"qk_rope_head_dim": {1, 1 << 12}, "v_head_dim": {1, 1 << 12}, "intermediate_size": {1, 1 << 20},
		"n_routed_experts": {1, 1 << 12}, "num_experts_per_tok": {1, 1 << 12}, "moe_intermediate_size": {1, 1 << 20},
		"n_shared_experts": {0, 1 << 8},
	},
	Accepted: []string{
		`"num_experts_per_tok": 64`, `"n_group": 32, "topk_group": 2`, `"n_group": 32, "topk_group": 1, "num_experts_per_tok": 2`,
		`"n_group": 64, "topk_group": 1, "n_routed_experts": 128, "num_experts_per_tok": 2`, `"n_group": 4, "topk_group": 4`, `"n_group": 64, "topk_group": 64, "n_routed_experts": 128`,
		`"routed_scaling_factor": 1e-9`, `"qk_head_dim": 256`, `"head_dim": 64`, `"num_hidden_layers": 1`, `"num_hidden_layers": 1, "first_k_dense_replace": 1, "n_routed_experts": 0`,
	},
	Refused: configtest.Refusals{
		{`"kv_lora_rank": "-"`, `kv_lora_rank is 0; a number from 1 to`},
		{`"q_lora_rank": 0`, `q_lora_rank is 0; a number from 1 to`},
		{`"qk_nope_head_dim": 0`, `qk_nope_head_dim is 0`},
		{`"qk_rope_head_dim": 0`, `qk_rope_head_dim is 0; a number from 1 to`},
		{`"qk_rope_head_dim": 63`, `qk_rope_head_dim is 63; rotation needs an even number`},
		{`"qk_head_dim": 192`, `qk_head_dim is 192, not the sum of qk_nope_head_dim 192 and qk_rope_head_dim 64`},
		{`"head_dim": 128`, `head_dim is 128, not qk_rope_head_dim 64`},
		{`"v_head_dim": "-"`, `v_head_dim is 0`},
		{`"num_key_value_heads": 4`, `num_key_value_heads is 4, not num_attention_heads 20`},
		{`"intermediate_size": "-"`, `intermediate_size is 0`},
		{`"moe_intermediate_size": "-"`, `moe_intermediate_size is 0`},
		{`"n_routed_experts": "-"`, `n_routed_experts is 0`},
		{`"num_experts_per_tok": "-"`, `num_experts_per_tok is 0`},
		{`"num_experts_per_tok": 65`, `num_experts_per_tok is 65 of 64 experts`},
		{`"n_shared_experts": -1`, `n_shared_experts is -1; a number from 0 to`},
		{`"n_group": 7`, `n_group is 7, which does not divide n_routed_experts 64`},
		{`"n_group": 0`, `n_group is 0, which does not divide`},
		{`"n_group": 64, "topk_group": 8`, `n_group 64 leaves 1 expert in a group`},
		{`"n_group": 4, "topk_group": 5`, `topk_group is 5 of 4 groups`},
		{`"n_group": 32, "topk_group": 1`, `topk_group 1 groups of 2 have fewer than num_experts_per_tok 4`},
		{`"topk_group": 0`, `topk_group is 0; a number from 1 on is needed`},
		{`"routed_scaling_factor": 0`, `routed_scaling_factor is 0; a number above 0 is needed`},
		{`"first_k_dense_replace": -1`, `first_k_dense_replace is -1; a number from 0 on is needed`},
		{`"mlp_layer_types": ["dense"]`, `mlp_layer_types has 1 entries for 47 layers`},
		{`"num_hidden_layers": 1, "mlp_layer_types": ["moe"]`, `mlp_layer_types[0] is "moe", which is not built; only dense and sparse are`},
		{`"scoring_func": "softmax"`, `scoring_func is softmax, which is not built; only sigmoid is`},
		{`"topk_method": "greedy"`, `topk_method is greedy, which is not built; only noaux_tc is`},
		{`"moe_layer_freq": 2`, `moe_layer_freq is 2, which is not built; only 1 is`},
		{`"partial_rotary_factor": 0.5`, `partial_rotary_factor is 0.5, which is not built; only 1 is`},
		{`"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}`, `partial_rotary_factor is 0.5, which is not built`},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "mscale_all_dim": 1e200}`, `mscale_all_dim is 1e+200, which multiplies scores by +Inf`},
		{`"n_group": 32, "topk_group": 1, "num_experts_per_tok": 3`, `topk_group 1 groups of 2 have fewer than num_experts_per_tok 3`},
		{`"n_group": 32, "topk_group": 2, "num_experts_per_tok": 5`, `topk_group 2 groups of 2 have fewer than num_experts_per_tok 5`},
		{`"n_group": -1`, `n_group is -1, which does not divide`},
		{`"qk_head_dim": 257`, `qk_head_dim is 257, not the sum`},
		{`"num_key_value_heads": 21`, `num_key_value_heads is 21, not`},
		{`"num_hidden_layers": 2, "mlp_layer_types": ["dense", "dense", "sparse"]`, `mlp_layer_types has 3 entries for 2 layers`},
		{`"routed_scaling_factor": -1`, `routed_scaling_factor is -1`},
	},
}

var with = configs.With

func TestConfig(t *testing.T) { configs.Test(t) }

// kinds says of the first layers which are sparse, 1, and which dense, 0.
func kinds(c Config, layers int) (s string) {
	for i := range layers {
		s += map[bool]string{false: "0", true: "1"}[c.Sparse(i)]
	}
	return s
}

func TestWhichLayersAreSparse(t *testing.T) {
	for change, want := range map[string]string{
		`"num_hidden_layers": 4, "first_k_dense_replace": 0`:                                                                   "1111",
		`"num_hidden_layers": 4, "first_k_dense_replace": 3`:                                                                   "0001",
		`"num_hidden_layers": 4, "first_k_dense_replace": 9`:                                                                   "0000",
		`"num_hidden_layers": 4, "first_k_dense_replace": 1, "mlp_layer_types": ["sparse", "dense", "dense", "sparse"]`:        "1001",
		`"num_hidden_layers": 4, "first_k_dense_replace": "-", "mlp_layer_types": ["sparse", "sparse", "dense", "dense"]`:      "1100",
		`"num_hidden_layers": 4, "mlp_layer_types": ["dense", "dense", "dense", "dense"], "n_routed_experts": 0, "n_group": 0`: "0000",
	} {
		if got := kinds(configs.Parsed(t, change), 4); got != want {
			t.Errorf("with %s: %s, not %s", change, got, want)
		}
	}
}

// With a stretched rope the scores of latent attention grow as well, by the square of what mscale_all_dim says.
func TestYarnConfigs(t *testing.T) {
	tests := []struct {
		change             string
		attention, factor2 float64
		context            int
	}{
		{`"rope_scaling": {"rope_type": "yarn", "factor": 2}`, 0.1*math.Log(2) + 1, 1, 405504},
		{`"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 65536, "mscale": 1.0, "mscale_all_dim": 1.0}`, 1, math.Pow(0.1*math.Log(4)+1, 2), 262144},
		{`"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 2, "mscale_all_dim": 0.5}`, 0.1*math.Log(2) + 1, math.Pow(0.05*math.Log(2)+1, 2), 405504},
	}
	for _, tt := range tests {
		c := configs.Parsed(t, tt.change)
		if c.Yarn == nil || math.Abs(c.Yarn.AttentionFactor-tt.attention) > 1e-12 || math.Abs(c.ScoreFactor-tt.factor2) > 1e-12 || c.Context() != tt.context {
			t.Errorf("with %s: %+v, scores by %v, context %d", tt.change, c.Yarn, c.ScoreFactor, c.Context())
		}
	}
}

// FuzzParseConfig: whatever is accepted is of a sane size.
func FuzzParseConfig(f *testing.F) {
	configs.Fuzz(f, func(t *testing.T, c Config) {
		if c.Context() < 1 || !(c.ScoreFactor > 0) || !(c.RopeTheta > 1) || c.QKRopeHeadDim%2 != 0 {
			t.Errorf("accepted: context %d, scores by %v, theta %v, %d elements turned", c.Context(), c.ScoreFactor, c.RopeTheta, c.QKRopeHeadDim)
		}
	},
		with(f, `"rope_scaling": {"type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 1}, "q_lora_rank": null`),
		with(f, `"num_hidden_layers": 9999999999, "n_group": -3`))
}
