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

// inFP8 says what the FP8 release has in FP8: the matrices of the layers.
func inFP8(name string, shape []int) bool {
	return len(shape) == 2 && strings.HasPrefix(name, "model.layers.")
}

// The whole published depth and width, in bf16 and in FP8: parameters, modules, bytes, and it generates. All layers have the bytes of
// one; the benchmark has every layer's own, eight gigabytes of them.
func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	suite.Generates(t, []byte(published), 0, nntest.Unnumbered, nntest.Published{
		Parameters: 4_022_468_096, Bytes: publishedBytes(false), FP8: inFP8, FP8Bytes: publishedBytes(true),
		Layers: 36, Modules: 38, Vocab: 151936, // embed_tokens, 36 layers, norm; the head is the embedding
	})
}

// publishedBytes counts by hand: bf16 is two bytes each; in FP8 a layer's seven matrices are one byte each and have a factor in f32
// for every 128 x 128 of them, which all their sizes are multiples of.
func publishedBytes(quantized bool) int64 {
	const parameters, layers = 4_022_468_096, 36
	if !quantized {
		return 2 * parameters
	}
	const matrices = 2*4096*2560 + 2*1024*2560 + 3*9728*2560 // q o, k v, gate up down
	return 2*(parameters-layers*matrices) + layers*(matrices+matrices/(128*128)*4)
}

// The layer table that a host plans with adds up, at the published shape and for both tiny checkpoints.
func TestLayerTableAddsUp(t *testing.T) {
	const outside, layer = 151936*2560 + 2560, 100_930_816
	plugin.LayerTables(t, published, []servetest.Table{
		{Fit: sdk.FitExact, Parameters: 4_022_468_096, Bytes: 2 * 4_022_468_096, Position: 36 * 2 * 8 * 128 * 4, Modules: 38},
		{Layers: 3, Fit: sdk.FitExact, Parameters: outside + 3*layer, Bytes: 2 * (outside + 3*layer), Position: 3 * 2 * 8 * 128 * 4, Modules: 5},
		{Dir: tiny, Fit: sdk.FitFamily, Parameters: 1_819_680, Bytes: 2 * 1_819_680, Position: 5 * 2 * 2 * 32 * 4, Modules: 7},
		{Dir: tinyFP8, Fit: sdk.FitFamily, Parameters: 1_819_680, Bytes: nntest.TensorBytes(t, tinyFP8), Position: 5 * 2 * 2 * 32 * 4, Modules: 7},
	})
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	suite.Misfit(t, map[string]*weights.View{
		"model.layers.3.self_attn.q_proj.weight":       nil,
		"model.norm.weight":                            nil,
		"model.layers.0.mlp.up_proj.weight":            nntest.Zeros(160, 480),
		"model.layers.1.self_attn.q_norm.weight":       nntest.Zeros(160),
		"model.layers.0.self_attn.q_proj.bias":         nntest.Zeros(256),
		"model.layers.5.input_layernorm.weight":        nntest.Zeros(160),
		"model.layers.2.mlp.gate_proj.weight":          nntest.OfBytes(480, 160),
		"model.layers.2.self_attn.rotary_emb.inv_freq": nntest.Zeros(16), // known, and not needed
	}, nn.BindError{
		Missing: []string{"model.layers.3.self_attn.q_proj.weight (256, 160)", "model.norm.weight (160)"},
		Shapes:  []string{"model.layers.0.mlp.up_proj.weight is (160, 480), not (480, 160)", "model.layers.1.self_attn.q_norm.weight is (160), not (32)"},
		Types:   []string{"model.layers.2.mlp.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.self_attn.q_proj.bias", "model.layers.5.input_layernorm.weight"},
	})
}

func TestTheHeadIsTheEmbeddingOnlyWhereTied(t *testing.T) { suite.Heads(t) }

func TestKernelsAgreeOnRandomConfigs(t *testing.T) { suite.RandomConfigs(t, random) }

// random is a legal config of a small model; each fourth in FP8 with blocks of any size.
func random(t testing.TB, rng *rand.Rand, i int) nntest.Invention {
	dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4]
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	kv := 1 + rng.IntN(4)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": 1 + rng.IntN(4), "num_key_value_heads": kv, "num_attention_heads": kv * (1 + rng.IntN(5)), "head_dim": 2 * (1 + rng.IntN(40)),
		"max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6, 8))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
		"attention_bias": rng.IntN(3) == 0,
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
