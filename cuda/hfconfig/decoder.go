// What the config of every decoder has, to be embedded in a model's own Config.

package hfconfig

import (
	"math"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/cuda/nn"
)

// Checkpoint is what a config says of the whole file beside it.
type Checkpoint struct {
	Architectures     []string `json:"architectures"`
	ModelType         string   `json:"model_type"`
	TieWordEmbeddings bool     `json:"tie_word_embeddings"`

	FP8Block [2]int `json:"-"` // rows and columns of a block with one scale; zero: no FP8 was announced
}

// CheckClass refuses checkpoints of another class.
func (c Checkpoint) CheckClass(p *Problems, architecture, modelType string) {
	p.Refuse(!slices.Contains(c.Architectures, architecture), "architectures is %q; this plugin runs %s", c.Architectures, architecture)
	p.ModelType(c.ModelType, modelType)
}

// Superfluous says whether a tensor is one that files may have and no model reads: a copy of the tied head, or frequencies
// of a rope, which old exporters saved.
func (c Checkpoint) Superfluous(tensor string) bool {
	return c.TieWordEmbeddings && tensor == "lm_head.weight" || strings.HasSuffix(tensor, ".inv_freq")
}

// Decoder is the keys of a stack of layers that attend and feed forward. Values set before decoding stand for absent keys.
type Decoder struct {
	VocabSize             int      `json:"vocab_size"`
	HiddenSize            int      `json:"hidden_size"`
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	LayerTypes            []string `json:"layer_types"`
	NumAttentionHeads     int      `json:"num_attention_heads"`
	NumKeyValueHeads      int      `json:"num_key_value_heads"`
	MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	RMSNormEps            float64  `json:"rms_norm_eps"`
	HiddenAct             string   `json:"hidden_act"`

	RopeTheta float64  `json:"-"` // see ReadRope
	Yarn      *nn.Yarn `json:"-"`

	// What no decoder here has, and must say so.
	QKVBias           bool `json:"qkv_bias"`
	MLPBias           bool `json:"mlp_bias"`
	UseSlidingWindow  bool `json:"use_sliding_window"`
	IsEncoderDecoder  bool `json:"is_encoder_decoder"`
	AddCrossAttention bool `json:"add_cross_attention"`
}

// CheckDecoder refuses what is missing, impossible or not built. layerTypes are the kinds of layer that are.
func (d Decoder) CheckDecoder(p *Problems, layerTypes ...string) {
	p.Size("vocab_size", d.VocabSize, 1<<24)
	p.Size("hidden_size", d.HiddenSize, 1<<20)
	p.Size("num_hidden_layers", d.NumHiddenLayers, 1<<12)
	p.Size("num_attention_heads", d.NumAttentionHeads, 1<<12)
	p.Size("num_key_value_heads", d.NumKeyValueHeads, 1<<12)
	p.Size("max_position_embeddings", d.MaxPositionEmbeddings, 1<<28)
	p.Refuse(!(d.RMSNormEps > 0 && d.RMSNormEps < 1), "rms_norm_eps is %v; a number between 0 and 1 is needed", d.RMSNormEps)
	p.Layers("layer_types", d.LayerTypes, d.NumHiddenLayers, layerTypes...)

	p.NotBuilt(d.HiddenAct != "silu", "hidden_act", d.HiddenAct, "silu")
	p.NotBuilt(d.QKVBias, "qkv_bias", true, "false")
	p.NotBuilt(d.MLPBias, "mlp_bias", true, "false")
	p.NotBuilt(d.UseSlidingWindow, "use_sliding_window", true, "false")
	p.NotBuilt(d.IsEncoderDecoder, "is_encoder_decoder", true, "false")
	p.NotBuilt(d.AddCrossAttention, "add_cross_attention", true, "false")
}

// CheckHeads refuses heads that cannot share those of keys and values.
func (d Decoder) CheckHeads(p *Problems, headDim int) {
	p.Size("head_dim", headDim, 1<<12)
	p.Divides("num_attention_heads", d.NumAttentionHeads, "num_key_value_heads", d.NumKeyValueHeads)
}

// CheckWholeHeads is CheckHeads of heads that a rope turns whole.
func (d Decoder) CheckWholeHeads(p *Problems, headDim int) {
	d.CheckHeads(p, headDim)
	p.Even("head_dim", headDim)
}

// ReadRope reads the base of a rope and whether it is stretched; alias are other names of the default type. Other fields are to be
// read beside it, and then r.Done.
func (d *Decoder) ReadRope(r *Rope, alias ...string) {
	d.RopeTheta = r.Theta(d.RopeTheta)
	if r.Kind(append([]string{"default", "yarn"}, alias...)...) == "yarn" {
		d.Yarn = r.yarn(d.MaxPositionEmbeddings)
	}
}

// ReadWholeRope reads a rope that turns whole heads and has no field of its own.
func (d *Decoder) ReadWholeRope(r *Rope) {
	r.Whole()
	d.ReadRope(r)
	r.Done()
}

// Context is the number of positions the checkpoint is made for; a yarn rope stretches it.
func (d Decoder) Context() int {
	if d.Yarn == nil {
		return d.MaxPositionEmbeddings
	}
	return max(d.MaxPositionEmbeddings, int(math.Min(d.Yarn.Factor*d.Yarn.Original, 1<<28)))
}

// FirstLayers is how many layers to build when the first n are asked for: all of them if n is 0 or more than there are.
func (d Decoder) FirstLayers(n int) int {
	if n <= 0 {
		return d.NumHiddenLayers
	}
	return min(n, d.NumHiddenLayers)
}
