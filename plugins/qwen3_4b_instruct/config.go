// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

const architecture = "Qwen3ForCausalLM"

// Config is what config.json says, in its own words.
type Config struct {
	Architectures         []string `json:"architectures"`
	ModelType             string   `json:"model_type"`
	VocabSize             int      `json:"vocab_size"`
	HiddenSize            int      `json:"hidden_size"`
	IntermediateSize      int      `json:"intermediate_size"`
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	NumAttentionHeads     int      `json:"num_attention_heads"`
	NumKeyValueHeads      int      `json:"num_key_value_heads"`
	HeadDim               int      `json:"head_dim"` // explicit: not hidden/heads
	MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	RMSNormEps            float64  `json:"rms_norm_eps"`
	TieWordEmbeddings     bool     `json:"tie_word_embeddings"`
	AttentionBias         bool     `json:"attention_bias"` // of q, k, v and o

	RopeTheta float64  `json:"-"` // see ropeKeys
	Yarn      *nn.Yarn `json:"-"`
	FP8Block  [2]int   `json:"-"` // see quantizationKeys; zero: config.json says nothing of FP8

	// What is not built, and must say so.
	HiddenAct         string   `json:"hidden_act"`
	QKVBias           bool     `json:"qkv_bias"`
	MLPBias           bool     `json:"mlp_bias"`
	UseSlidingWindow  bool     `json:"use_sliding_window"`
	LayerTypes        []string `json:"layer_types"`
	PartialRotary     *float64 `json:"partial_rotary_factor"`
	IsEncoderDecoder  bool     `json:"is_encoder_decoder"`
	AddCrossAttention bool     `json:"add_cross_attention"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	c := Config{HeadDim: 128, HiddenAct: "silu", RMSNormEps: 1e-6}
	if err := decode(text, &c); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	var rope ropeKeys
	if err := decode(text, &rope); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	var q quantizationKeys
	if err := decode(text, &q); err != nil {
		return c, fmt.Errorf("config.json: %w", err)
	}
	err := errors.Join(rope.apply(&c), q.apply(&c))
	if err := errors.Join(c.Validate(), err); err != nil {
		return c, err
	}
	return c, nil
}

// decode reads JSON and words a wrong type as people say it.
func decode(text []byte, into any) error {
	err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), into)
	var wrong *json.UnmarshalTypeError
	var broken *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("an object was expected, found %s", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s: %s was expected, found %s", wrong.Field, inWords(wrong.Type.Kind()), wrong.Value)
	case errors.As(err, &broken):
		return fmt.Errorf("is broken JSON at byte %d: %w", broken.Offset, err)
	}
	return err
}

func inWords(k reflect.Kind) string {
	switch k {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "an object"
	}
	return "a " + k.String()
}

// Validate says in sentences what is missing, impossible or not built.
func (c Config) Validate() error {
	var errs []error
	refuse := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: "+format, args...))
		}
	}
	refuse(!slices.Contains(c.Architectures, architecture), "architectures is %q; this plugin runs %s", c.Architectures, architecture)
	refuse(c.ModelType != "" && c.ModelType != "qwen3", "model_type is %q; this plugin runs qwen3", c.ModelType)
	for _, n := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", c.VocabSize, 1 << 24}, {"hidden_size", c.HiddenSize, 1 << 20}, {"intermediate_size", c.IntermediateSize, 1 << 20},
		{"num_hidden_layers", c.NumHiddenLayers, 1 << 12}, {"num_attention_heads", c.NumAttentionHeads, 1 << 12},
		{"num_key_value_heads", c.NumKeyValueHeads, 1 << 12}, {"head_dim", c.HeadDim, 1 << 12}, {"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 28},
	} {
		refuse(n.value < 1 || n.value > n.max, "%s is %d; a number from 1 to %d is needed", n.key, n.value, n.max)
	}
	refuse(c.NumKeyValueHeads > 0 && c.NumAttentionHeads%c.NumKeyValueHeads != 0,
		"num_attention_heads is %d, which num_key_value_heads %d does not divide", c.NumAttentionHeads, c.NumKeyValueHeads)
	refuse(c.HeadDim%2 != 0, "head_dim is %d; rotation needs an even number", c.HeadDim)
	refuse(c.RMSNormEps <= 0 || c.RMSNormEps >= 1, "rms_norm_eps is %v; a number between 0 and 1 is needed", c.RMSNormEps)
	return errors.Join(append(errs, c.notBuilt()...)...)
}

// notBuilt names each key that asks for a computation this plugin does not have.
func (c Config) notBuilt() (errs []error) {
	refuse := func(wrong bool, key string, value any, only string) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: %s is %v, which is not built; only %s is", key, value, only))
		}
	}
	refuse(c.HiddenAct != "silu", "hidden_act", c.HiddenAct, "silu")
	refuse(c.QKVBias, "qkv_bias", true, "false")
	refuse(c.MLPBias, "mlp_bias", true, "false")
	refuse(c.UseSlidingWindow, "use_sliding_window", true, "false")
	refuse(c.IsEncoderDecoder, "is_encoder_decoder", true, "false")
	refuse(c.AddCrossAttention, "add_cross_attention", true, "false")
	refuse(c.PartialRotary != nil && *c.PartialRotary != 1, "partial_rotary_factor", c.PartialRotary, "1")
	refuse(c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers, "layer_types", fmt.Sprintf("a list of %d", len(c.LayerTypes)), "one entry per layer")
	for i, kind := range c.LayerTypes {
		refuse(kind != "full_attention", fmt.Sprintf("layer_types[%d]", i), kind, "full_attention")
	}
	return errs
}

// Context is the number of positions the checkpoint is made for; a yarn rope stretches it.
func (c Config) Context() int {
	if c.Yarn == nil {
		return c.MaxPositionEmbeddings
	}
	return max(c.MaxPositionEmbeddings, int(math.Min(c.Yarn.Factor*c.Yarn.Original, 1<<28)))
}

// Published says whether these are the dimensions of Qwen3-4B-Instruct-2507, in bf16 or in FP8.
func (c Config) Published() bool {
	return c.VocabSize == 151936 && c.HiddenSize == 2560 && c.IntermediateSize == 9728 && c.NumHiddenLayers == 36 &&
		c.NumAttentionHeads == 32 && c.NumKeyValueHeads == 8 && c.HeadDim == 128 && c.RopeTheta == 5e6 && c.TieWordEmbeddings &&
		!c.AttentionBias
}
