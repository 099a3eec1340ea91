package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// published is config.json of Qwen3-0.6B.
const published = `{
	"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
	"eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02,
	"intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
	"num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
	"rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
	"transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936
}`

// fp8 is what the FP8 release of it says besides.
const fp8 = `"quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}`

// yarn stretches the context.
const yarn = `"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}`

var configs = configtest.Suite[Config]{
	Published: published, Parse: ParseConfig, WholeHeads: true,
	Spellings: map[string]func(c Config) bool{tiny: func(c Config) bool { return c.RopeTheta == 1e6 }},
	Forget:    func(c *Config) { c.LayerTypes = nil }, // the one key that only the new spelling has; it was checked
	Reads: map[string]func(c Config) bool{
		``: func(c Config) bool {
			return c.Context() == 40960 && c.HeadDim == 128 && c.Yarn == nil && c.FP8Block == [2]int{}
		},
		fp8: func(c Config) bool { return c.Published() && c.FP8Block == [2]int{128, 128} },
		configtest.Without("head_dim", "hidden_act", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type", "rope_scaling"): func(c Config) bool {
			return c.HeadDim == 128 && c.RMSNormEps == 1e-6 && c.RopeTheta == 10000 && !c.TieWordEmbeddings && c.Yarn == nil
		},
		yarn: func(c Config) bool {
			return c.Yarn != nil && c.Yarn.Original == 32768 && c.Context() == 131072 && New(c, 1).Shape().Context == 131072
		},
	},
	Others: []string{`"num_hidden_layers": 27`, `"rope_theta": 5e6`, `"tie_word_embeddings": false`, `"head_dim": 64`, `"attention_bias": true`},
	Bounds: configtest.Bounds{
		"intermediate_size": {1, 1 << 20}, "head_dim": {1, 1 << 12},
	},
	Refused: configtest.Refusals{
		{`"intermediate_size": 4294967296`, `intermediate_size is 4294967296; a number from 1 to`},
		{`"attention_bias": 1`, `attention_bias: true or false was expected, found number`},
	},
}

var with = configs.With

func TestConfig(t *testing.T) { configs.Test(t) }

func FuzzParseConfig(f *testing.F) {
	plugin.Fuzz(f,
		with(f, yarn),
		[]byte(`{"rope_parameters": {"rope_type": 3}, "architectures": [1]}`))
}
