package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// tiny is a small model of the class with what the reference computes.
const tiny = "testdata/tiny"

const (
	parameters = 30_532_122_624
	outside    = 2*151936*2048 + 2048 // embedding and head, the last norm
	layer      = (parameters - outside) / 48
	position   = 2 * 4 * 128 * 4 // bytes of a layer's cache
)

// inFP8 says what the FP8 release has in FP8: the matrices of the layers but the router.
func inFP8(name string, _ []int) bool { return strings.Contains(name, "_proj") }

// fp8Bytes counts q and o, k and v, gate and up and down of each expert.
var fp8Bytes = nntest.FP8Bytes(parameters, nntest.Matrices{2 * 48, 4096, 2048}, nntest.Matrices{2 * 48, 512, 2048}, nntest.Matrices{3 * 48 * 128, 768, 2048})

var plugin = servetest.Plugin{
	Family: family, Published: published, Checkpoints: []string{tiny},
	Call: servetest.Call{Name: "read_file", Arguments: `{"path": "go.mod", "lines": 12}`}, // typed as the tool's schema says
	Rows: rows(),
	Tables: []servetest.Table{
		{Parameters: parameters, Bytes: 61_064_245_248, Position: 48 * position, Modules: 6195, Experts: 48 * 128}, // as the index of the release says
		{Layers: 2, Parameters: outside + 2*layer, Position: 2 * position, Modules: 3 + 2*129, Experts: 2 * 128},
		{Dir: tiny, Position: 4 * 2 * 32 * 4, Modules: 3 + 4*9, Experts: 4 * 8},
	},
	Elsewhere: servetest.Elsewhere{Bytes: 5300 << 10, Layers: 4, Experts: 32, Least: 6, Most: 30}, // room for the layers and most of their experts
	Memory: func(m configtest.Sizes) map[string]int64 {
		layer, expert, head := 2*m.Elements["layers.47"], 2*m.Elements["layers.47.mlp.experts.127"], 2*m.Elements["lm_head"]
		return map[string]int64{
			"weights in FP8":                                    fp8Bytes,
			"embedding and head, bf16 in both":                  2*m.Elements["embed_tokens"] + head,
			"one layer but for its experts, in bf16, 48 in all": layer,
			"one expert in bf16, 128 in each layer":             expert,
			"read for one token in bf16":                        48*(layer+8*expert) + head + 2*2048 + 2*2048, // a row of the embedding, the last norm
		}
	},
}

// The three shapes have dense layers by either key, odd widths, five, six and thirteen experts, weights that are not normalized, all
// experts at once, experts joined in one tensor, f32 and f16 weights, shards: the numbers are those of another implementation (see
// make.py there).
var suite = plugin.Suite(nntest.Suite{
	Shapes: 3,
	Published: nntest.Published{
		Parameters: parameters, FP8: inFP8, FP8Bytes: fp8Bytes,
		Layers: 48, Modules: 3 + 48 + 48*128, // embed_tokens, norm, lm_head, layers, experts
	},
	Misfit: nntest.Misfit{
		Missing: []string{"model.layers.3.mlp.experts.7.up_proj.weight", "model.norm.weight"},
		Shapes:  map[string][]int{"model.layers.0.mlp.experts.2.down_proj.weight": {96, 128}, "model.layers.1.mlp.gate.weight": {9, 128}},
		Types:   []string{"model.layers.2.mlp.experts.0.gate_proj.weight"},
		Extra:   []string{"model.layers.0.mlp.experts.8.up_proj.weight", "model.layers.2.mlp.shared_expert.up_proj.weight"},
		Ignored: []string{"model.layers.2.self_attn.rotary_emb.inv_freq"},
	},
	Random: func(r *rand.Rand, x *nntest.Invention) {
		experts := 1 + r.IntN(20)
		x.Config["num_experts"], x.Config["num_experts_per_tok"] = experts, 1+r.IntN(experts)
		x.Config["moe_intermediate_size"], x.Config["norm_topk_prob"] = 1+r.IntN(60), nntest.Coin(r)
		x.Config["decoder_sparse_step"], x.Config["mlp_only_layers"] = 1+r.IntN(2), []int{r.IntN(8)}
	},
})

func TestModel(t *testing.T) { suite.Test(t) }

func TestInCodes(t *testing.T)                      { suite.InCodes(t) }
func TestPipelines(t *testing.T)                    { suite.Pipelines(t) }
func TestJoinedExpertsAreTheSameModel(t *testing.T) { suite.JoinedExperts(t) }
func TestPlugin(t *testing.T)                       { plugin.Test(t) }

// The tiny model in GPTQ of 4 bits: experts that are seldom used are in memory with all others, because they are in no file as they are computed with.
func TestGPTQFolder(t *testing.T) {
	dir := nntest.WriteGPTQ(t, tiny)
	suite.QuantisedFolder(t, dir, tiny, 1.005)
	plugin.InFile(t, dir)
}

// Qwen3-30B-A3B-Instruct-2507 has the same dimensions; its config says a few things otherwise.
func TestQwen3Of30B(t *testing.T) {
	const vocab = 1024
	suite.OtherSize(t, nntest.Published{
		Config: `{"architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "decoder_sparse_step": 1, "eos_token_id": 151645,
			"head_dim": 128, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 6144, "max_position_embeddings": 262144, "max_window_layers": 48,
			"mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
			"num_hidden_layers": 48, "num_key_value_heads": 4, "output_router_logits": false, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 10000000,
			"router_aux_loss_coef": 0.001, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false,
			"vocab_size": 1024}`,
		Parameters: 30_532_122_624 - 2*(151_936-vocab)*2048, Layers: 48, Modules: 3 + 48 + 48*128,
	})
}

func BenchmarkTinyInProcess(b *testing.B) { plugin.TinyInProcess(b) }

// BenchmarkLoad loads one of the 48 layers, with all of its 128 experts:
//
//	go test ./plugins/qwen3_coder_30b -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 1) }

// BenchmarkPublishedShape times the real 30B, all 48 layers of 128 experts, in bf16 and in FP8, at three lengths of context, next to
// what this machine can do:
//
//	go test ./plugins/qwen3_coder_30b -run '^$' -bench PublishedShape -benchtime 3x -timeout 1h
//
// The layers share the bytes of one layer, 1.2 GB in bf16, so that it runs in 4 GB. That saves no reading: a token takes 113 MB of
// a layer, and before the next layer comes back to a byte, that much else has passed through the caches.
//
// A token reads the weights of attention, of the chosen experts and of the head, and the sequence's cache. A prompt's step of 128 rows
// is bound by arithmetic on the chosen experts and, as all 128 of them are read for some rows each, by reading: both shares are given.
func BenchmarkPublishedShape(b *testing.B) {
	suite.Bench(b, nntest.Bench{Rows: 128, Key: nntest.OneLayer, Experts: 8.0 / 128, Position: 48 * position, Attention: 4 * 32 * 128 * 48})
}

func TestFP8ExpertsAreTheirNumbers(t *testing.T) {
	suite.FP8Numbers(t, with(t, `"vocab_size": 90, "hidden_size": 70, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10,
		"num_experts": 9, "num_experts_per_tok": 3, "moe_intermediate_size": 37, "max_position_embeddings": 128,
		"quantization_config": {"quant_method": "fp8", "weight_block_size": [16, 24]}`), 90, 16, 24, 2*9*3)
}
