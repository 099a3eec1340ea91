package text

import (
	"context"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// BenchmarkDecoder is what a token costs between the engine and the event: decoding, stop strings, reasoning, calls.
func BenchmarkDecoder(b *testing.B) {
	m := open(b, "qwen3_0_6b")
	prompt := encode(m, "assistant\n")
	words := strings.Repeat("The capital of Japan is Tokyo, of course. ", 50)
	chat := &sdk.Chat{Tools: []byte(exampleTools)}
	for _, c := range []struct {
		name string
		req  sdk.GenerateRequest
		text string
	}{
		{"raw", sdk.GenerateRequest{}, words},
		{"stop strings", sdk.GenerateRequest{Stop: []string{"\n\nHuman:", "</answer>", "Toky!"}}, words},
		{"chat with tools", sdk.GenerateRequest{Chat: chat}, words},
		{"reasoning", sdk.GenerateRequest{Chat: chat}, "<think>\n" + words},
		{"long call", sdk.GenerateRequest{Chat: chat}, `<tool_call>{"name": "search", "arguments": {"query": "` + words + `"}}</tool_call>`},
	} {
		ids := encode(m, c.text)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for n := 0; n < b.N; {
				d, err := m.NewDecoder(context.Background(), c.req, prompt)
				if err != nil {
					b.Fatal(err)
				}
				for _, id := range ids[:min(len(ids), b.N-n)] {
					d.Push(engine.Sampled{ID: id})
				}
				d.Finish(engine.Result{}, 0)
				n += len(ids)
			}
		})
	}
}

// BenchmarkPrompt is the way from messages to ids: the template and the tokenizer.
func BenchmarkPrompt(b *testing.B) {
	for _, name := range []string{"qwen3_0_6b", "qwen3_coder_30b", "glm_4_7_flash"} {
		m := open(b, name)
		cases, _ := toolCalls(b, name)
		req := cases[0].request()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := m.Prompt(context.Background(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
