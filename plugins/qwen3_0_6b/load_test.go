package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	suite.Generates(t, []byte(published), 0, nntest.Itself, nntest.Published{
		Parameters: 596_049_920, Bytes: 2 * 596_049_920, Layers: 28, Modules: 30, Vocab: 151936, // embed_tokens, 28 layers, norm; the head is the embedding
	})
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	suite.Misfit(t, map[string]*weights.View{
		"model.layers.3.self_attn.q_proj.weight":       nil,
		"model.norm.weight":                            nil,
		"model.layers.0.mlp.up_proj.weight":            nntest.Zeros(128, 384),
		"model.layers.1.self_attn.q_norm.weight":       nntest.Zeros(128),
		"model.layers.0.self_attn.q_proj.bias":         nntest.Zeros(256),
		"model.layers.4.input_layernorm.weight":        nntest.Zeros(128),
		"model.layers.2.mlp.gate_proj.weight":          nntest.OfBytes(384, 128),
		"model.layers.2.self_attn.rotary_emb.inv_freq": nntest.Zeros(32), // known, and not needed
	}, nn.BindError{
		Missing: []string{"model.layers.3.self_attn.q_proj.weight (256, 128)", "model.norm.weight (128)"},
		Shapes:  []string{"model.layers.0.mlp.up_proj.weight is (128, 384), not (384, 128)", "model.layers.1.self_attn.q_norm.weight is (128), not (64)"},
		Types:   []string{"model.layers.2.mlp.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.self_attn.q_proj.bias", "model.layers.4.input_layernorm.weight"},
	})
}

func TestTheHeadIsTheEmbeddingOnlyWhereTied(t *testing.T) { suite.Heads(t) }

func TestKernelsAgreeOnRandomConfigs(t *testing.T) { suite.RandomConfigs(t, random) }

// random is a legal config of a small model.
func random(t testing.TB, rng *rand.Rand, i int) nntest.Invention {
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	kv := 1 + rng.IntN(4)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": 1 + rng.IntN(4), "num_key_value_heads": kv, "num_attention_heads": kv * (1 + rng.IntN(5)), "head_dim": 2 * (1 + rng.IntN(40)),
		"max_position_embeddings": 256, "rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6, 8))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": rng.IntN(2) == 0,
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return nntest.Invention{Config: text, Source: weights.Dummy(uint64(i), []cuda.DType{cuda.BF16, cuda.F16, cuda.F32}[i%3])}
}
