package main

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
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

// with is the published config with keys set, or removed where the value is "-".
func with(t testing.TB, changes string) []byte {
	t.Helper()
	var keys, change map[string]any
	if err := json.Unmarshal([]byte(published), &keys); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte("{"+changes+"}"), &change); err != nil {
		t.Fatal(err)
	}
	for k, v := range change {
		if keys[k] = v; v == "-" {
			delete(keys, k)
		}
	}
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestBothSpellingsAreOneConfig(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		old, err := ParseConfig(read(t, dir, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		v5, err := ParseConfig(read(t, dir, "config.v5.json"))
		if err != nil {
			t.Fatal(err)
		}
		v5.LayerTypes = nil // the one key that only the new spelling has; it was checked
		if !reflect.DeepEqual(old, v5) {
			t.Errorf("config.json    %+v\nconfig.v5.json %+v", old, v5)
		}
		if old.RopeTheta != 5e6 || old.Published() || old.NumAttentionHeads*old.HeadDim == old.HiddenSize {
			t.Errorf("theta %v, published %v, %d heads of %d", old.RopeTheta, old.Published(), old.NumAttentionHeads, old.HeadDim)
		}
		if want := map[string][2]int{tiny: {}, tinyFP8: {128, 128}}[dir]; old.FP8Block != want {
			t.Errorf("blocks %v, not %v", old.FP8Block, want)
		}
	})
}

func TestPublishedConfig(t *testing.T) {
	c, err := ParseConfig([]byte(published))
	if err != nil {
		t.Fatal(err)
	}
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

func TestQuantizationConfigs(t *testing.T) {
	for change, want := range map[string][2]int{
		`"quantization_config": null`:                                                               {},
		`"quantization_config": {"quant_method": "fp8"}`:                                            {128, 128},
		`"quantization_config": {"quant_method": "fp8", "weight_block_size": [1, 64]}`:              {1, 64},
		`"quantization_config": {"quant_method": "fp8", "modules_to_not_convert": null}`:            {128, 128},
		`"quantization_config": {"quant_method": "fp8", "dequantize": true, "something_new": null}`: {128, 128},
	} {
		if c, err := ParseConfig(with(t, change)); err != nil || c.FP8Block != want {
			t.Errorf("with %s: blocks %v, %v; want %v", change, c.FP8Block, err, want)
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

func TestRefusedConfigs(t *testing.T) {
	tests := []struct{ change, want string }{
		{`"architectures": ["LlamaForCausalLM"]`, `architectures is ["LlamaForCausalLM"]; this plugin runs Qwen3ForCausalLM`},
		{`"architectures": "-"`, `architectures is []`},
		{`"model_type": "qwen3_moe"`, `model_type is "qwen3_moe"`},
		{`"hidden_size": 2560.5`, `hidden_size: a whole number was expected, found number 2560.5`},
		{`"rms_norm_eps": "small"`, `rms_norm_eps: a number was expected, found string`},
		{`"tie_word_embeddings": 1`, `tie_word_embeddings: true or false was expected, found number`},
		{`"architectures": "Qwen3ForCausalLM"`, `architectures: a list was expected, found string`},
		{`"hidden_act": 1`, `hidden_act: a string was expected, found number`},
		{`"hidden_size": "-"`, `hidden_size is 0; a number from 1 to`},
		{`"vocab_size": -1`, `vocab_size is -1`},
		{`"intermediate_size": 4294967296`, `intermediate_size is 4294967296`},
		{`"num_hidden_layers": 0`, `num_hidden_layers is 0`},
		{`"num_attention_heads": "16"`, `num_attention_heads: a whole number was expected, found string`},
		{`"num_key_value_heads": 5`, `num_attention_heads is 32, which num_key_value_heads 5 does not divide`},
		{`"num_key_value_heads": 0`, `num_key_value_heads is 0`},
		{`"head_dim": 127`, `head_dim is 127; rotation needs an even number`},
		{`"max_position_embeddings": "-"`, `max_position_embeddings is 0`},
		{`"rms_norm_eps": 0`, `rms_norm_eps is 0`},
		{`"rope_theta": 0`, `rope_theta is 0`},
		{`"rope_theta": "much"`, `rope_theta is "much"; a number is needed`},
		{`"hidden_act": "gelu"`, `hidden_act is gelu, which is not built; only silu is`},
		{`"qkv_bias": true`, `qkv_bias is true, which is not built`},
		{`"mlp_bias": true`, `mlp_bias is true, which is not built`},
		{`"use_sliding_window": true`, `use_sliding_window is true, which is not built`},
		{`"is_encoder_decoder": true`, `is_encoder_decoder is true`},
		{`"add_cross_attention": true`, `add_cross_attention is true`},
		{`"layer_types": ["full_attention"]`, `layer_types is a list of 1, which is not built; only one entry per layer is`},
		{`"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]`, `layer_types[1] is sliding_attention`},
		{`"quantization_config": {"quant_method": "gptq", "bits": 4}`, `quantization_config: quant_method is "gptq", which is not built; only fp8 is`},
		{`"quantization_config": {"quant_method": "gptq", "bits": 4}`, `quantization_config: "bits" is not known here`},
		{`"quantization_config": {}`, `quantization_config: quant_method is ""`},
		{`"quantization_config": "fp8"`, `quantization_config: an object was expected, found string`},
		{`"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}`, `fmt is "e5m2", which is not built; only e4m3 is`},
		{`"quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}`, `activation_scheme is "static", which is not built`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": null}`, `weight_block_size is []; two numbers from 1 on are needed`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}`, `weight_block_size is [128]`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}`, `weight_block_size is [0 128]`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": 128}`, `quantization_config: weight_block_size: a list was expected, found number`},
		{`"quantization_config": {"quant_method": "fp8", "scale_fmt": "ue8m0"}`, `quantization_config: "scale_fmt" is not known here`},
		{`"partial_rotary_factor": 0.5`, `partial_rotary_factor is`},
		{`"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}`, `partial_rotary_factor is 0.5, which is not built`},
		{`"rope_scaling": {"rope_type": "dynamic", "factor": 2}`, `rope_type is "dynamic", which is not built; only default and yarn are`},
		{`"rope_scaling": {"type": "linear", "factor": 2}`, `rope_type is "linear"`},
		{`"rope_scaling": {"rope_type": "default", "factor": 2}`, `the rope has "factor", which a rope of type "default" does not use`},
		{`"rope_scaling": {"type": "yarn", "factor": 4, "mrope_section": [1]}`, `the rope has "mrope_section"`},
		{`"rope_scaling": {"type": "yarn", "factor": 0.5}`, `factor is 0.5; a yarn rope needs a number from 1 on`},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 0}`, `original_max_position_embeddings is 0`},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 2}`, `beta_fast 1 and beta_slow 2`},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": -1}`, `attention_factor is -1`},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "truncate": 1}`, `truncate is 1; true or false is needed`},
		{`"rope_scaling": []`, `rope_scaling: an object was expected, found array`},
	}
	for _, tt := range tests {
		_, err := ParseConfig(with(t, tt.change))
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "config.json: ") {
			t.Errorf("with %s: %v\nwant config.json: ... %s", tt.change, err, tt.want)
		}
	}
	for text, want := range map[string]string{"": "is broken JSON", "{": "is broken JSON", "[]": "an object was expected, found array"} {
		if _, err := ParseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	_, err := ParseConfig(with(t, `"hidden_size": 0, "hidden_act": "relu", "mlp_bias": true, "rope_scaling": {"rope_type": "llama3"}`))
	for _, key := range []string{"hidden_size", "hidden_act", "mlp_bias", "rope_type"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v\ndoes not name %s", err, key)
		}
	}
}

func TestYarnConfigs(t *testing.T) {
	tests := []struct {
		change                            string
		factor, original, attention, fast float64
		truncate                          bool
		context                           int
	}{
		{`"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 131072}`, 4, 131072, 0.1*math.Log(4) + 1, 32, true, 524288},
		{`"rope_scaling": {"type": "yarn", "factor": 2}`, 2, 262144, 0.1*math.Log(2) + 1, 32, true, 524288},
		{`"rope_theta": "-", "rope_parameters": {"rope_type": "yarn", "rope_theta": 5e6, "factor": 2, "attention_factor": 1.5, "beta_fast": 16, "truncate": false}`, 2, 262144, 1.5, 16, false, 524288},
		{`"rope_scaling": {"type": "yarn", "factor": 2, "mscale": 2, "mscale_all_dim": 1}`, 2, 262144, (0.2*math.Log(2) + 1) / (0.1*math.Log(2) + 1), 32, true, 524288},
		{`"rope_scaling": {"type": "yarn", "factor": 1}`, 1, 262144, 1, 32, true, 262144},
		{`"rope_scaling": {"type": "yarn", "factor": null, "original_max_position_embeddings": 131072}`, 2, 131072, 0.1*math.Log(2) + 1, 32, true, 262144},
	}
	for _, tt := range tests {
		c, err := ParseConfig(with(t, tt.change))
		if err != nil || c.Yarn == nil {
			t.Errorf("with %s: %v", tt.change, err)
			continue
		}
		y := c.Yarn
		if y.Factor != tt.factor || y.Original != tt.original || math.Abs(y.AttentionFactor-tt.attention) > 1e-12 || y.BetaFast != tt.fast || y.BetaSlow != 1 ||
			y.Truncate != tt.truncate || c.Context() != tt.context || c.RopeTheta != 5e6 {
			t.Errorf("with %s: %+v, context %d, theta %v", tt.change, *y, c.Context(), c.RopeTheta)
		}
	}
}

func TestUnknownKeysAreIgnoredAsTheReferenceDoes(t *testing.T) {
	if _, err := ParseConfig(with(t, `"unsloth_fixed": true, "_name_or_path": "x", "pad_token_id": 1`)); err != nil {
		t.Error(err)
	}
}

// FuzzConfig: whatever is accepted can be built without a panic and describes a model of a sane size.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(published))
	f.Add(read(f, tiny, "config.json"))
	f.Add(read(f, tiny, "config.v5.json"))
	f.Add(read(f, tinyFP8, "config.json"))
	f.Add(with(f, `"quantization_config": {"quant_method": "fp8", "weight_block_size": [-1, 1e99]}`))
	f.Add(with(f, `"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}`))
	f.Add([]byte(`{"rope_parameters": {"rope_type": 3}, "architectures": [1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		c.NumHiddenLayers = min(c.NumHiddenLayers, 2)
		m := New(c, 0)
		if s := m.Shape(); s.Context < 1 || s.Vocab < 1 || s.Hidden < 1 || len(m.Caches()) != s.Layers || min(m.FP8Block()[0], m.FP8Block()[1]) < 0 {
			t.Fatalf("shape %+v of %s", s, text)
		}
	})
}
