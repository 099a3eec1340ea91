package hfconfig

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// read is a config with a rope and a form of weights, as a model reads it.
func read(text string) (theta float64, yarn *nn.Yarn, turned int, block [2]int, err error) {
	var own struct {
		HeadDim int `json:"head_dim"`
	}
	var rope RopeKeys
	var quantization QuantizationKeys
	if err := Decode([]byte(text), &own, &rope, &quantization); err != nil {
		return 0, nil, 0, block, err
	}
	p := new(Problems)
	r := rope.Read(p)
	theta, turned = r.Theta(10000), r.Turned(64, 1)
	if r.Kind("default", "yarn") == "yarn" {
		yarn = r.Yarn(32768)
	}
	r.Done()
	block = quantization.FP8(p)
	return theta, yarn, turned, block, p.Err()
}

func TestBothSpellingsOfARopeAreOne(t *testing.T) {
	for _, text := range []string{
		`{"rope_theta": 1e6, "partial_rotary_factor": 0.5, "rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 4096, "attention_factor": 1.5, "beta_fast": 16}}`,
		`{"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "partial_rotary_factor": 0.5, "factor": 4.0, "original_max_position_embeddings": 4096, "attention_factor": 1.5, "beta_fast": 16}}`,
		"\ufeff" + `{"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "partial_rotary_factor": 0.5, "factor": 4}, "rope_theta": 3, "rope_scaling": {"factor": 9, "original_max_position_embeddings": 4096, "attention_factor": 1.5, "beta_fast": 16, "beta_slow": null}}`,
	} {
		theta, y, turned, _, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := nn.Yarn{Factor: 4, Original: 4096, BetaFast: 16, BetaSlow: 1, AttentionFactor: 1.5, Truncate: true}
		if theta != 1e6 || turned != 32 || *y != want {
			t.Errorf("%s: theta %v, %d turned, %+v", text, theta, turned, *y)
		}
		if n := Stretched(4096, y); n != 16384 {
			t.Errorf("%d positions", n)
		}
	}
}

func TestAbsentKeysHaveTheReferencesMeaning(t *testing.T) {
	theta, yarn, turned, block, err := read(`{"rope_scaling": null, "quantization_config": null}`)
	if err != nil || theta != 10000 || yarn != nil || turned != 64 || block != [2]int{} || Stretched(100, nil) != 100 {
		t.Errorf("theta %v, yarn %v, %d turned, blocks %v, %v", theta, yarn, turned, block, err)
	}
	_, yarn, _, block, err = read(`{"rope_scaling": {"rope_type": "yarn", "factor": 4}, "quantization_config": {"quant_method": "fp8"}}`)
	if err != nil || yarn.Original != 32768 || yarn.AttentionFactor != nn.YarnAttention(4, 1) || block != [2]int{128, 128} {
		t.Errorf("%+v, blocks %v, %v", yarn, block, err)
	}
	_, yarn, _, _, err = read(`{"rope_scaling": {"rope_type": "yarn", "factor": 4, "mscale": 2, "mscale_all_dim": 1}}`)
	if err != nil || yarn.AttentionFactor != nn.YarnAttention(4, 2)/nn.YarnAttention(4, 1) {
		t.Errorf("%+v, %v", yarn, err)
	}
}

func TestMistakesAreToldInWords(t *testing.T) {
	for text, want := range map[string]string{
		`{"head_dim": "x"}`:              "config.json: head_dim: a whole number was expected, found string",
		`{"head_dim": 1`:                 "config.json: is broken JSON at byte 14",
		`[]`:                             "config.json: an object was expected, found array",
		`{"rope_theta": 0.5}`:            "config.json: rope_theta is 0.5; a number above 1 is needed",
		`{"rope_theta": "a"}`:            `config.json: rope_theta is "a"; a number is needed`,
		`{"partial_rotary_factor": 0.3}`: "it turns 19 of head_dim 64",
		`{"rope_scaling": {"type": "linear", "factor": 2}}`:                                  `rope_type is "linear", which is not built; only default and yarn are`,
		`{"rope_scaling": {"factor": 2}}`:                                                    `the rope has "factor", which a rope of type "default" does not use`,
		`{"rope_scaling": {"type": "yarn", "factor": 0}}`:                                    "factor is 0; a yarn rope needs a number from 1 on",
		`{"rope_scaling": {"type": "yarn", "factor": 2, "beta_slow": 40}}`:                   "beta_fast 32 and beta_slow 40",
		`{"rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": -1}}`:            "attention_factor is -1",
		`{"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 0}}`:          "original_max_position_embeddings is 0",
		`{"quantization_config": {"quant_method": "awq"}}`:                                   "quantization_config: quant_method is awq, which is not built; only fp8 is",
		`{"quantization_config": {"quant_method": "fp8", "fmt": "e5m2"}}`:                    "quantization_config: fmt is e5m2",
		`{"quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}}`:    "quantization_config: activation_scheme is static",
		`{"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}}`:       "weight_block_size is [128]; two numbers from 1 on are needed",
		`{"quantization_config": {"quant_method": "fp8", "bits": 4, "dequantize": null}}`:    `quantization_config: "bits" is not known here`,
		`{"quantization_config": {"quant_method": "fp8", "weight_block_size": "128 x 128"}}`: "config.json: quantization_config: weight_block_size: a list was expected, found string",
	} {
		if _, _, _, _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
}

func TestProblemsAreToldTogetherAndWhereTheyAre(t *testing.T) {
	p := In("text_config")
	p.Size("hidden_size", 0, 10)
	p.Size("num_hidden_layers", 11, 10)
	p.Size("head_dim", 10, 10)
	p.NotBuilt(true, "hidden_act", "relu", "silu")
	want := "config.json: text_config: hidden_size is 0; a number from 1 to 10 is needed\n" +
		"config.json: text_config: num_hidden_layers is 11; a number from 1 to 10 is needed\n" +
		"config.json: text_config: hidden_act is relu, which is not built; only silu is"
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	if err := new(Problems).Err(); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
}

// Whatever is in the file, there is an answer.
func FuzzConfig(f *testing.F) {
	f.Add(`{"rope_parameters": {"rope_type": "yarn", "factor": 4}, "quantization_config": {"quant_method": "fp8"}}`)
	f.Add(`{"rope_scaling": {"type": 3}, "rope_theta": null, "partial_rotary_factor": 1e308}`)
	f.Fuzz(func(t *testing.T, text string) {
		_, yarn, turned, block, err := read(text)
		if err == nil && (turned < 2 || turned > 64 || block[0] < 0 || yarn != nil && Stretched(1, yarn) < 1) {
			t.Errorf("%q: yarn %+v, %d turned, blocks %v", text, yarn, turned, block)
		}
	})
}
