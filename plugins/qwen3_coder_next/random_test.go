package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

func TestKernelsAgreeOnRandomConfigs(t *testing.T) { suite.RandomConfigs(t, random) }

// random is a legal config of a small model in either spelling; each fourth in FP8 with blocks of any size.
func random(t testing.TB, rng *rand.Rand, i int) nntest.Invention {
	dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4]
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	upTo := func(n int) int { return 1 + rng.IntN(n) }
	kv, keyHeads, experts, layers := upTo(3), upTo(3), rng.IntN(7), upTo(4)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 1 + upTo(200), "hidden_size": upTo(100), "intermediate_size": upTo(100),
		"num_hidden_layers": layers, "max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6))),
		"rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
		"num_key_value_heads": kv, "num_attention_heads": kv * upTo(4), "head_dim": 8 * upTo(6), "partial_rotary_factor": 0.25 * float64(upTo(4)),
		"linear_num_key_heads": keyHeads, "linear_num_value_heads": keyHeads * upTo(4), "linear_key_head_dim": upTo(40),
		"linear_value_head_dim": upTo(150), "linear_conv_kernel_dim": upTo(5),
		"num_experts": experts, "num_experts_per_tok": upTo(max(experts, 1)), "moe_intermediate_size": upTo(40), "shared_expert_intermediate_size": upTo(40),
		"norm_topk_prob": rng.IntN(2) == 0, "decoder_sparse_step": upTo(2), "mlp_only_layers": []int{rng.IntN(8)},
	}
	kinds := make([]string, layers)
	for i := range kinds {
		kinds[i] = []string{linearAttention, linearAttention, fullAttention}[rng.IntN(3)]
	}
	if config["layer_types"] = kinds; rng.IntN(2) == 0 {
		delete(config, "layer_types")
		config["full_attention_interval"] = upTo(4)
	}
	if dtype == cuda.F8E4M3 {
		config["quantization_config"] = map[string]any{"quant_method": "fp8", "weight_block_size": []int{pick(1, 16, 31, 128), pick(3, 24, 64, 128)}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	sp := Spelling{rng.IntN(2) == 0, rng.IntN(2) == 0}
	return nntest.Invention{Config: text, Source: mixed(uint64(i), dtype), Open: func(config []byte, layers int, _ func(string) bool) (nntest.Model, error) {
		c, err := ParseConfig(config)
		if err != nil {
			return nil, err
		}
		return New(c, layers, sp), nil
	}}
}

// mixed are weights of a type; with FP8 only what an FP8 release quantizes has it, and the rest is in bf16.
func mixed(seed uint64, dtype cuda.DType) weights.Source {
	src, bf16 := weights.Dummy(seed, dtype), weights.Dummy(seed, cuda.BF16)
	return nntest.Source{Find: func(name string, shape []int) (weights.View, bool) {
		if dtype == cuda.F8E4M3 && !inFP8(name, shape) {
			return bf16.Get(name, shape)
		}
		return src.Get(name, shape)
	}}
}
