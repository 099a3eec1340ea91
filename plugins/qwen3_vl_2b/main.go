package main

import "github.com/inference-pio/inference-pio/cuda/serve"

func main() { serve.Main(family) }

var family = serve.Family{
	Name:          "qwen3_vl_2b",
	Version:       "0.1.0",
	Architectures: []string{architecture},
	Open:          Open,
	GGUF:          &inGGUF,
}
