package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
)

// published is config.json of Qwen3-4B-Instruct-2507.
const published = `{
	"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
	"eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2560, "initializer_range": 0.02,
	"intermediate_size": 9728, "max_position_embeddings": 262144, "max_window_layers": 36, "model_type": "qwen3",
	"num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null,
	"rope_theta": 5000000, "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
	"transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936
}`

// fp8 is what the FP8 release of it says besides.
const fp8 = `"quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128],
	"modules_to_not_convert": ["lm_head", "model.layers.0.input_layernorm"]}`

var (
	configs = configtest.Suite[Config]{Published: published, Parse: ParseConfig}
	with    = configs.With
)

func TestBothSpellingsAreOneConfig(t *testing.T) {
	for dir, blocks := range map[string][2]int{tiny: {}, tinyFP8: {128, 128}} {
		configs.Same(t, dir+"/config.json", dir+"/config.v5.json", func(c *Config) {
			if c.RopeTheta != 5e6 || c.Published() || c.NumAttentionHeads*c.HeadDim == c.HiddenSize {
				t.Errorf("theta %v, published %v, %d heads of %d", c.RopeTheta, c.Published(), c.NumAttentionHeads, c.HeadDim)
			}
			if c.FP8Block != blocks {
				t.Errorf("blocks %v, not %v", c.FP8Block, blocks)
			}
			c.LayerTypes = nil // the one key that only the new spelling has; it was checked
		})
	}
}

func TestPublishedConfig(t *testing.T) {
	c := configs.Parsed(t, "")
	if !c.Published() || c.Context() != 262144 || c.HeadDim != 128 || c.Yarn != nil || c.FP8Block != [2]int{} {
		t.Errorf("%+v", c)
	}
	if c, err := ParseConfig(with(t, fp8)); err != nil || !c.Published() || c.FP8Block != [2]int{128, 128} {
		t.Errorf("in FP8: %+v, %v", c, err)
	}
	for _, change := range []string{`"num_hidden_layers": 35`, `"rope_theta": 1e6`, `"tie_word_embeddings": false`, `"head_dim": 80`, `"attention_bias": true`} {
		if c, err := ParseConfig(with(t, change)); err != nil || c.Published() {
			t.Errorf("with %s it is still the published model (%v)", change, err)
		}
	}
}

func TestAbsentKeysMeanWhatTheReferenceTakesThemFor(t *testing.T) {
	c, err := ParseConfig(with(t, `"head_dim": "-", "hidden_act": "-", "rms_norm_eps": "-", "rope_theta": "-", "tie_word_embeddings": "-", "model_type": "-", "rope_scaling": "-"`))
	if err != nil {
		t.Fatal(err)
	}
	if c.HeadDim != 128 || c.RMSNormEps != 1e-6 || c.RopeTheta != 10000 || c.TieWordEmbeddings || c.Yarn != nil {
		t.Errorf("%+v", c)
	}
}

func TestWhatEveryDecoderRefuses(t *testing.T) { configs.Decoder(t) }

func TestRefusedConfigs(t *testing.T) {
	configs.Refuses(t, configtest.Refusals{
		{`"intermediate_size": 4294967296`, `intermediate_size is 4294967296; a number from 1 to`},
		{`"num_key_value_heads": 5`, `num_attention_heads is 32, which num_key_value_heads 5 does not divide`},
		{`"head_dim": 127`, `head_dim is 127; rotation needs an even number`},
		{`"attention_bias": 1`, `attention_bias: true or false was expected, found number`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}`, `weight_block_size is [128]; two numbers from 1 on are needed`},
		{`"partial_rotary_factor": 0.5`, `partial_rotary_factor is 0.5, which is not built; only 1 is`},
		{`"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}`, `partial_rotary_factor is 0.5, which is not built`},
	})
}

func TestAYarnRopeStretchesTheContext(t *testing.T) {
	c := configs.Parsed(t, `"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262144}`)
	if c.Yarn == nil || c.Yarn.Factor != 4 || c.Context() != 1<<20 || New(c, 1).Shape().Context != 1<<20 {
		t.Errorf("%+v, context %d", c.Yarn, c.Context())
	}
}

// FuzzParseConfig: whatever is accepted can be built without a panic and describes a model of a sane size.
func FuzzParseConfig(f *testing.F) {
	configs.Fuzz(f, func(t *testing.T, c Config) {
		m := New(c, 2)
		if s := m.Shape(); s.Context < 1 || s.Vocab < 1 || s.Hidden < 1 || len(m.Caches()) != s.Layers || min(m.FP8Block()[0], m.FP8Block()[1]) < 0 {
			t.Fatalf("shape %+v of %+v", s, c)
		}
	},
		with(f, fp8),
		with(f, `"quantization_config": {"quant_method": "fp8", "weight_block_size": [-1, 1e99]}`),
		[]byte(`{"rope_parameters": {"rope_type": 3}, "architectures": [1]}`))
}
