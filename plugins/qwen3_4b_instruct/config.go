// config.go reads config.json in both of its spellings: the published one and that of transformers 5. Every key of this
// architecture is honoured or, where it asks for something that is not built, refused by name. Keys the architecture does
// not have are ignored, as the reference does.

package main

import "github.com/inference-pio/inference-pio/cuda/hfconfig"

const architecture = "Qwen3ForCausalLM"

// Config is what config.json says, in its own words.
type Config struct {
	hfconfig.Checkpoint
	hfconfig.Decoder
	HeadDim          int  `json:"head_dim"` // explicit: not hidden/heads
	IntermediateSize int  `json:"intermediate_size"`
	AttentionBias    bool `json:"attention_bias"` // of q, k, v and o
}

// ParseConfig reads config.json and checks it. All that is wrong is in one error.
func ParseConfig(text []byte) (Config, error) {
	c := Config{Decoder: hfconfig.Decoder{HiddenAct: "silu", RMSNormEps: 1e-6, RopeTheta: 10000}, HeadDim: 128}
	f, err := hfconfig.Read(text, &c)
	if err != nil {
		return c, err
	}
	c.CheckClass(f.Problems, architecture, "qwen3")
	c.CheckDecoder(f.Problems, "full_attention")
	c.CheckWholeHeads(f.Problems, c.HeadDim)
	f.Size("intermediate_size", c.IntermediateSize, 1<<20)
	c.ReadWholeRope(f.Rope())
	c.FP8Block = f.FP8()
	return c, f.Err()
}

// Published says whether these are the dimensions of Qwen3-4B-Instruct-2507, in bf16 or in FP8.
func (c Config) Published() bool {
	return c.VocabSize == 151936 && c.HiddenSize == 2560 && c.IntermediateSize == 9728 && c.NumHiddenLayers == 36 &&
		c.NumAttentionHeads == 32 && c.NumKeyValueHeads == 8 && c.HeadDim == 128 && c.RopeTheta == 5e6 && c.TieWordEmbeddings &&
		!c.AttentionBias
}
