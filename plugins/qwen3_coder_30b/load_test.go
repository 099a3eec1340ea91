package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// inFP8 says what the FP8 release has in FP8: the matrices of the layers but the router.
func inFP8(name string, _ []int) bool { return strings.Contains(name, "_proj") }

// The whole published depth, width and number of experts, in bf16 and in FP8: parameters, modules, bytes, and it generates. Its 61 GB fit
// in the memory of one layer, one expert and one embedding.
func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	suite.Generates(t, []byte(published), 0, nntest.Unnumbered, nntest.Published{
		Parameters: 30_532_122_624, Bytes: publishedBytes(false), FP8: inFP8, FP8Bytes: publishedBytes(true),
		Layers: 48, Modules: 3 + 48 + 48*128, Vocab: 151936, // embed_tokens, norm, lm_head, layers, experts
	})
}

// publishedBytes counts by hand: bf16 is two bytes each, as the index of the release says; in FP8 the matrices of attention and
// experts are one byte each and have a factor in f32 for every 128 x 128 of them, which all their sizes are multiples of.
func publishedBytes(quantized bool) int64 {
	const parameters, layers = 30_532_122_624, 48
	if !quantized {
		return 61_064_245_248
	}
	const matrices = 2*4096*2048 + 2*512*2048 + 128*3*768*2048 // q o, k v, gate up down of each expert
	return 2*(parameters-layers*matrices) + layers*(matrices+matrices/(128*128)*4)
}

// The layer table that a host plans with adds up, at the published shape and for the tiny checkpoint; each expert is a module.
func TestLayerTableAddsUp(t *testing.T) {
	const outside, layer = 2*151936*2048 + 2048, (30_532_122_624 - 2*151936*2048 - 2048) / 48
	plugin.LayerTables(t, published, []servetest.Table{
		{Fit: sdk.FitExact, Parameters: 30_532_122_624, Bytes: 61_064_245_248, Position: 48 * 2 * 4 * 128 * 4, Modules: 6195, Experts: 48 * 128},
		{Layers: 2, Fit: sdk.FitExact, Parameters: outside + 2*layer, Bytes: 2 * (outside + 2*layer), Position: 2 * 2 * 4 * 128 * 4, Modules: 3 + 2*129, Experts: 2 * 128},
		{Dir: tiny, Fit: sdk.FitFamily, Parameters: nntest.TensorBytes(t, tiny) / 2, Bytes: nntest.TensorBytes(t, tiny), Position: 4 * 2 * 32 * 4, Modules: 3 + 4*9, Experts: 4 * 8},
	})
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	suite.Misfit(t, map[string]*weights.View{
		"model.layers.3.mlp.experts.7.up_proj.weight":     nil,
		"model.norm.weight":                               nil,
		"model.layers.0.mlp.experts.2.down_proj.weight":   nntest.Zeros(96, 128),
		"model.layers.1.mlp.gate.weight":                  nntest.Zeros(9, 128),
		"model.layers.0.mlp.experts.8.up_proj.weight":     nntest.Zeros(96, 128),
		"model.layers.2.mlp.shared_expert.up_proj.weight": nntest.Zeros(96, 128),
		"model.layers.2.mlp.experts.0.gate_proj.weight":   nntest.OfBytes(96, 128),
		"model.layers.2.self_attn.rotary_emb.inv_freq":    nntest.Zeros(16), // known, and not needed
	}, nn.BindError{
		Missing: []string{"model.layers.3.mlp.experts.7.up_proj.weight (96, 128)", "model.norm.weight (128)"},
		Shapes:  []string{"model.layers.0.mlp.experts.2.down_proj.weight is (96, 128), not (128, 96)", "model.layers.1.mlp.gate.weight is (9, 128), not (8, 128)"},
		Types:   []string{"model.layers.2.mlp.experts.0.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.mlp.experts.8.up_proj.weight", "model.layers.2.mlp.shared_expert.up_proj.weight"},
	})
}

func TestTheHeadIsTheEmbeddingOnlyWhereTied(t *testing.T) { suite.Heads(t) }

func TestJoinedExpertsAreTheSameModel(t *testing.T) { suite.JoinedExperts(t) }

func TestFP8ExpertsAreTheirNumbers(t *testing.T) {
	suite.FP8Numbers(t, with(t, `"vocab_size": 90, "hidden_size": 70, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
		"num_experts": 9, "num_experts_per_tok": 3, "moe_intermediate_size": 37, "max_position_embeddings": 128,
		"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 24]}`), 90, 16, 24, 2*9*3)
}

func TestKernelsAgreeOnRandomConfigs(t *testing.T) { suite.RandomConfigs(t, random) }

// random is a legal config of a small model; each fourth in FP8 with blocks of any size.
func random(t testing.TB, rng *rand.Rand, i int) nntest.Invention {
	dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4]
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	kv, experts := 1+rng.IntN(4), 1+rng.IntN(20)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": 1 + rng.IntN(4), "num_key_value_heads": kv, "num_attention_heads": kv * (1 + rng.IntN(5)), "head_dim": 2 * (1 + rng.IntN(40)),
		"max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6, 8))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
		"num_experts": experts, "num_experts_per_tok": 1 + rng.IntN(experts), "moe_intermediate_size": 1 + rng.IntN(60), "norm_topk_prob": rng.IntN(2) == 0,
		"decoder_sparse_step": 1 + rng.IntN(2), "mlp_only_layers": []int{rng.IntN(8)},
	}
	if dtype == cuda.F8E4M3 {
		config["quantization_config"] = map[string]any{"quant_method": "fp8", "weight_block_size": []int{pick(1, 16, 31, 128), pick(3, 24, 64, 128)}}
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return nntest.Invention{Config: text, Source: weights.Dummy(uint64(i), dtype)}
}
