package main

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// published is config.json of Qwen3-Coder-Next.
const published = `{
	"architectures": ["Qwen3NextForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "decoder_sparse_step": 1,
	"eos_token_id": 151645, "full_attention_interval": 4, "head_dim": 256, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
	"intermediate_size": 5120, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
	"linear_value_head_dim": 128, "max_position_embeddings": 262144, "mlp_only_layers": [], "model_type": "qwen3_next", "moe_intermediate_size": 512,
	"norm_topk_prob": true, "num_attention_heads": 16, "num_experts": 512, "num_experts_per_tok": 10, "num_hidden_layers": 48,
	"num_key_value_heads": 2, "output_router_logits": false, "partial_rotary_factor": 0.25, "rms_norm_eps": 1e-06, "rope_scaling": null,
	"rope_theta": 5000000, "router_aux_loss_coef": 0.001, "shared_expert_intermediate_size": 512, "tie_word_embeddings": false,
	"torch_dtype": "bfloat16", "transformers_version": "4.57.0.dev0", "use_cache": true, "vocab_size": 151936
}`

var configs = configtest.Suite[Config]{
	Published: published, Parse: ParseConfig,
	Spellings: map[string]func(c Config) bool{tiny: func(c Config) bool {
		return !c.attends(0) && !c.attends(1) && !c.attends(2) && c.attends(3) && c.NumHiddenLayers == 4 && c.RopeTheta == 5e6 && c.RotaryDim == 16
	}},
	Forget: func(c *Config) { c.LayerTypes = nil }, // the one key that only the new spelling has
	Reads: map[string]func(c Config) bool{
		``: func(c Config) bool {
			return c.Context() == 262144 && c.RotaryDim == 64 && c.Yarn == nil && c.FP8Block == [2]int{}
		},
		layerTypes(48, 4): Config.Published,
		configtest.Without("full_attention_interval"):    Config.Published,
		`"quantization_config": {"quant_method": "fp8"}`: Config.Published,
		configtest.Without("head_dim", "hidden_act", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type", "rope_scaling", "partial_rotary_factor",
			"full_attention_interval", "linear_conv_kernel_dim", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers", "intermediate_size"): func(c Config) bool {
			return c.HeadDim == 256 && c.RMSNormEps == 1e-6 && c.RopeTheta == 10000 && c.RotaryDim == 64 && !c.TieWordEmbeddings && c.Yarn == nil &&
				c.FullAttentionInterval == 4 && c.LinearConvKernelDim == 4 && c.NormTopKProb && c.Sparse(0) && !c.attends(0) && c.attends(3)
		},
	},
	Others: []string{
		`"num_hidden_layers": 47`, `"rope_theta": 1e7`, `"tie_word_embeddings": true`, `"head_dim": 512`, `"num_experts": 336`, `"norm_topk_prob": false`,
		`"mlp_only_layers": [0]`, `"linear_value_head_dim": 64`, `"full_attention_interval": 3`, layerTypes(48, 2),
	},
	Bounds: configtest.Bounds{
		"head_dim": {1, 1 << 12}, "num_experts": {0, 1 << 14}, "decoder_sparse_step": {1, 1 << 12},
		"num_experts_per_tok": {1, 1 << 14}, "moe_intermediate_size": {1, 1 << 20},
		"full_attention_interval": {1, 1 << 12}, "linear_num_key_heads": {1, 1 << 12}, "linear_num_value_heads": {1, 1 << 12},
		"linear_key_head_dim": {1, 1 << 10}, "linear_value_head_dim": {1, 1 << 12}, "linear_conv_kernel_dim": {1, 1 << 6},
		"shared_expert_intermediate_size": {1, 1 << 20},
	},
	Accepted: []string{
		`"num_experts_per_tok": 512`,
		`"linear_num_key_heads": 32`,
	},
	Refused: configtest.Refusals{
		{`"num_key_value_heads": 5`, `num_attention_heads is 16, which num_key_value_heads 5 does not divide`},
		{`"linear_num_key_heads": 5`, `linear_num_value_heads is 32, which linear_num_key_heads 5 does not divide`},
		{`"linear_num_key_heads": "-"`, `linear_num_key_heads is 0`},
		{`"linear_num_value_heads": 8192`, `linear_num_value_heads is 8192`},
		{`"linear_key_head_dim": 0`, `linear_key_head_dim is 0`},
		{`"linear_value_head_dim": -4`, `linear_value_head_dim is -4`},
		{`"linear_conv_kernel_dim": 0`, `linear_conv_kernel_dim is 0`},
		{`"linear_conv_kernel_dim": 65`, `linear_conv_kernel_dim is 65; a number from 1 to 64 is needed`},
		{`"full_attention_interval": 0`, `full_attention_interval is 0`},
		{`"decoder_sparse_step": 0`, `decoder_sparse_step is 0`},
		{`"num_experts": -1`, `num_experts is -1; a number from 0 to`},
		{`"num_experts_per_tok": 513`, `num_experts_per_tok is 513 of 512 experts`},
		{`"moe_intermediate_size": "-"`, `moe_intermediate_size is 0`},
		{`"shared_expert_intermediate_size": 0`, `shared_expert_intermediate_size is 0; a number from 1 to`},
		{`"mlp_only_layers": [1], "intermediate_size": "-"`, `intermediate_size is 0`},
		{`"head_dim": 0`, `head_dim is 0`},
		{`"head_dim": 20`, `partial_rotary_factor is 0.25: it turns 5 of head_dim 20; an even number of them is needed`},
		{`"partial_rotary_factor": 1.5`, `partial_rotary_factor is 1.5: it turns 384 of head_dim 256`},
		{`"attention_bias": true`, `attention_bias is true, which is not built`},
		{`"use_qk_norm": false`, `use_qk_norm is false, which is not built; only true is`},
		{`"attn_output_gate": false`, `attn_output_gate is false, which is not built; only true is`},
		{`"num_hidden_layers": 2, "layer_types": ["linear_attention", "sliding_attention"]`, `layer_types[1] is "sliding_attention", which is not built; only linear_attention and full_attention are`},
	},
}

var with = configs.With

func TestConfig(t *testing.T) { configs.Test(t) }

// layerTypes spells a pattern out.
func layerTypes(layers, interval int) string {
	kinds := make([]string, layers)
	for i := range kinds {
		kinds[i] = `"linear_attention"`
		if (i+1)%interval == 0 {
			kinds[i] = `"full_attention"`
		}
	}
	return `"layer_types": [` + strings.Join(kinds, ", ") + `]`
}

// A layer is built as the config says of it.
func TestLayersAreSparseOrDense(t *testing.T) {
	for change, want := range map[string]string{
		`"num_hidden_layers": 6`: "ssssss",
		`"num_hidden_layers": 6, "mlp_only_layers": [1], "decoder_sparse_step": 3`:                                     "ddsdds",
		`"num_hidden_layers": 6, "num_experts": 0, "moe_intermediate_size": "-", "shared_expert_intermediate_size": 0`: "dddddd",
	} {
		got := ""
		for _, l := range New(configs.Parsed(t, change), 0, Spelling{}).Layers {
			kind := "d"
			if _, ok := l.MLP.(*Mixture); ok {
				kind = "s"
			}
			got += kind
		}
		if got != want {
			t.Errorf("%s: layers %s, not %s", change, got, want)
		}
	}
}

// A stretched rope turns the same part of a head.
func TestRopeConfigs(t *testing.T) {
	tests := []struct {
		change  string
		rotary  int
		theta   float64
		factor  float64 // of yarn, 0: none
		context int
	}{
		{`"partial_rotary_factor": 0.5`, 128, 5e6, 0, 262144},
		{`"rope_theta": "-", "partial_rotary_factor": "-", "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}`, 192, 1e4, 0, 262144},
		{`"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262144}`, 64, 5e6, 4, 1 << 20},
		{`"rope_parameters": {"rope_type": "yarn", "factor": 2, "partial_rotary_factor": 0.125}`, 32, 5e6, 2, 1 << 19},
	}
	for _, tt := range tests {
		c, factor := configs.Parsed(t, tt.change), 0.0
		if c.Yarn != nil {
			factor = c.Yarn.Factor
		}
		if c.RotaryDim != tt.rotary || c.RopeTheta != tt.theta || factor != tt.factor || c.Context() != tt.context {
			t.Errorf("with %s: %d turn, theta %v, factor %v, context %d", tt.change, c.RotaryDim, c.RopeTheta, factor, c.Context())
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	plugin.Fuzz(f,
		with(f, `"decoder_sparse_step": 2, "mlp_only_layers": [-1, 3], "rope_scaling": {"rope_type": "yarn", "factor": 4.0}`),
		with(f, `"head_dim": -3, "rope_parameters": {"partial_rotary_factor": 1e300}`),
		[]byte(`{"rope_parameters": {"partial_rotary_factor": 1e300}, "head_dim": -3, "architectures": [1]}`))
}
