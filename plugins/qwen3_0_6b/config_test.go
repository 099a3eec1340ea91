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

var (
	configs = configtest.Suite[Config]{Published: published, Parse: ParseConfig}
	with    = configs.With
)

func TestBothSpellingsAreOneConfig(t *testing.T) {
	configs.Same(t, "testdata/tiny/config.json", "testdata/tiny/config.v5.json", func(c *Config) {
		if c.RopeTheta != 1e6 || c.Published() {
			t.Errorf("theta %v, published %v", c.RopeTheta, c.Published())
		}
		c.LayerTypes = nil // the one key that only the new spelling has; it was checked
	})
}

func TestPublishedConfig(t *testing.T) {
	c := configs.Parsed(t, "")
	if !c.Published() || c.Context() != 40960 || c.HeadDim != 128 || c.Yarn != nil {
		t.Errorf("%+v", c)
	}
	for _, change := range []string{`"num_hidden_layers": 27`, `"rope_theta": 5e6`, `"tie_word_embeddings": false`, `"head_dim": 64`} {
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
		{`"num_key_value_heads": 5`, `num_attention_heads is 16, which num_key_value_heads 5 does not divide`},
		{`"head_dim": 127`, `head_dim is 127; rotation needs an even number`},
		{`"attention_bias": true`, `attention_bias is true, which is not built`},
		{`"quantization_config": {"quant_method": "fp8"}`, `quantization_config is given, which is not built; only a checkpoint in bf16, f16 or f32 is`},
		{`"partial_rotary_factor": 0.5`, `partial_rotary_factor is 0.5, which is not built; only 1 is`},
		{`"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}`, `partial_rotary_factor is 0.5, which is not built`},
	})
}

func TestAYarnRopeStretchesTheContext(t *testing.T) {
	c := configs.Parsed(t, `"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}`)
	if c.Yarn == nil || c.Yarn.Original != 32768 || c.Context() != 131072 || New(c, 1).Shape().Context != 131072 {
		t.Errorf("%+v, context %d", c.Yarn, c.Context())
	}
}

// FuzzParseConfig: whatever is accepted can be built without a panic and describes a model of a sane size.
func FuzzParseConfig(f *testing.F) {
	configs.Fuzz(f, func(t *testing.T, c Config) {
		m := New(c, 2)
		if s := m.Shape(); s.Context < 1 || s.Vocab < 1 || s.Hidden < 1 || len(m.Caches()) != s.Layers {
			t.Fatalf("shape %+v of %+v", s, c)
		}
	},
		with(f, `"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}`),
		[]byte(`{"rope_parameters": {"rope_type": 3}, "architectures": [1]}`))
}
