package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
)

// The same model in bf16, one file, and in FP8 with block scales, six shards; the reference computed both, the second with the
// dequantized weights.
const (
	tiny    = "testdata/tiny"
	tinyFP8 = "testdata/tiny-fp8"
)

const (
	parameters = 4_022_468_096
	outside    = 151936*2560 + 2560 // embedding, which is also the head, and the last norm
	layer      = 100_930_816
	position   = 2 * 8 * 128 * 4 // bytes of a layer's cache
)

// inFP8 says what the FP8 release has in FP8: the matrices of the layers.
func inFP8(name string, shape []int) bool {
	return len(shape) == 2 && strings.HasPrefix(name, "model.layers.")
}

// fp8Bytes counts q and o, k and v, gate and up and down.
var fp8Bytes = nntest.FP8Bytes(parameters, nntest.Matrices{2 * 36, 4096, 2560}, nntest.Matrices{2 * 36, 1024, 2560}, nntest.Matrices{3 * 36, 9728, 2560})

var plugin = servetest.Plugin{
	Family: family, Published: published, Checkpoints: []string{tiny, tinyFP8},
	Call: servetest.Call{Name: "get_weather", Arguments: `{"city": "Oslo"}`},
	Rows: rows(),
	Tables: []servetest.Table{
		{Parameters: parameters, Position: 36 * position, Modules: 38},
		{Layers: 3, Parameters: outside + 3*layer, Position: 3 * position, Modules: 5},
		{Dir: tiny, Parameters: 1_819_680, Bytes: 2 * 1_819_680, Position: 5 * 2 * 2 * 32 * 4, Modules: 7},
		{Dir: tinyFP8, Parameters: 1_819_680, Position: 5 * 2 * 2 * 32 * 4, Modules: 7},
	},
	Memory: func(m configtest.Sizes) map[string]int64 {
		return map[string]int64{
			"weights in FP8": fp8Bytes,
			"the embedding, which is also the head, bf16 in both": 2 * m.Elements["embed_tokens"],
			"one layer in bf16, 36 in all":                        2 * m.Elements["layers.35"],
		}
	},
}

// The three shapes have FP8 in blocks that end inside rows and columns, some matrices left in bf16, scales in another shard than their
// matrix, odd widths, a stray lm_head.weight beside a tied head, a yarn rope, biases: the numbers are those of another implementation
// (see make.py there).
var suite = plugin.Suite(nntest.Suite{
	Shapes: 3,
	Published: nntest.Published{
		Parameters: parameters, FP8: inFP8, FP8Bytes: fp8Bytes,
		Layers: 36, Modules: 38, // embed_tokens, 36 layers, norm; the head is the embedding
	},
	Misfit: nntest.Misfit{
		Missing: []string{"model.layers.3.self_attn.q_proj.weight", "model.norm.weight"},
		Shapes:  map[string][]int{"model.layers.0.mlp.up_proj.weight": {160, 480}, "model.layers.1.self_attn.q_norm.weight": {160}},
		Types:   []string{"model.layers.2.mlp.gate_proj.weight"},
		Extra:   []string{"model.layers.0.self_attn.q_proj.bias", "model.layers.5.input_layernorm.weight"},
		Ignored: []string{"model.layers.2.self_attn.rotary_emb.inv_freq"},
	},
	Random: func(r *rand.Rand, x *nntest.Invention) { x.Config["attention_bias"] = nntest.Coin(r) },
})

func TestModel(t *testing.T)              { suite.Test(t) }
func TestPipelines(t *testing.T)          { suite.Pipelines(t) }
func TestPlugin(t *testing.T)             { plugin.Test(t) }
func BenchmarkTinyInProcess(b *testing.B) { plugin.TinyInProcess(b) }

// BenchmarkLoad loads eight of the 36 layers:
//
//	go test ./plugins/qwen3_4b_instruct -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 8) }

// BenchmarkPublishedShape times the real 4B, all 36 layers with invented weights of their own, in bf16 (8 GB) and in FP8 (4.4 GB), at
// three lengths of context, next to what this machine can do:
//
//	go test ./plugins/qwen3_4b_instruct -run '^$' -bench PublishedShape -benchtime 3x -timeout 1h
//
// A token reads every weight and the sequence's cache once; a prompt is bound by arithmetic.
func BenchmarkPublishedShape(b *testing.B) {
	suite.Bench(b, nntest.Bench{Rows: 128, Key: nntest.Itself, Position: 36 * position, Attention: 4 * 32 * 128 * 36})
}

// The model is asked, calls the tool, is given the result in the form clients send it back, and answers with it.
func TestToolCallMakesTheRound(t *testing.T) {
	plugin.Each(t, func(t *testing.T, dir string) {
		c, chats := plugin.With(t, dir), servetest.Cases(t, dir)
		asked, answered := chats[len(chats)-3], chats[len(chats)-1]
		if asked.Name != "tool_call" || answered.Name != "tool_answer" {
			t.Fatalf("the cases are %s and %s", asked.Name, answered.Name)
		}
		req := asked.Request(t, dir)
		req.MaxTokens = 64
		first := servetest.Ask(t, c, req)
		if len(first.Calls) != 1 {
			t.Fatalf("calls %v", first.Calls)
		}
		req.Chat.Messages = servetest.Returned(t, asked.Messages, first.Calls[0], `{"degrees": 17}`)
		second := servetest.Ask(t, c, req)
		servetest.SameIDs(t, "after the result the prompt's ids", second.Prompt, answered.IDs)
		if second.Text != strings.TrimSuffix(answered.GreedyText, "<|im_end|>") {
			t.Errorf("after the result it says %q", second.Text)
		}
	})
}

// BenchmarkResumeSpilled has four of the 36 layers:
//
//	go test -run '^$' -bench ResumeSpilled -benchtime 5x ./plugins/qwen3_4b_instruct
func BenchmarkResumeSpilled(b *testing.B) { plugin.ResumeSpilled(b, 4) }
