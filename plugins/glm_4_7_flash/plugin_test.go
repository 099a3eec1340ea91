package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
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

func goldenCases(t *testing.T) []goldenCase {
	t.Helper()
	var golden struct{ Cases []goldenCase }
	if err := json.Unmarshal(read(t, tiny, "golden.json"), &golden); err != nil {
		t.Fatal(err)
	}
	return golden.Cases
}

// chat is the request of a case.
func (g goldenCase) chat() sdk.Chat {
	c := sdk.Chat{Messages: g.Messages, Tools: g.Tools}
	if g.EnableThinking != nil {
		c.Kwargs = json.RawMessage(fmt.Sprintf(`{"enable_thinking": %v}`, *g.EnableThinking))
	}
	return c
}

// loaded is a plugin that has loaded the tiny model.
func loaded(t *testing.T, req sdk.LoadRequest) *client.Client {
	t.Helper()
	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	req.Path = tiny
	if _, err := c.Load(t.Context(), req, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

// answer is what a client gets.
type answer struct {
	prompt, ids               []int32
	reasoning, content, calls string
}

func ask(t *testing.T, c *client.Client, g goldenCase) (a answer) {
	t.Helper()
	zero, chat := 0.0, g.chat()
	req := sdk.GenerateRequest{ID: g.Name, Chat: &chat, MaxTokens: len(g.GreedyIDs), Sampling: sdk.Sampling{Temperature: &zero}}
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		switch {
		case e.Start != nil:
			a.prompt = e.Start.Prompt
		case e.Token != nil:
			a.ids = append(a.ids, e.Token.ID)
			a.reasoning, a.content = a.reasoning+e.Token.Reasoning, a.content+e.Token.Text
			for _, d := range e.Token.ToolCalls {
				a.calls += d.Name + d.Arguments
			}
		case e.Finish != nil:
			a.reasoning, a.content = a.reasoning+e.Finish.Reasoning, a.content+e.Finish.Text
			for _, d := range e.Finish.ToolCalls {
				a.calls += d.Name + d.Arguments
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// From the client's messages to the answer's text, through the contract, as the reference: rendered, ids, greedy ids. The prompt
// opens inside <think>, so what comes before </think> is reasoning; a stop token is not shown.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	c := loaded(t, sdk.LoadRequest{})
	for _, g := range goldenCases(t) {
		t.Run(fmt.Sprintf("%s, thinking %v", g.Name, *g.EnableThinking), func(t *testing.T) {
			if rendered, err := c.Render(t.Context(), g.chat()); err != nil || rendered != g.Rendered {
				t.Errorf("rendered %q, %v\nwant %q", rendered, err, g.Rendered)
			}
			a := ask(t, c, g)
			equalIDs(t, "prompt ids", a.prompt, g.IDs)
			equalIDs(t, "greedy ids", a.ids, g.GreedyIDs)
			written := special.ReplaceAllString(g.GreedyText, "")
			reasoning, content, thinks := strings.Cut(written, "</think>")
			if !thinks {
				reasoning, content = "", written
			}
			calls := ""
			if before, _, called := strings.Cut(content, "<tool_call>"); called {
				content, calls = before, `get_weather{"city": "Oslo"}`
			}
			if want := (answer{a.prompt, a.ids, reasoning, content, calls}); !reflect.DeepEqual(a, want) {
				t.Errorf("reasons %q, says %q, calls %q; the reference writes %q", a.reasoning, a.content, a.calls, g.GreedyText)
			}
		})
	}
}

// special are tokens that a client never sees.
var special = regexp.MustCompile(`<\|[a-z_]+\|>`)

// report asks the plugin where everything is.
func report(t *testing.T, c *client.Client) sdk.Report {
	t.Helper()
	s, err := c.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(sdk.Order{ID: 1, Query: &sdk.QueryOrder{}}); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Modules) > 0 {
			return r
		}
	}
}

// A second device has room for the layers, their latents and a third of the experts: which ones it has changes from token to token,
// and no token changes.
func TestAThirdOfTheExpertsElsewhereChangesNoToken(t *testing.T) {
	c := loaded(t, sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Context: 512}, MaxSequences: 1, StepTokens: 128,
		Devices: []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: 5700 << 10, ReadRate: 1e12, CopyRate: 1e12}},
	})
	for _, g := range goldenCases(t) {
		equalIDs(t, g.Name+": greedy ids", ask(t, c, g).ids, g.GreedyIDs)
	}
	r := report(t, c)
	experts, there, layers := 0, 0, 0
	for _, m := range r.Modules {
		switch {
		case strings.Contains(m.ID, ".experts."):
			experts++
			if slices.Contains(m.Resident, "far") {
				there++
			}
		case strings.HasPrefix(m.ID, "layers.") && m.Device == "far":
			layers++
		}
	}
	how := fmt.Sprintf("%d of %d experts, %d layers and at most %d of %d bytes are there; %d hits, %d misses, %d evictions",
		there, experts, layers, r.Devices[1].Peak, r.Devices[1].Budget, r.ExpertHits, r.ExpertMisses, r.Evictions)
	if layers != 4 || experts != 24 || there < 4 || there > 12 || r.ExpertHits == 0 || r.ExpertMisses == 0 || r.Evictions == 0 || r.Devices[1].Peak > r.Devices[1].Budget {
		t.Error(how)
	}
	t.Log(how)
}

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
