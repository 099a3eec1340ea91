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

const architecture = "Qwen3NextForCausalLM"

// The two kinds of layer, as layer_types says them.
const (
	linearAttention = "linear_attention"
	fullAttention   = "full_attention"
)

// Config is what config.json says, in its own words.
type Config struct {
	Architectures         []string `json:"architectures"`
	ModelType             string   `json:"model_type"`
	VocabSize             int      `json:"vocab_size"`
	HiddenSize            int      `json:"hidden_size"`
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	RMSNormEps            float64  `json:"rms_norm_eps"`
	TieWordEmbeddings     bool     `json:"tie_word_embeddings"`

	// Which layer is what: one word for each, or every so many-th attends and the others do not.
	LayerTypes            []string `json:"layer_types"`
	FullAttentionInterval int      `json:"full_attention_interval"`

	// Layers with full attention.
	NumAttentionHeads int      `json:"num_attention_heads"`
	NumKeyValueHeads  int      `json:"num_key_value_heads"`
	HeadDim           int      `json:"head_dim"` // explicit: not hidden/heads
	RotaryDim         int      `json:"-"`        // see ropeKeys
	RopeTheta         float64  `json:"-"`
	Yarn              *nn.Yarn `json:"-"`

	// Layers with the gated delta rule.
	LinearNumKeyHeads   int `json:"linear_num_key_heads"`
	LinearNumValueHeads int `json:"linear_num_value_heads"`
	LinearKeyHeadDim    int `json:"linear_key_head_dim"`
	LinearValueHeadDim  int `json:"linear_value_head_dim"`
	LinearConvKernelDim int `json:"linear_conv_kernel_dim"`

	// Feed-forward layers: a mixture, or dense ones of width intermediate_size.
	NumExperts                   int   `json:"num_experts"`
	NumExpertsPerTok             int   `json:"num_experts_per_tok"`
	MoeIntermediateSize          int   `json:"moe_intermediate_size"`
	SharedExpertIntermediateSize int   `json:"shared_expert_intermediate_size"`
	NormTopkProb                 bool  `json:"norm_topk_prob"`
	DecoderSparseStep            int   `json:"decoder_sparse_step"`
	MlpOnlyLayers                []int `json:"mlp_only_layers"`
	IntermediateSize             int   `json:"intermediate_size"`

	FP8Block [2]int `json:"-"` // see quantization.go; zero: no FP8 was announced

	refused
}

// refused is what is not built, and must say so.
type refused struct {
	HiddenAct         string `json:"hidden_act"`
	AttentionBias     bool   `json:"attention_bias"`
	QKVBias           bool   `json:"qkv_bias"`
	MLPBias           bool   `json:"mlp_bias"`
	UseSlidingWindow  bool   `json:"use_sliding_window"`
	UseQKNorm         *bool  `json:"use_qk_norm"`
	AttnOutputGate    *bool  `json:"attn_output_gate"`
	IsEncoderDecoder  bool   `json:"is_encoder_decoder"`
	AddCrossAttention bool   `json:"add_cross_attention"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	c := Config{
		HeadDim: 256, RMSNormEps: 1e-6, FullAttentionInterval: 4, LinearConvKernelDim: 4, NormTopkProb: true, DecoderSparseStep: 1,
		refused: refused{HiddenAct: "silu"},
	}
	var rope ropeKeys
	var quantization quantizationKeys
	for _, part := range []any{&c, &rope, &quantization} {
		if err := decode(text, part); err != nil {
			return c, fmt.Errorf("config.json: %w", err)
		}
	}
	err := errors.Join(rope.apply(&c), quantization.apply(&c))
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

// size is a key that is a number from 1 to max.
type size struct {
	key        string
	value, max int
}

// sizes lists those of the layers there are.
func (c Config) sizes() []size {
	list := []size{
		{"vocab_size", c.VocabSize, 1 << 24}, {"hidden_size", c.HiddenSize, 1 << 20}, {"num_hidden_layers", c.NumHiddenLayers, 1 << 12},
		{"num_attention_heads", c.NumAttentionHeads, 1 << 12}, {"num_key_value_heads", c.NumKeyValueHeads, 1 << 12}, {"head_dim", c.HeadDim, 1 << 12},
		{"linear_num_key_heads", c.LinearNumKeyHeads, 1 << 12}, {"linear_num_value_heads", c.LinearNumValueHeads, 1 << 12},
		{"linear_key_head_dim", c.LinearKeyHeadDim, 1 << 10}, {"linear_value_head_dim", c.LinearValueHeadDim, 1 << 12},
		{"linear_conv_kernel_dim", c.LinearConvKernelDim, 1 << 6}, {"full_attention_interval", c.FullAttentionInterval, 1 << 12},
		{"decoder_sparse_step", c.DecoderSparseStep, 1 << 12}, {"max_position_embeddings", c.MaxPositionEmbeddings, 1 << 28},
	}
	sparse, dense := c.feedForward()
	if sparse {
		list = append(list, size{"num_experts", c.NumExperts, 1 << 14}, size{"num_experts_per_tok", c.NumExpertsPerTok, max(c.NumExperts, 1)},
			size{"moe_intermediate_size", c.MoeIntermediateSize, 1 << 20}, size{"shared_expert_intermediate_size", c.SharedExpertIntermediateSize, 1 << 20})
	}
	if dense {
		list = append(list, size{"intermediate_size", c.IntermediateSize, 1 << 20})
	}
	return list
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
	refuse(c.ModelType != "" && c.ModelType != "qwen3_next", "model_type is %q; this plugin runs qwen3_next", c.ModelType)
	for _, n := range c.sizes() {
		refuse(n.value < 1 || n.value > n.max, "%s is %d; a number from 1 to %d is needed", n.key, n.value, n.max)
	}
	refuse(c.NumExperts < 0, "num_experts is %d; a number from 0 is needed", c.NumExperts)
	refuse(c.NumKeyValueHeads > 0 && c.NumAttentionHeads%c.NumKeyValueHeads != 0,
		"num_attention_heads is %d, which num_key_value_heads %d does not divide", c.NumAttentionHeads, c.NumKeyValueHeads)
	refuse(c.LinearNumKeyHeads > 0 && c.LinearNumValueHeads%c.LinearNumKeyHeads != 0,
		"linear_num_value_heads is %d, which linear_num_key_heads %d does not divide", c.LinearNumValueHeads, c.LinearNumKeyHeads)
	refuse(c.RMSNormEps <= 0 || c.RMSNormEps >= 1, "rms_norm_eps is %v; a number between 0 and 1 is needed", c.RMSNormEps)
	refuse(c.LayerTypes != nil && len(c.LayerTypes) != c.NumHiddenLayers, "layer_types has %d entries for %d layers", len(c.LayerTypes), c.NumHiddenLayers)
	for i, kind := range c.LayerTypes {
		refuse(kind != fullAttention && kind != linearAttention, "layer_types[%d] is %q, which is not built; only %s and %s are", i, kind, linearAttention, fullAttention)
	}
	return errors.Join(append(errs, c.notBuilt()...)...)
}

// notBuilt names each key that asks for a computation this plugin does not have.
func (r refused) notBuilt() (errs []error) {
	refuse := func(wrong bool, key string, value any, only string) {
		if wrong {
			errs = append(errs, fmt.Errorf("config.json: %s is %v, which is not built; only %s is", key, value, only))
		}
	}
	refuse(r.HiddenAct != "silu", "hidden_act", r.HiddenAct, "silu")
	refuse(r.AttentionBias, "attention_bias", true, "false")
	refuse(r.QKVBias, "qkv_bias", true, "false")
	refuse(r.MLPBias, "mlp_bias", true, "false")
	refuse(r.UseSlidingWindow, "use_sliding_window", true, "false")
	refuse(r.UseQKNorm != nil && !*r.UseQKNorm, "use_qk_norm", false, "true")
	refuse(r.AttnOutputGate != nil && !*r.AttnOutputGate, "attn_output_gate", false, "true")
	refuse(r.IsEncoderDecoder, "is_encoder_decoder", true, "false")
	refuse(r.AddCrossAttention, "add_cross_attention", true, "false")
	return errs
}

// attends says whether layer i has full attention.
func (c Config) attends(i int) bool {
	if c.LayerTypes != nil {
		return i < len(c.LayerTypes) && c.LayerTypes[i] == fullAttention
	}
	return (i+1)%max(c.FullAttentionInterval, 1) == 0
}

// sparse says whether layer i has a mixture of experts.
func (c Config) sparse(i int) bool {
	return c.NumExperts > 0 && (i+1)%max(c.DecoderSparseStep, 1) == 0 && !slices.Contains(c.MlpOnlyLayers, i)
}

// feedForward says which kinds of feed-forward layer there are.
func (c Config) feedForward() (sparse, dense bool) {
	for i := range min(c.NumHiddenLayers, 1<<12) {
		sparse, dense = sparse || c.sparse(i), dense || !c.sparse(i)
	}
	return sparse, dense
}

// Context is the number of positions the checkpoint is made for; a yarn rope stretches it.
func (c Config) Context() int {
	if c.Yarn == nil {
		return c.MaxPositionEmbeddings
	}
	return max(c.MaxPositionEmbeddings, int(math.Min(c.Yarn.Factor*c.Yarn.Original, 1<<28)))
}

// Published says whether these are the dimensions of Qwen3-Coder-Next.
func (c Config) Published() bool {
	attention := c.NumAttentionHeads == 16 && c.NumKeyValueHeads == 2 && c.HeadDim == 256 && c.RotaryDim == 64 && c.RopeTheta == 5e6
	delta := c.LinearNumKeyHeads == 16 && c.LinearNumValueHeads == 32 && c.LinearKeyHeadDim == 128 && c.LinearValueHeadDim == 128 && c.LinearConvKernelDim == 4
	mixture := c.NumExperts == 512 && c.NumExpertsPerTok == 10 && c.MoeIntermediateSize == 512 && c.SharedExpertIntermediateSize == 512 && c.NormTopkProb
	_, dense := c.feedForward()
	for i := range c.NumHiddenLayers {
		attention = attention && c.attends(i) == (i%4 == 3)
	}
	return c.VocabSize == 151936 && c.HiddenSize == 2048 && c.NumHiddenLayers == 48 && !c.TieWordEmbeddings && attention && delta && mixture && !dense
}
