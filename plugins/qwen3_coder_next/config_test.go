package main

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
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
	old, err := ParseConfig(read(t, tiny, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	v5, err := ParseConfig(read(t, tiny, "config.v5.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range old.NumHiddenLayers {
		if old.attends(i) != (i == 3) || v5.attends(i) != old.attends(i) {
			t.Errorf("layer %d has full attention: %v and %v", i, old.attends(i), v5.attends(i))
		}
	}
	v5.LayerTypes = nil // the one key that only the new spelling has
	if !reflect.DeepEqual(old, v5) {
		t.Errorf("config.json    %+v\nconfig.v5.json %+v", old, v5)
	}
	if old.RopeTheta != 5e6 || old.RotaryDim != 16 || old.Published() {
		t.Errorf("theta %v, %d turn, published %v", old.RopeTheta, old.RotaryDim, old.Published())
	}
}

func TestPublishedConfig(t *testing.T) {
	c, err := ParseConfig([]byte(published))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Published() || c.Context() != 262144 || c.RotaryDim != 64 || c.Yarn != nil || c.FP8Block != [2]int{} {
		t.Errorf("%+v", c)
	}
	for _, same := range []string{layerTypes(48, 4), `"full_attention_interval": "-"`, `"quantization_config": {"quant_method": "fp8"}`} {
		if c, err := ParseConfig(with(t, same)); err != nil || !c.Published() {
			t.Errorf("with %s it is no longer the published model (%v)", same, err)
		}
	}
	for _, change := range []string{
		`"num_hidden_layers": 47`, `"rope_theta": 1e7`, `"tie_word_embeddings": true`, `"head_dim": 512`, `"num_experts": 336`, `"norm_topk_prob": false`,
		`"mlp_only_layers": [0]`, `"linear_value_head_dim": 64`, `"full_attention_interval": 3`, layerTypes(48, 2),
	} {
		if c, err := ParseConfig(with(t, change)); err != nil || c.Published() {
			t.Errorf("with %s it is still the published model (%v)", change, err)
		}
	}
}

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

func TestAbsentKeysMeanWhatTheReferenceTakesThemFor(t *testing.T) {
	absent := ""
	for _, key := range []string{"head_dim", "hidden_act", "rms_norm_eps", "rope_theta", "tie_word_embeddings", "model_type", "rope_scaling",
		"partial_rotary_factor", "full_attention_interval", "linear_conv_kernel_dim", "norm_topk_prob", "decoder_sparse_step", "mlp_only_layers", "intermediate_size"} {
		absent += fmt.Sprintf(`"%s": "-", `, key)
	}
	c, err := ParseConfig(with(t, strings.TrimSuffix(absent, ", ")))
	if err != nil {
		t.Fatal(err)
	}
	if c.HeadDim != 256 || c.RMSNormEps != 1e-6 || c.RopeTheta != 10000 || c.RotaryDim != 64 || c.TieWordEmbeddings || c.Yarn != nil ||
		c.FullAttentionInterval != 4 || c.LinearConvKernelDim != 4 || !c.NormTopkProb || !c.sparse(0) || c.attends(0) || !c.attends(3) {
		t.Errorf("%+v", c)
	}
}

// Which layers have a mixture is a rule of three keys.
func TestSparseLayers(t *testing.T) {
	for change, want := range map[string]string{
		`"num_hidden_layers": 6`:                                                     "ssssss",
		`"num_hidden_layers": 6, "decoder_sparse_step": 2`:                           "dsdsds",
		`"num_hidden_layers": 6, "mlp_only_layers": [0, 4]`:                          "dsssds",
		`"num_hidden_layers": 6, "mlp_only_layers": [1], "decoder_sparse_step": 3`:   "ddsdds",
		`"num_hidden_layers": 6, "num_experts": 0, "moe_intermediate_size": "-"`:     "dddddd",
		`"num_hidden_layers": 2, "decoder_sparse_step": 3, "num_experts_per_tok": 0`: "dd",
	} {
		c, err := ParseConfig(with(t, change))
		if err != nil {
			t.Errorf("%s: %v", change, err)
			continue
		}
		got := ""
		for _, l := range New(c, 0, Spelling{}).Layers {
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

func TestRefusedConfigs(t *testing.T) {
	tests := []struct{ change, want string }{
		{`"architectures": ["Qwen3MoeForCausalLM"]`, `architectures is ["Qwen3MoeForCausalLM"]; this plugin runs Qwen3NextForCausalLM`},
		{`"architectures": "-"`, `architectures is []`},
		{`"model_type": "qwen3_moe"`, `model_type is "qwen3_moe"`},
		{`"hidden_size": 1024.5`, `hidden_size: a whole number was expected, found number 1024.5`},
		{`"rms_norm_eps": "small"`, `rms_norm_eps: a number was expected, found string`},
		{`"tie_word_embeddings": 1`, `tie_word_embeddings: true or false was expected, found number`},
		{`"layer_types": "linear_attention"`, `layer_types: a list was expected, found string`},
		{`"hidden_act": 1`, `hidden_act: a string was expected, found number`},
		{`"hidden_size": "-"`, `hidden_size is 0; a number from 1 to`},
		{`"vocab_size": -1`, `vocab_size is -1`},
		{`"num_hidden_layers": 0`, `num_hidden_layers is 0`},
		{`"num_key_value_heads": 5`, `num_attention_heads is 16, which num_key_value_heads 5 does not divide`},
		{`"num_key_value_heads": 0`, `num_key_value_heads is 0`},
		{`"linear_num_key_heads": 5`, `linear_num_value_heads is 32, which linear_num_key_heads 5 does not divide`},
		{`"linear_num_key_heads": "-"`, `linear_num_key_heads is 0`},
		{`"linear_num_value_heads": 8192`, `linear_num_value_heads is 8192`},
		{`"linear_key_head_dim": 0`, `linear_key_head_dim is 0`},
		{`"linear_value_head_dim": -4`, `linear_value_head_dim is -4`},
		{`"linear_conv_kernel_dim": 0`, `linear_conv_kernel_dim is 0`},
		{`"linear_conv_kernel_dim": 65`, `linear_conv_kernel_dim is 65; a number from 1 to 64 is needed`},
		{`"full_attention_interval": 0`, `full_attention_interval is 0`},
		{`"decoder_sparse_step": 0`, `decoder_sparse_step is 0`},
		{`"num_experts": -1`, `num_experts is -1; a number from 0 is needed`},
		{`"num_experts_per_tok": 513`, `num_experts_per_tok is 513; a number from 1 to 512 is needed`},
		{`"moe_intermediate_size": "-"`, `moe_intermediate_size is 0`},
		{`"shared_expert_intermediate_size": 0`, `shared_expert_intermediate_size is 0`},
		{`"mlp_only_layers": [1], "intermediate_size": "-"`, `intermediate_size is 0`},
		{`"head_dim": 0`, `head_dim is 0`},
		{`"partial_rotary_factor": 0`, `partial_rotary_factor is 0: it turns 0 of head_dim 256; an even number of them is needed`},
		{`"partial_rotary_factor": 1.5`, `partial_rotary_factor is 1.5: it turns 384 of head_dim 256`},
		{`"head_dim": 20`, `partial_rotary_factor is 0.25: it turns 5 of head_dim 20`},
		{`"partial_rotary_factor": true`, `partial_rotary_factor is true; a number is needed`},
		{`"max_position_embeddings": "-"`, `max_position_embeddings is 0`},
		{`"rms_norm_eps": 0`, `rms_norm_eps is 0`},
		{`"rope_theta": 0`, `rope_theta is 0`},
		{`"rope_theta": "much"`, `rope_theta is "much"; a number is needed`},
		{`"hidden_act": "gelu"`, `hidden_act is gelu, which is not built; only silu is`},
		{`"attention_bias": true`, `attention_bias is true, which is not built`},
		{`"qkv_bias": true`, `qkv_bias is true, which is not built`},
		{`"mlp_bias": true`, `mlp_bias is true, which is not built`},
		{`"use_sliding_window": true`, `use_sliding_window is true, which is not built`},
		{`"use_qk_norm": false`, `use_qk_norm is false, which is not built; only true is`},
		{`"attn_output_gate": false`, `attn_output_gate is false, which is not built; only true is`},
		{`"is_encoder_decoder": true`, `is_encoder_decoder is true`},
		{`"add_cross_attention": true`, `add_cross_attention is true`},
		{`"layer_types": ["full_attention"]`, `layer_types has 1 entries for 48 layers`},
		{`"num_hidden_layers": 2, "layer_types": ["linear_attention", "sliding_attention"]`, `layer_types[1] is "sliding_attention", which is not built; only linear_attention and full_attention are`},
		{`"quantization_config": {"quant_method": "gptq"}`, `quantization_config: quant_method is "gptq", which is not built; only fp8 is`},
		{`"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}`, `weight_block_size is [128]`},
		{`"rope_scaling": {"rope_type": "dynamic", "factor": 2}`, `rope_type is "dynamic", which is not built; only default and yarn are`},
		{`"rope_scaling": {"type": "linear", "factor": 2}`, `rope_type is "linear"`},
		{`"rope_scaling": {"rope_type": "default", "factor": 2}`, `the rope has "factor", which a rope of type "default" does not use`},
		{`"rope_scaling": {"type": "yarn", "factor": 4, "mrope_section": [1]}`, `the rope has "mrope_section"`},
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
	_, err := ParseConfig(with(t, `"hidden_size": 0, "hidden_act": "relu", "linear_key_head_dim": 0, "attention_bias": true, "rope_scaling": {"rope_type": "llama3"}`))
	for _, key := range []string{"hidden_size", "hidden_act", "linear_key_head_dim", "attention_bias", "rope_type"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("error %v\ndoes not name %s", err, key)
		}
	}
}

// A rope is found in each of its places; a stretched one turns the same part of a head.
func TestRopeConfigs(t *testing.T) {
	tests := []struct {
		change  string
		rotary  int
		theta   float64
		factor  float64 // of yarn, 0: none
		context int
	}{
		{`"partial_rotary_factor": 0.5`, 128, 5e6, 0, 262144},
		{`"partial_rotary_factor": 1`, 256, 5e6, 0, 262144},
		{`"head_dim": 96, "partial_rotary_factor": 0.34`, 32, 5e6, 0, 262144}, // 32.64
		{`"rope_theta": "-", "partial_rotary_factor": "-", "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}`, 192, 1e4, 0, 262144},
		{`"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 262144}`, 64, 5e6, 4, 1 << 20},
		{`"rope_parameters": {"rope_type": "yarn", "factor": 2, "partial_rotary_factor": 0.125}`, 32, 5e6, 2, 1 << 19},
	}
	for _, tt := range tests {
		c, err := ParseConfig(with(t, tt.change))
		if err != nil {
			t.Errorf("with %s: %v", tt.change, err)
			continue
		}
		factor := 0.0
		if c.Yarn != nil {
			if factor = c.Yarn.Factor; math.Abs(c.Yarn.AttentionFactor-(0.1*math.Log(factor)+1)) > 1e-12 {
				t.Errorf("with %s: attention factor %v", tt.change, c.Yarn.AttentionFactor)
			}
		}
		if c.RotaryDim != tt.rotary || c.RopeTheta != tt.theta || factor != tt.factor || c.Context() != tt.context {
			t.Errorf("with %s: %d turn, theta %v, factor %v, context %d", tt.change, c.RotaryDim, c.RopeTheta, factor, c.Context())
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
	f.Add(with(f, `"decoder_sparse_step": 2, "mlp_only_layers": [-1, 3], "rope_scaling": {"rope_type": "yarn", "factor": 4.0}`))
	f.Add([]byte(`{"rope_parameters": {"partial_rotary_factor": 1e300}, "head_dim": -3, "architectures": [1]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		m := New(c, 2, Spelling{})
		if s := m.Shape(); s.Context < 1 || s.Vocab < 1 || s.Hidden < 1 || len(m.Caches()) != s.Layers {
			t.Fatalf("shape %+v of %s", s, text)
		}
	})
}
