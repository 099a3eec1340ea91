package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// tiny is a small model of the class with what the reference computes.
const tiny = "testdata/tiny"

const (
	parameters = 596_049_920
	position   = 28 * 2 * 8 * 128 * 4 // bytes of the caches
)

// inFP8 says what the FP8 release has in FP8: the matrices of the layers.
func inFP8(name string, shape []int) bool {
	return len(shape) == 2 && strings.HasPrefix(name, "model.layers.")
}

// fp8Bytes counts q and o, k and v, gate and up and down.
var fp8Bytes = nntest.FP8Bytes(parameters, nntest.Matrices{2 * 28, 2048, 1024}, nntest.Matrices{2 * 28, 1024, 1024}, nntest.Matrices{3 * 28, 3072, 1024})

// What the tiny model writes in <think> is reasoning, and JSON in <tool_call> a call.
var plugin = servetest.Plugin{
	Family: family, Published: published, Checkpoints: []string{tiny},
	Call: servetest.Call{Name: "get_weather", Arguments: `{"city": "Oslo"}`},
	Rows: rows(),
	Tables: []servetest.Table{
		{Parameters: parameters, Position: position, Modules: 30},
		{Dir: tiny, Position: 4 * 2 * 2 * 64 * 4, Modules: 6},
	},
	Memory: func(m configtest.Sizes) map[string]int64 {
		return map[string]int64{
			"weights in FP8": fp8Bytes,
			"the embedding, which is also the head, bf16 in both": 2 * m.Elements["embed_tokens"],
			"one layer in bf16, 28 in all":                        2 * m.Elements["layers.27"],
		}
	},
}

// The five shapes have odd widths, heads that no vector length divides, one kv head, f32 and f16 weights, shards, a stray lm_head.weight
// beside a tied head, a yarn rope, biases beside FP8: the numbers are those of another implementation (see make.py there).
var suite = plugin.Suite(nntest.Suite{
	Shapes: 5,
	Published: nntest.Published{
		Parameters: parameters, FP8: inFP8, FP8Bytes: fp8Bytes,
		Layers: 28, Modules: 30, // embed_tokens, 28 layers, norm; the head is the embedding
	},
	Misfit: nntest.Misfit{
		Missing: []string{"model.layers.3.self_attn.q_proj.weight", "model.norm.weight"},
		Shapes:  map[string][]int{"model.layers.0.mlp.up_proj.weight": {128, 384}, "model.layers.1.self_attn.q_norm.weight": {128}},
		Types:   []string{"model.layers.2.mlp.gate_proj.weight"},
		Extra:   []string{"model.layers.0.self_attn.q_proj.bias", "model.layers.4.input_layernorm.weight"},
		Ignored: []string{"model.layers.2.self_attn.rotary_emb.inv_freq"},
	},
	Random: func(r *rand.Rand, x *nntest.Invention) { x.Config["attention_bias"] = nntest.Coin(r) },
})

func TestModel(t *testing.T) { suite.Test(t) }

func TestInCodes(t *testing.T)          { suite.InCodes(t) }
func TestPipelines(t *testing.T)        { suite.Pipelines(t) }
func TestPlugin(t *testing.T)           { plugin.Test(t) }
func TestSpillsInDisorder(t *testing.T) { plugin.SpillsInDisorder(t) }

// The tiny model in Q8_0, as llama.cpp's converter writes it: each block has a factor of its own, so that weights are within 1/254 of the largest
// of 32.
func TestQuantisedFile(t *testing.T) {
	const file = "testdata/gguf/tiny-Q8_0.gguf"
	suite.QuantisedFile(t, file, tiny, 0.03, 1.01)
	plugin.InFile(t, file)
}

// The tiny model in GPTQ of 4 bits, whose codes are those of q4: it is served as one that was quantised when it was loaded, and takes as little.
func TestGPTQFolder(t *testing.T) {
	dir := nntest.WriteGPTQ(t, tiny)
	suite.QuantisedFolder(t, dir, tiny, 1.005)
	plugin.InFile(t, dir)
	plugin.LayersAsIn(t, dir, sdk.InspectRequest{Path: tiny, Quantize: cuda.Q4})
}

// Qwen3-8B, whose head is not its embedding, with a vocabulary of 1,024 in place of 151,936.
func TestQwen3Of8B(t *testing.T) {
	const vocab = 1024
	suite.OtherSize(t, nntest.Published{
		Config: `{"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128,
			"hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 12288, "max_position_embeddings": 40960, "max_window_layers": 36,
			"model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
			"sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_cache": true, "use_sliding_window": false, "vocab_size": 1024}`,
		Parameters: 8_190_735_360 - 2*(151_936-vocab)*4096, Layers: 36, Modules: 39,
	})
}

func BenchmarkTinyInProcess(b *testing.B) { plugin.TinyInProcess(b) }

// BenchmarkLoad loads the whole model:
//
//	go test ./plugins/qwen3_0_6b -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 0) }

// BenchmarkSplit answers with layers on the CPU and on a stand-in for a device, in real time, beside what plans say:
//
//	go test ./plugins/qwen3_0_6b -run '^$' -bench Split -benchtime 1x
func BenchmarkSplit(b *testing.B) { plugin.Split(b) }

// BenchmarkPublishedShape times the real 0.6B with invented weights in bf16 and in FP8, next to what this machine can do:
//
//	go test ./plugins/qwen3_0_6b -run '^$' -bench PublishedShape
//
// A token reads every weight and the sequence's cache once; a prompt is bound by arithmetic.
func BenchmarkPublishedShape(b *testing.B) {
	suite.Bench(b, nntest.Bench{Rows: 128, Key: nntest.Itself, Position: position, Attention: 4 * 16 * 128 * 28})
}
