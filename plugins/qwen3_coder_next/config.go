// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import "github.com/inference-pio/inference-pio/cuda/hfconfig"

const architecture = "Qwen3NextForCausalLM"

// The two kinds of layer, as layer_types says them.
const (
	linearAttention = "linear_attention"
	fullAttention   = "full_attention"
)

// Config is what config.json says, in its own words.
type Config struct {
	hfconfig.Checkpoint
	hfconfig.Decoder
	FullAttentionInterval int `json:"full_attention_interval"` // where layer_types is absent: every so many-th attends, the others do not

	// Layers with full attention.
	HeadDim   int `json:"head_dim"` // explicit: not hidden/heads
	RotaryDim int `json:"-"`        // elements of a head that the rope turns

	// Layers with the gated delta rule.
	LinearNumKeyHeads   int `json:"linear_num_key_heads"`
	LinearNumValueHeads int `json:"linear_num_value_heads"`
	LinearKeyHeadDim    int `json:"linear_key_head_dim"`
	LinearValueHeadDim  int `json:"linear_value_head_dim"`
	LinearConvKernelDim int `json:"linear_conv_kernel_dim"`

	// Feed-forward layers.
	hfconfig.Experts
	SharedExpertIntermediateSize int `json:"shared_expert_intermediate_size"`

	// What is not built, and must say so.
	AttentionBias  bool `json:"attention_bias"`
	UseQKNorm      bool `json:"use_qk_norm"`
	AttnOutputGate bool `json:"attn_output_gate"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	c := Config{
		Decoder:               hfconfig.Decoder{HiddenAct: "silu", RMSNormEps: 1e-6, RopeTheta: 10000},
		FullAttentionInterval: 4,
		HeadDim:               256,
		LinearConvKernelDim:   4,
		Experts:               hfconfig.Experts{NormTopKProb: true, DecoderSparseStep: 1},
		UseQKNorm:             true,
		AttnOutputGate:        true,
	}
	f, err := hfconfig.Read(text, &c)
	if err != nil {
		return c, err
	}
	c.CheckClass(f.Problems, architecture, "qwen3_next")
	c.CheckDecoder(f.Problems, linearAttention, fullAttention)
	c.CheckHeads(f.Problems, c.HeadDim)
	c.CheckExperts(f.Problems, c.NumHiddenLayers)
	c.check(f.Problems)
	r := f.Rope()
	c.RotaryDim = r.Turned(c.HeadDim, 0.25)
	c.ReadRope(r)
	r.Done()
	c.FP8Block = f.FP8()
	return c, f.Err()
}

// check says what only this architecture has to ask for.
func (c Config) check(p *hfconfig.Problems) {
	p.Size("full_attention_interval", c.FullAttentionInterval, 1<<12)
	p.Size("linear_num_key_heads", c.LinearNumKeyHeads, 1<<12)
	p.Size("linear_num_value_heads", c.LinearNumValueHeads, 1<<12)
	p.Divides("linear_num_value_heads", c.LinearNumValueHeads, "linear_num_key_heads", c.LinearNumKeyHeads)
	p.Size("linear_key_head_dim", c.LinearKeyHeadDim, 1<<10)
	p.Size("linear_value_head_dim", c.LinearValueHeadDim, 1<<12)
	p.Size("linear_conv_kernel_dim", c.LinearConvKernelDim, 1<<6)
	if sparse, _ := c.Kinds(c.NumHiddenLayers); sparse {
		p.Size("shared_expert_intermediate_size", c.SharedExpertIntermediateSize, 1<<20)
	}
	p.NotBuilt(c.AttentionBias, "attention_bias", true, "false")
	p.NotBuilt(!c.UseQKNorm, "use_qk_norm", false, "true")
	p.NotBuilt(!c.AttnOutputGate, "attn_output_gate", false, "true")
}

// attends says whether layer i has full attention.
func (c Config) attends(i int) bool {
	if c.LayerTypes != nil {
		return i < len(c.LayerTypes) && c.LayerTypes[i] == fullAttention
	}
	return (i+1)%max(c.FullAttentionInterval, 1) == 0
}

// Published says whether these are the dimensions of Qwen3-Coder-Next.
func (c Config) Published() bool {
	attention := c.NumAttentionHeads == 16 && c.NumKeyValueHeads == 2 && c.HeadDim == 256 && c.RotaryDim == 64 && c.RopeTheta == 5e6
	delta := c.LinearNumKeyHeads == 16 && c.LinearNumValueHeads == 32 && c.LinearKeyHeadDim == 128 && c.LinearValueHeadDim == 128 && c.LinearConvKernelDim == 4
	mixture := c.NumExperts == 512 && c.NumExpertsPerTok == 10 && c.MoEIntermediateSize == 512 && c.SharedExpertIntermediateSize == 512 && c.NormTopKProb
	_, dense := c.Kinds(c.NumHiddenLayers)
	for i := range c.NumHiddenLayers {
		attention = attention && c.attends(i) == (i%4 == 3)
	}
	return c.VocabSize == 151936 && c.HiddenSize == 2048 && c.NumHiddenLayers == 48 && !c.TieWordEmbeddings && attention && delta && mixture && !dense
}
