package main

import (
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// tiny is a small model of the class with what the reference computes.
const tiny = "testdata/tiny"

// inFP8 says what an FP8 release quantizes: matrices but embeddings, head, routers, gates and b a; and their scales.
func inFP8(name string, shape []int) bool {
	for _, plain := range []string{"embed_tokens.", "lm_head.", "mlp.gate.", "shared_expert_gate.", "in_proj_ba.", "in_proj_a.", "in_proj_b."} {
		if strings.Contains(name, plain) {
			return false
		}
	}
	return len(shape) == 2
}

const (
	parameters = 79_674_391_296
	expert     = 3 * 512 * 2048
	shared     = 512*2048 + expert + 2048 + 2*2048                                  // in every layer: router, shared expert and its gate, two norms
	delta      = 12288*2048 + 64*2048 + 8192*4 + 32 + 32 + 128 + 2048*4096 + shared // without experts
	gated      = 8192*2048 + 2*512*2048 + 2048*4096 + 2*256 + shared                // without experts
	pattern    = 2*151936*2048 + 2048 + 3*delta + gated + 4*512*expert              // embedding, head, last norm and four layers
	deltaState = (3*8192 + 32*128*128) * 4                                          // bytes of a sequence
	position   = 2 * 2 * 256 * 4                                                    // bytes of a cache
)

// fp8Bytes counts what inFP8 names of so many layers of each kind.
func fp8Bytes(parameters, deltas, gateds int64) int64 {
	return nntest.FP8Bytes(parameters, nntest.Matrices{deltas, 12288, 2048}, nntest.Matrices{deltas + gateds, 2048, 4096}, // qkvz; out of both
		nntest.Matrices{gateds, 8192, 2048}, nntest.Matrices{2 * gateds, 512, 2048}, // query and gate; key, value
		nntest.Matrices{(deltas + gateds) * 513 * 3, 512, 2048}) // 512 experts and the shared one
}

var plugin = servetest.Plugin{
	Family: family, Published: published, Checkpoints: []string{tiny},
	Call: servetest.Call{Name: "read_file", Arguments: `{"path": "go.mod", "lines": 12}`}, // typed as the tool's schema says
	Rows: rows(),
	Tables: []servetest.Table{
		{Parameters: parameters, Position: 12 * position, Sequence: 36 * deltaState, Modules: 3 + 48 + 48*512, Experts: 48 * 512},
		{Layers: 4, Parameters: pattern, Position: position, Sequence: 3 * deltaState, Modules: 3 + 4 + 4*512, Experts: 4 * 512},
		{Dir: tiny, Position: 2 * 64 * 4, Sequence: 3 * (3*256 + 4*32*32) * 4, Modules: 3 + 4 + 4*8, Experts: 4 * 8},
	},
	Memory: func(m configtest.Sizes) map[string]int64 {
		return map[string]int64{
			"weights in FP8":                                       fp8Bytes(parameters, 36, 12),
			"embedding and head, bf16 in both, each":               2 * m.Elements["lm_head"],
			"one layer with the delta rule, without experts, bf16": 2 * m.Elements["layers.0"],
			"one layer with attention, without experts, bf16":      2 * m.Elements["layers.3"],
			"one expert, 48 times 512 in all, bf16":                2 * m.Elements["layers.7.mlp.experts.500"],
			"states of one sequence, whatever its length":          m.Sequence,
		}
	},
}

// The three shapes have key heads shared by several value heads of another dim, other convolutions and patterns of layers, dense layers,
// routers that do not normalize, projections and experts in their other spelling, f32 and f16, shards, a tied head with a stray copy, a
// yarn rope over part of a head: the numbers are those of another implementation (see make.py there), which computes prompts one token
// after the other.
var suite = plugin.Suite(nntest.Suite{
	Shapes: 3, Untold: []string{"wide_values_bf16"}, // whose norm_topk_prob no GGUF file has
	Cut:   64,   // the delta rule takes a prompt in chunks, which begin where a step begins
	Forms: 2e-5, // and what is generated row by row
	Published: nntest.Published{
		First: 4, Parameters: pattern, FP8: inFP8, FP8Bytes: fp8Bytes(pattern, 3, 1), Layers: 4, Modules: 3 + 4 + 4*512,
		Variance: 4, // the last norm doubles: it multiplies by 1 + w with w near 1
	},
	Misfit: nntest.Misfit{
		Missing: []string{"model.layers.1.linear_attn.A_log", "model.layers.3.self_attn.q_proj.weight"},
		Shapes: map[string][]int{"model.layers.0.linear_attn.conv1d.weight": {256, 4}, "model.layers.2.linear_attn.in_proj_qkvz.weight": {320, 128},
			"model.layers.1.mlp.experts.7.down_proj.weight": {64, 128}},
		Types:   []string{"model.layers.2.mlp.shared_expert_gate.weight"},
		Extra:   []string{"model.layers.0.linear_attn.in_proj_qkvz.bias", "model.layers.2.mlp.experts.8.down_proj.weight"},
		Ignored: []string{"mtp.fc.weight", "model.layers.3.self_attn.rotary_emb.inv_freq"},
	},
	Random: random,
	Seed:   5,
})

// random is in either spelling, and in FP8 has in FP8 what an FP8 release has. Of a hundred such models some five have a head whose delta
// rule gives nearly nothing, which the norm behind it takes for its rounding and blows up to 5e-4; with Seed none is drawn.
func random(r *rand.Rand, x *nntest.Invention) {
	upTo := func(n int) int { return 1 + r.IntN(n) }
	kv, keyHeads, experts := upTo(3), upTo(3), r.IntN(7)
	maps.Copy(x.Config, map[string]any{
		"num_key_value_heads": kv, "num_attention_heads": kv * upTo(4), "head_dim": 8 * upTo(6), "partial_rotary_factor": 0.25 * float64(upTo(4)),
		"linear_num_key_heads": keyHeads, "linear_num_value_heads": keyHeads * upTo(4), "linear_key_head_dim": upTo(40),
		"linear_value_head_dim": upTo(150), "linear_conv_kernel_dim": upTo(5),
		"num_experts": experts, "num_experts_per_tok": upTo(max(experts, 1)), "moe_intermediate_size": upTo(40), "shared_expert_intermediate_size": upTo(40),
		"norm_topk_prob": nntest.Coin(r), "decoder_sparse_step": upTo(2), "mlp_only_layers": []int{r.IntN(8)},
		"rms_norm_eps": nntest.Pick(r, 1e-3, 1e-5, 1e-6),
	})
	if nntest.Coin(r) {
		x.Config["full_attention_interval"] = upTo(4)
	} else {
		kinds := make([]string, x.Config["num_hidden_layers"].(int))
		for i := range kinds {
			kinds[i] = nntest.Pick(r, linearAttention, linearAttention, fullAttention)
		}
		x.Config["layer_types"] = kinds
	}
	if x.DType == cuda.F8E4M3 {
		x.Source = nntest.Alike(nntest.Itself, nntest.InFP8(inFP8))
	}
	sp := Spelling{nntest.Coin(r), nntest.Coin(r)}
	x.Open = func(config []byte, layers int, _ func(string) bool) (nntest.Model, error) {
		c, err := ParseConfig(config)
		if err != nil {
			return nil, err
		}
		return New(c, layers, sp), nil
	}
}

func TestModel(t *testing.T) { suite.Test(t) }

func TestInCodes(t *testing.T)            { suite.InCodes(t) }
func TestPipelines(t *testing.T)          { suite.Pipelines(t) }
func TestPlugin(t *testing.T)             { plugin.Test(t) }
func TestSpillsInDisorder(t *testing.T)   { plugin.SpillsInDisorder(t) }
func BenchmarkTinyInProcess(b *testing.B) { plugin.TinyInProcess(b) }

// BenchmarkLoad loads one pattern of four layers, three with the delta rule and one with attention, with 48 of their 512 experts each:
//
//	go test ./plugins/qwen3_coder_next -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, with(b, `"num_experts": 48`), 4) }

// BenchmarkPublishedShape times four layers of the published width, three with the delta rule and one with attention, with invented
// weights in bf16 and in FP8, next to what this machine can do:
//
//	go test ./plugins/qwen3_coder_next -run '^$' -bench PublishedShape -benchtime 3x
//
// 32 experts of a layer have bytes of their own and the others share them, far more than any cache holds. A token reads the active
// weights, the states and the cache once. A prompt's step reads all experts for a few rows each: its GB/s are those. 48 layers take
// twelve times the layers' part.
func BenchmarkPublishedShape(b *testing.B) {
	suite.Bench(b, nntest.Bench{
		Layers: 4, Rows: 256, Key: nntest.FewExperts(32), Experts: 10.0 / 512, // some five rows for each expert
		Position: position, Sequence: 2 * 3 * deltaState, // states are read and written
		Attention: 4 * 16 * 256,
		Others: func(float64) float64 { // a row's share of a chunk: three products with the matrix, four within it
			return 3 * 2 * 32 * (3*128*128 + 2*32*128 + 2*32*128)
		},
	})
}

// BenchmarkResumeSpilled has four of the 48 layers, three of them of the delta rule:
//
//	go test -run '^$' -bench ResumeSpilled -benchtime 5x ./plugins/qwen3_coder_next
func BenchmarkResumeSpilled(b *testing.B) { plugin.ResumeSpilled(b, 4) }
