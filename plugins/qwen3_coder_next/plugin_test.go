package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestConformance(t *testing.T)                  { plugin.Conformance(t) }
func TestResumedIsUninterrupted(t *testing.T)       { plugin.Resumed(t) }
func TestPrefixesAreComputedOnce(t *testing.T)      { plugin.Prefixes(t) }
func TestForwardAndEmbed(t *testing.T)              { plugin.Forward(t) }
func TestWherePiecesEndChangesNothing(t *testing.T) { plugin.Chunks(t) }
func TestSharesOfMemory(t *testing.T)               { plugin.Shares(t) }
func BenchmarkTinyInProcess(b *testing.B)           { plugin.TinyInProcess(b) }

// BenchmarkLoad loads one pattern of four layers, three with the delta rule and one with attention, with 48 of their 512 experts each:
//
//	go test ./plugins/qwen3_coder_next -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, with(b, `"num_experts": 48`), 4) }

// What the case with tools says is in TestToolCallMakesTheRound.
func TestCasesOfTheReferenceThroughTheContract(t *testing.T) {
	plugin.Chats(t, func(t testing.TB, g servetest.Case, a servetest.Answer) {
		if shown := g.Written(); g.Tools == nil && (a.Text != shown || a.Reasoning != "" || len(a.Calls) != 0) {
			t.Errorf("shown %q (reasoning %q, calls %v), the reference says %q", a.Text, a.Reasoning, a.Calls, shown)
		}
	})
}

// The model is asked, calls the tool in its family's words, is given the result as clients send it back, and goes on.
func TestToolCallMakesTheRound(t *testing.T) {
	c, cases := plugin.With(t, tiny), servetest.Cases(t, tiny)
	asked := cases[3]
	req := servetest.Greedy(64)
	req.Chat = &sdk.Chat{Messages: asked.Messages, Tools: asked.Tools}
	first := servetest.Ask(t, c, req)
	if len(first.Calls) != 1 || first.Calls[0].Name != "read_file" || first.Text != "" {
		t.Fatalf("calls %v, text %q", first.Calls, first.Text)
	}
	call := first.Calls[0]
	var arguments any
	if err := json.Unmarshal([]byte(call.Arguments), &arguments); err != nil ||
		!reflect.DeepEqual(arguments, map[string]any{"path": "go.mod", "lines": 12.0}) { // a number, as the tool's schema says
		t.Fatalf("arguments %s, %v", call.Arguments, err)
	}
	var messages []any
	if err := json.Unmarshal(asked.Messages, &messages); err != nil {
		t.Fatal(err)
	}
	// This model was trained to call whatever it is asked when there are tools, and not on what comes back; so the tools go, the user
	// goes on, and the answer shows that the call and its result are in the prompt as a past turn is.
	messages = append(messages,
		map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{"id": "call_1", "type": "function",
			"function": map[string]any{"name": call.Name, "arguments": call.Arguments}}}}, // arguments as a string
		map[string]any{"role": "tool", "tool_call_id": "call_1", "content": "module example.com/x"},
		map[string]any{"role": "user", "content": "What is the capital of Peru?"})
	text, err := json.Marshal(messages)
	if err != nil {
		t.Fatal(err)
	}
	req.Chat = &sdk.Chat{Messages: text}
	rendered, err := c.Render(t.Context(), *req.Chat)
	_, turn, _ := strings.Cut(asked.Rendered, "</tools><|im_end|>\n")
	called := turn + strings.TrimSuffix(asked.GreedyText, "<|im_end|>") + "<|im_end|>\n<|im_start|>user\n<tool_response>\nmodule example.com/x\n</tool_response>\n<|im_end|>\n"
	if err != nil || !strings.HasPrefix(rendered, called) {
		t.Errorf("rendered %q, %v\nwhich does not begin with %q", rendered, err, called)
	}
	if second := servetest.Ask(t, c, req); second.Text != "The capital of Peru is Lima." || len(second.Calls) != 0 {
		t.Errorf("then it says %q, with calls %v", second.Text, second.Calls)
	}
}
