// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import "github.com/inference-pio/inference-pio/cuda/hfconfig"

const architecture = "Qwen3MoeForCausalLM"

// Config is what config.json says, in its own words.
type Config struct {
	hfconfig.Checkpoint
	hfconfig.Decoder
	hfconfig.Experts
	HeadDim int `json:"head_dim"` // absent: hidden/heads

	// What is not built, and must say so.
	AttentionBias bool `json:"attention_bias"`
	UseQKNorm     bool `json:"use_qk_norm"`
	SharedExpert  int  `json:"shared_expert_intermediate_size"`
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	c := Config{
		Decoder:   hfconfig.Decoder{HiddenAct: "silu", RMSNormEps: 1e-6, RopeTheta: 10000},
		Experts:   hfconfig.Experts{DecoderSparseStep: 1},
		UseQKNorm: true,
	}
	var newer struct {
		NumLocalExperts *int `json:"num_local_experts"` // what transformers 5 calls num_experts
	}
	f, err := hfconfig.Read(text, &c, &newer)
	if err != nil {
		return c, err
	}
	if n := newer.NumLocalExperts; n != nil {
		f.Refuse(c.NumExperts != 0 && c.NumExperts != *n, "num_experts is %d and num_local_experts %d; they mean the same", c.NumExperts, *n)
		c.NumExperts = *n
	}
	if c.HeadDim == 0 && c.NumAttentionHeads > 0 {
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	c.CheckClass(f.Problems, architecture, "qwen3_moe")
	c.CheckDecoder(f.Problems, "full_attention")
	c.CheckWholeHeads(f.Problems, c.HeadDim)
	c.CheckExperts(f.Problems, c.NumHiddenLayers)
	f.NotBuilt(c.AttentionBias, "attention_bias", true, "false")
	f.NotBuilt(!c.UseQKNorm, "use_qk_norm", false, "true")
	f.NotBuilt(c.SharedExpert != 0, "shared_expert_intermediate_size", c.SharedExpert, "0")
	c.ReadWholeRope(f.Rope())
	c.FP8Block = f.FP8()
	return c, f.Err()
}

// Published says whether these are the dimensions of Qwen3-Coder-30B-A3B.
func (c Config) Published() bool {
	return c.VocabSize == 151936 && c.HiddenSize == 2048 && c.NumHiddenLayers == 48 && c.NumAttentionHeads == 32 && c.NumKeyValueHeads == 4 &&
		c.HeadDim == 128 && c.RopeTheta == 1e7 && !c.TieWordEmbeddings && c.NumExperts == 128 && c.NumExpertsPerTok == 8 &&
		c.MoEIntermediateSize == 768 && c.NormTopKProb && c.DecoderSparseStep == 1 && len(c.MLPOnlyLayers) == 0
}
