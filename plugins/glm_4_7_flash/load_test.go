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

// The whole published depth, width and number of experts, in bf16 and in FP8: parameters, modules, bytes, and it generates. Its 60 GB fit
// in the memory of one layer, one expert and one embedding.
func TestPublishedShapeHasItsParametersAndGenerates(t *testing.T) {
	suite.Generates(t, []byte(published), 0, nntest.Unnumbered, nntest.Published{
		Parameters: 29_943_393_920, Bytes: publishedBytes(false), FP8: inFP8, FP8Bytes: publishedBytes(true),
		Layers: 47, Modules: 3 + 47 + 46*64, Vocab: 154880, // embed_tokens, norm, lm_head, layers, experts
	})
}

// publishedBytes counts by hand: bf16 is two bytes each; in FP8 the matrices of attention and feed-forward layers are one byte each
// and have a factor in f32 for every 128 x 128 of them, or the part of it that is there.
func publishedBytes(quantized bool) int64 {
	const parameters = 29_943_393_920
	if !quantized {
		return 2 * parameters
	}
	var elements, factors int64
	matrices := func(n, out, in int64) {
		elements += n * out * in
		factors += n * ((out + 127) / 128) * ((in + 127) / 128)
	}
	matrices(47, 768, 2048)           // query down
	matrices(47, 20*256, 768)         // query up
	matrices(47, 576, 2048)           // latent and shared key
	matrices(47, 20*448, 512)         // keys and values of the heads
	matrices(47, 2048, 20*256)        // out
	matrices(3, 10240, 2048)          // the dense layer, one of them turned
	matrices(46*(64+1)*3, 1536, 2048) // experts and the shared one
	return 2*(parameters-elements) + elements + 4*factors
}

// attention is the parameters of one layer's attention.
const attention = 768*2048 + 768 + 20*256*768 + 576*2048 + 512 + 20*448*512 + 2048*20*256

// The layer table that a host plans with adds up, at the published shape and for the tiny checkpoint; each expert is a module.
func TestLayerTableAddsUp(t *testing.T) {
	const outside = 2*154880*2048 + 2048 // embedding and head, final norm
	const first = attention + 2*2048 + 3*10240*2048
	const sparse = attention + 2*2048 + 64*2048 + 64 + 65*3*1536*2048
	plugin.LayerTables(t, published, []servetest.Table{
		{Fit: sdk.FitExact, Parameters: 29_943_393_920, Bytes: 59_886_787_840, Position: 47 * 576 * 4, Modules: 3 + 47 + 46*64, Experts: 46 * 64},
		{Layers: 2, Fit: sdk.FitExact, Parameters: outside + first + sparse, Bytes: 2 * (outside + first + sparse), Position: 2 * 576 * 4, Modules: 3 + 2 + 64, Experts: 64},
		{Dir: tiny, Fit: sdk.FitFamily, Parameters: (nntest.TensorBytes(t, tiny) - 2*3*8) / 2, // the routers' biases are in f32
			Bytes: nntest.TensorBytes(t, tiny), Position: 4 * (64 + 16) * 4, Modules: 3 + 4 + 3*8, Experts: 3 * 8},
	})
}

// bindTiny binds a config to the tiny checkpoint with tensors changed.
func bindTiny(t *testing.T, config string, changes map[string]*weights.View) (*Model, error) {
	t.Helper()
	m, _, err := suite.Bind([]byte(config), 0, nntest.Edited(checkpoint(t, tiny), changes))
	if err != nil {
		return nil, err
	}
	return m.(*Model), nil
}

func TestMissingExtraAndMisshapenTensorsAreOneError(t *testing.T) {
	suite.Misfit(t, map[string]*weights.View{
		"model.layers.3.mlp.experts.7.up_proj.weight":        nil,
		"model.norm.weight":                                  nil,
		"model.layers.1.mlp.gate.e_score_correction_bias":    nil,
		"model.layers.1.mlp.experts.2.down_proj.weight":      nntest.Zeros(96, 128),
		"model.layers.2.self_attn.kv_b_proj.weight":          nntest.Zeros(64, 320),
		"model.layers.0.mlp.experts.0.up_proj.weight":        nntest.Zeros(96, 128), // this layer is dense
		"model.layers.2.self_attn.q_proj.weight":             nntest.Zeros(192, 128),
		"model.layers.2.mlp.shared_experts.gate_proj.weight": nntest.OfBytes(96, 128),
		"model.layers.2.self_attn.rotary_emb.inv_freq":       nntest.Zeros(8), // known, and not needed
	}, nn.BindError{
		Missing: []string{"model.layers.1.mlp.gate.e_score_correction_bias (8)", "model.layers.3.mlp.experts.7.up_proj.weight (96, 128)", "model.norm.weight (128)"},
		Shapes:  []string{"model.layers.1.mlp.experts.2.down_proj.weight is (96, 128), not (128, 96)", "model.layers.2.self_attn.kv_b_proj.weight is (64, 320), not (320, 64)"},
		Types:   []string{"model.layers.2.mlp.shared_experts.gate_proj.weight is I8"},
		Extra:   []string{"model.layers.0.mlp.experts.0.up_proj.weight", "model.layers.2.self_attn.q_proj.weight"},
	})
}

// The layer that guesses a second token lies behind the last one, with an embedding and a head of its own; and a router's bias may
// be in bf16 or in f32.
func TestTheLayerBehindTheLastIsNotRead(t *testing.T) {
	config := string(read(t, tiny, "config.json"))
	m, err := bindTiny(t, config, map[string]*weights.View{
		"model.layers.4.eh_proj.weight": nntest.Zeros(128, 256), "model.layers.4.embed_tokens.weight": nntest.Zeros(1024, 128), "model.layers.4.shared_head.head.weight": nntest.Zeros(1024, 128),
		"model.layers.4.mlp.experts.0.up_proj.weight": nntest.Zeros(96, 128), "model.layers.10.input_layernorm.weight": nntest.Zeros(128),
		"model.layers.1.mlp.gate.e_score_correction_bias": {Format: "F32", DType: cuda.F32, Known: true, Shape: []int{8}, Data: make([]byte, 32)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if bias := m.Layers[1].MLP.(*Mixture).Router.Bias; bias.File().Layout != cuda.Plain(cuda.F32) {
		t.Errorf("the bias is %v", bias.File())
	}
	if _, err := bindTiny(t, config, map[string]*weights.View{"model.layers.x.input_layernorm.weight": nntest.Zeros(128)}); err == nil {
		t.Error("a layer without a number was accepted")
	}
}

func TestTheHeadIsTheEmbeddingOnlyWhereTied(t *testing.T) { suite.Heads(t) }

func TestJoinedExpertsAreTheSameModel(t *testing.T) { suite.JoinedExperts(t) }

// In both forms of attention.
func TestFP8MatricesAreTheirNumbers(t *testing.T) {
	suite.FP8Numbers(t, with(t, `"vocab_size": 90, "hidden_size": 70, "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 50,
		"q_lora_rank": 21, "kv_lora_rank": 30, "qk_nope_head_dim": 11, "qk_rope_head_dim": 6, "v_head_dim": 9,
		"n_routed_experts": 9, "num_experts_per_tok": 3, "moe_intermediate_size": 37, "max_position_embeddings": 128,
		"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 24]}`), 90, 16, 24, 9*3+3+2*5)
}

func TestKernelsAgreeOnRandomConfigs(t *testing.T) { suite.RandomConfigs(t, random) }

// random is a legal config of a small model; each fourth in FP8 with blocks of any size.
func random(t testing.TB, rng *rand.Rand, i int) nntest.Invention {
	dtype := []cuda.DType{cuda.BF16, cuda.F16, cuda.F32, cuda.F8E4M3}[i%4]
	pick := func(n ...int) int { return n[rng.IntN(len(n))] }
	coin := func() bool { return rng.IntN(2) == 0 }
	heads, groups, rope, layers := 1+rng.IntN(24), 1+rng.IntN(4), 2*(1+rng.IntN(16)), 1+rng.IntN(4)
	each := 2 + rng.IntN(6) // experts of a group
	used := 1 + rng.IntN(groups)
	config := map[string]any{
		"architectures": []string{architecture}, "vocab_size": 2 + rng.IntN(200), "hidden_size": 1 + rng.IntN(150), "intermediate_size": 1 + rng.IntN(200),
		"num_hidden_layers": layers, "num_key_value_heads": heads, "num_attention_heads": heads, "max_position_embeddings": 256,
		"kv_lora_rank": 1 + rng.IntN(80), "qk_nope_head_dim": 1 + rng.IntN(40), "qk_rope_head_dim": rope, "v_head_dim": 1 + rng.IntN(50),
		"rms_norm_eps": math.Pow(10, -float64(pick(3, 5, 6))), "rope_theta": pick(100, 10000, 5000000), "tie_word_embeddings": coin(),
		"n_routed_experts": groups * each, "n_group": groups, "topk_group": used, "num_experts_per_tok": 1 + rng.IntN(used*each),
		"moe_intermediate_size": 1 + rng.IntN(60), "n_shared_experts": rng.IntN(3), "norm_topk_prob": coin(), "routed_scaling_factor": 0.5 + 2*rng.Float64(),
		"attention_bias": coin(), "rope_interleave": coin(), "q_lora_rank": []any{nil, 1 + rng.IntN(60)}[rng.IntN(2)],
	}
	if coin() {
		config["first_k_dense_replace"] = rng.IntN(layers + 1)
	} else {
		types := make([]string, layers)
		for i := range types {
			types[i] = []string{"dense", "sparse"}[rng.IntN(2)]
		}
		config["mlp_layer_types"] = types
	}
	if coin() {
		config["rope_scaling"] = map[string]any{"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "mscale": pick(0, 1), "mscale_all_dim": pick(0, 1)}
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
