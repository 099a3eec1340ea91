// What every decoder refuses: the keys of hfconfig.Checkpoint and hfconfig.Decoder, and each form of rope that is not built. That
// a model asks for these checks is seen by their words.

package configtest

import (
	"strings"
	"testing"
)

var ofCheckpoints = Refusals{
	{`"architectures": ["BertForMaskedLM"]`, `architectures is ["BertForMaskedLM"]; this plugin runs `},
	{`"architectures": "-"`, `architectures is []`},
	{`"architectures": "BertForMaskedLM"`, `architectures: a list was expected, found string`},
	{`"model_type": "bert"`, `model_type is "bert"; this plugin runs `},
	{`"tie_word_embeddings": 1`, `tie_word_embeddings: true or false was expected, found number`},
	{`"quantization_config": {"quant_method": "quip"}`, `quantization_config`},
	{`"quantization_config": "fp8"`, `quantization_config: an object was expected, found string`},
	{`"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}`, `weight_block_size is [128]; two numbers from 1 on are needed`},
}

var ofDecoders = Refusals{
	{`"vocab_size": -1`, `vocab_size is -1; a number from 1 to 16777216 is needed`},
	{`"hidden_size": "-"`, `hidden_size is 0; a number from 1 to`},
	{`"hidden_size": 4294967296`, `hidden_size is 4294967296`},
	{`"hidden_size": 64.5`, `hidden_size: a whole number was expected, found number 64.5`},
	{`"num_hidden_layers": 0`, `num_hidden_layers is 0`},
	{`"num_attention_heads": "16"`, `num_attention_heads: a whole number was expected, found string`},
	{`"num_attention_heads": 0`, `num_attention_heads is 0`},
	{`"num_key_value_heads": 0`, `num_key_value_heads is 0`},
	{`"max_position_embeddings": "-"`, `max_position_embeddings is 0`},
	{`"rms_norm_eps": 0`, `rms_norm_eps is 0; a number between 0 and 1 is needed`},
	{`"rms_norm_eps": 1`, `rms_norm_eps is 1; a number between 0 and 1 is needed`},
	{`"rms_norm_eps": "small"`, `rms_norm_eps: a number was expected, found string`},
	{`"hidden_act": "gelu"`, `hidden_act is gelu, which is not built; only silu is`},
	{`"hidden_act": 1`, `hidden_act: a string was expected, found number`},
	{`"qkv_bias": true`, `qkv_bias is true, which is not built; only false is`},
	{`"mlp_bias": true`, `mlp_bias is true, which is not built`},
	{`"use_sliding_window": true`, `use_sliding_window is true, which is not built`},
	{`"is_encoder_decoder": true`, `is_encoder_decoder is true`},
	{`"add_cross_attention": true`, `add_cross_attention is true`},
	{`"layer_types": []`, `layer_types has 0 entries for`},
	{`"num_hidden_layers": 1, "layer_types": ["full_attention", "full_attention"]`, `layer_types has 2 entries for 1 layers`},
	{`"layer_types": "full_attention"`, `layer_types: a list was expected, found string`},
	{`"layer_types": ["full_attention", "sliding_attention"]`, `layer_types[1] is "sliding_attention", which is not built; only `},

	{`"rope_theta": 0`, `rope_theta is 0; a number above 1 is needed`},
	{`"rope_theta": 1`, `rope_theta is 1; a number above 1 is needed`},
	{`"rope_theta": "much"`, `rope_theta is "much"; a number is needed`},
	{`"partial_rotary_factor": 1.5`, `partial_rotary_factor is 1.5`},
	{`"rope_parameters": {"partial_rotary_factor": 0}`, `partial_rotary_factor is 0`},
	{`"rope_scaling": []`, `rope_scaling: an object was expected, found array`},
	{`"rope_scaling": {"rope_type": "dynamic", "factor": 2}`, `rope_type is "dynamic", which is not built; only default`},
	{`"rope_scaling": {"type": "linear", "factor": 2}`, `rope_type is "linear"`},
	{`"rope_scaling": {"rope_type": "default", "factor": 2}`, `the rope has "factor", which a rope of type "default" does not use`},
	{`"rope_scaling": {"type": "yarn", "factor": 2, "short_factor": [1]}`, `the rope has "short_factor"`},
	{`"rope_scaling": {"type": "yarn", "factor": 0.5}`, `factor is 0.5; a yarn rope needs a number from 1 on`},
}

var sizesOfDecoders = Bounds{
	"vocab_size": {1, 1 << 24}, "hidden_size": {1, 1 << 20}, "num_hidden_layers": {1, 1 << 12}, "num_attention_heads": {1, 1 << 12},
	"num_key_value_heads": {1, 1 << 12}, "max_position_embeddings": {1, 1 << 28},
}

var ofWholeHeads = Refusals{
	{`"num_key_value_heads": 5`, `, which num_key_value_heads 5 does not divide`},
	{`"head_dim": 127`, `head_dim is 127; rotation needs an even number`},
	{`"partial_rotary_factor": 0.5`, `partial_rotary_factor is 0.5, which is not built; only 1 is`},
	{`"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}`, `partial_rotary_factor is 0.5, which is not built`},
}

// Decoder checks what is the same for every decoder: what is refused, in which words, all of it at once; and that keys that the
// architecture does not have are ignored.
func (s Suite[C]) Decoder(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		s.Refuses(t, ofCheckpoints)
		s.refuses(t, s.Part, ofDecoders)
		if s.WholeHeads {
			s.refuses(t, s.Part, ofWholeHeads)
		}
	})
	t.Run("bounds", func(t *testing.T) { s.bounds(t, s.Part, sizesOfDecoders) })
	t.Run("no config", func(t *testing.T) { s.broken(t) })
	t.Run("all mistakes at once", func(t *testing.T) {
		const mistakes = `"hidden_size": 0, "hidden_act": "relu", "mlp_bias": true, "rope_scaling": {"rope_type": "llama3"}`
		for _, told := range []string{"hidden_size is 0", "hidden_act is relu", "mlp_bias is true", `rope_type is "llama3"`} {
			s.refuses(t, s.Part, Refusals{{mistakes, told}})
		}
	})
	t.Run("unknown keys", func(t *testing.T) {
		if _, err := s.Parse(s.with(t, s.Part, `"unsloth_fixed": true, "_name_or_path": "x", "pad_token_id": 1`)); err != nil {
			t.Error(err)
		}
	})
}

func (s Suite[C]) broken(t testing.TB) {
	t.Helper()
	for text, want := range map[string]string{"": "config.json: is broken JSON", "{": "config.json: is broken JSON", "[]": "config.json: an object was expected, found array"} {
		if _, err := s.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}
