// gguf.go is how a GGUF file has this architecture: which key stands for what of config.json, which tensor for which.

package main

import "github.com/inference-pio/inference-pio/cuda/hfgguf"

var inGGUF = hfgguf.Architecture{Name: "qwen3", Config: ggufConfig, Rules: ggufRules}

func ggufConfig(k *hfgguf.Keys) hfgguf.Config {
	c := k.Decoder(architecture, "qwen3")
	c["head_dim"] = k.Int("attention.key_length")
	return c
}

func ggufRules(k *hfgguf.Keys) hfgguf.Rules {
	return hfgguf.With(hfgguf.Embeddings("model."), hfgguf.Norms("model.", "blk.N.ffn_norm.weight"), k.Attention("model."), hfgguf.DenseMLP("model."))
}
