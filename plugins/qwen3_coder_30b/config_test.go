package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// published is config.json of Qwen3-Coder-30B-A3B-Instruct.
const published = `{
	"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "decoder_sparse_step": 1,
	"eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
	"intermediate_size": 5472, "max_position_embeddings": 262144, "max_window_layers": 28, "mlp_only_layers": [],
	"model_type": "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128,
	"num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "output_router_logits": false, "qkv_bias": false,
	"rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 10000000, "router_aux_loss_coef": 0.0,
	"shared_expert_intermediate_size": 0, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
	"transformers_version": "4.52.3", "use_cache": true, "use_qk_norm": true, "use_sliding_window": false, "vocab_size": 151936
}`

// fp8 is what the FP8 release says besides.
const fp8 = `"quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128],
	"modules_to_not_convert": ["lm_head", "model.layers.0.mlp.gate"]}`

var configs = configtest.Suite[Config]{
	Published: published, Parse: ParseConfig, WholeHeads: true,
	Spellings: map[string]func(c Config) bool{tiny: func(c Config) bool { return c.RopeTheta == 1e7 && c.NumExperts == 8 && c.NumExpertsPerTok == 2 }},
	Reads: map[string]func(c Config) bool{
		``: func(c Config) bool {
			return c.Context() == 262144 && c.HeadDim == 128 && c.Yarn == nil && c.FP8Block == [2]int{}
		},
		fp8: func(c Config) bool { return c.Published() && c.FP8Block == [2]int{128, 128} },
		configtest.Without("head_dim", "hidden_act", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type", "rope_scaling"): func(c Config) bool {
			return c.HeadDim == 64 && c.RMSNormEps == 1e-6 && c.RopeTheta == 10000 && !c.TieWordEmbeddings && c.Yarn == nil
		},
		configtest.Without("norm_topk_prob", "decoder_sparse_step", "mlp_only_layers", "use_qk_norm", "shared_expert_intermediate_size"): func(c Config) bool {
			return !c.NormTopKProb && c.DecoderSparseStep == 1 && c.Sparse(0) && c.Sparse(47)
		},
		`"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262144}`: func(c Config) bool {
			return c.Yarn != nil && c.Yarn.Factor == 4 && c.Context() == 1<<20 && New(c, 1).Shape().Context == 1<<20
		},
	},
	Others: []string{`"num_hidden_layers": 47`, `"rope_theta": 1e6`, `"tie_word_embeddings": true`, `"head_dim": 64`, `"num_experts": 64`, `"num_experts_per_tok": 4`, `"norm_topk_prob": false`, `"mlp_only_layers": [3]`},
	Bounds: configtest.Bounds{
		"num_experts": {0, 1 << 14}, "decoder_sparse_step": {1, 1 << 12},
		"num_experts_per_tok": {1, 1 << 14}, "moe_intermediate_size": {1, 1 << 20},
	},
	Accepted: []string{
		`"num_experts_per_tok": 128`,
		`"num_experts_per_tok": 0, "num_experts": 0`,
	},
	Refused: configtest.Refusals{
		{`"moe_intermediate_size": "-"`, `moe_intermediate_size is 0; a number from 1 to`},
		{`"mlp_only_layers": [7], "intermediate_size": 0`, `intermediate_size is 0; a number from 1 to`},
		{`"num_experts": 7`, `num_experts_per_tok is 8 of 7 experts`},
		{`"num_local_experts": 64`, `num_experts is 128 and num_local_experts 64; they mean the same`},
		{`"num_local_experts": "64"`, `num_local_experts: a whole number was expected, found string`},
		{`"decoder_sparse_step": 0`, `decoder_sparse_step is 0; a number from 1 to`},
		{`"shared_expert_intermediate_size": 512`, `shared_expert_intermediate_size is 512, which is not built; only 0 is`},
		{`"use_qk_norm": false`, `use_qk_norm is false, which is not built; only true is`},
		{`"attention_bias": true`, `attention_bias is true, which is not built`},
		{`"num_experts_per_tok": 129`, `num_experts_per_tok is 129 of 128 experts`},
	},
}

var with = configs.With

func TestConfig(t *testing.T) { configs.Test(t) }

// A layer is built as the config says of it, and num_experts has two names.
func TestLayersAreSparseOrDense(t *testing.T) {
	for change, want := range map[string]string{
		`"decoder_sparse_step": 3, "intermediate_size": 9`:    "00100100",
		`"mlp_only_layers": [1, 2], "decoder_sparse_step": 2`: "00010101",
		`"num_experts": 0, "moe_intermediate_size": "-"`:      "00000000",
		`"num_experts": "-", "num_local_experts": 16`:         "11111111",
		`"num_local_experts": 128`:                            "11111111",
	} {
		c, got := configs.Parsed(t, `"num_hidden_layers": 8, `+change), ""
		for i, l := range New(c, 0).Layers {
			_, sparse := l.MLP.(*Mixture)
			if got += map[bool]string{false: "0", true: "1"}[sparse]; sparse != c.Sparse(i) {
				t.Errorf("with %s: layer %d is built otherwise", change, i)
			}
		}
		if got != want {
			t.Errorf("with %s: %s, not %s", change, got, want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	plugin.Fuzz(f,
		with(f, fp8),
		with(f, `"decoder_sparse_step": 2, "mlp_only_layers": [-1, 3], "num_local_experts": -9`),
		[]byte(`{"rope_parameters": {"rope_type": 3}, "architectures": [1]}`))
}
