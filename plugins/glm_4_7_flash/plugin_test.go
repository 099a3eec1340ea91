package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/conformance"
	sdkserve "github.com/inference-pio/inference-pio/sdk/serve"
)

func startPlugin(context.Context) (*client.Client, func(), error) {
	return sdkserve.InProcess(serve.New(family))
}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Config{Start: startPlugin, Model: tiny})
}

// goldenCase is one of golden.json: what the reference renders, tokenizes and answers.
type goldenCase struct {
	Name           string
	Messages       json.RawMessage
	Tools          json.RawMessage
	EnableThinking *bool `json:"enable_thinking"`
	Rendered       string
	IDs            []int32
	GreedyIDs      []int32 `json:"greedy_ids"`
	GreedyText     string  `json:"greedy_text"`
}

// From the client's messages to the answer's text, through the contract, as the reference: rendered, ids, greedy ids.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	text, err := os.ReadFile(tiny + "/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Cases []goldenCase }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	c, stop, err := startPlugin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := c.Load(ctx, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: tiny}}, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	zero := 0.0
	for _, g := range golden.Cases {
		name := g.Name
		kwargs := json.RawMessage("{}")
		if g.EnableThinking != nil {
			kwargs, _ = json.Marshal(map[string]bool{"enable_thinking": *g.EnableThinking})
			name += string(kwargs)
		}
		t.Run(name, func(t *testing.T) {
			chat := sdk.Chat{Messages: g.Messages, Tools: g.Tools, Kwargs: kwargs}
			if rendered, err := c.Render(ctx, chat); err != nil || rendered != g.Rendered {
				t.Errorf("rendered %q, %v\nwant %q", rendered, err, g.Rendered)
			}
			var start sdk.Start
			var ids []int32
			var shown, called strings.Builder
			err := c.Generate(ctx, sdk.GenerateRequest{ID: name, Chat: &chat, MaxTokens: len(g.GreedyIDs), Sampling: sdk.Sampling{Temperature: &zero}}, func(e sdk.Event) error {
				switch {
				case e.Start != nil:
					start = *e.Start
				case e.Token != nil:
					ids = append(ids, e.Token.ID)
					shown.WriteString(e.Token.Reasoning + e.Token.Text)
					for _, d := range e.Token.ToolCalls {
						called.WriteString(d.Name + d.Arguments)
					}
				case e.Finish != nil:
					shown.WriteString(e.Finish.Reasoning + e.Finish.Text)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			equalIDs(t, "prompt ids", start.Prompt, g.IDs)
			equalIDs(t, "greedy ids", ids, g.GreedyIDs)
			text, _, calls := strings.Cut(tags.ReplaceAllString(g.GreedyText, ""), "<tool_call>")
			if calls != (called.String() == `get_weather{"city": "Oslo"}`) {
				t.Errorf("the answer calls %q; the reference writes %q", called.String(), g.GreedyText)
			}
			for word := range strings.FieldsSeq(text) {
				if !strings.Contains(shown.String(), word) {
					t.Errorf("the answer lacks %q: %q", word, shown.String())
				}
			}
		})
	}
}

// tags are what a client never sees: special tokens and the marks of reasoning.
var tags = regexp.MustCompile(`<\|[a-z_]+\|>|</?think>`)

func equalIDs(t *testing.T, what string, got, want []int32) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("%s differ at %d:\n got %v\nwant %v", what, i, got, want)
			return
		}
	}
}

// BenchmarkTinyInProcess is a generation through the contract without a process, a socket file or HTTP: see
// BenchmarkTinyOverHTTP of host/e2e.
func BenchmarkTinyInProcess(b *testing.B) {
	ctx := b.Context()
	c, stop, err := startPlugin(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	if _, err := c.Load(ctx, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: tiny}}, func(sdk.Progress) {}); err != nil {
		b.Fatal(err)
	}
	const tokens = 500
	zero := 0.0
	chat := sdk.Chat{Messages: json.RawMessage(`[{"role": "user", "content": "What is 27 + 38?"}]`)}
	req := sdk.GenerateRequest{ID: "bench", Chat: &chat, MaxTokens: tokens, IgnoreEOS: true, Sampling: sdk.Sampling{Temperature: &zero}}
	for b.Loop() {
		n := 0
		if err := c.Generate(ctx, req, func(sdk.Event) error { n++; return nil }); err != nil || n < tokens {
			b.Fatalf("%d events, %v", n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/tokens, "us/token")
}
