package main

import (
	"encoding/json"
	"reflect"
	"regexp"
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

// BenchmarkLoad loads eight of the 36 layers:
//
//	go test ./plugins/qwen3_4b_instruct -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 8) }

// call is how this family writes a tool call.
var call = regexp.MustCompile(`(?s)^<tool_call>\n(.*)\n</tool_call>$`)

func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	plugin.Chats(t, func(t testing.TB, g servetest.Case, a servetest.Answer) {
		shown := g.Written()
		if m := call.FindStringSubmatch(shown); m != nil {
			sameCall(t, a, m[1])
		} else if a.Text != shown || a.Reasoning != "" || len(a.Calls) != 0 {
			t.Errorf("shown %q (reasoning %q, calls %v), the reference says %q", a.Text, a.Reasoning, a.Calls, shown)
		}
	})
}

// sameCall compares an answer of one tool call with the JSON the model wrote.
func sameCall(t testing.TB, a servetest.Answer, written string) {
	t.Helper()
	var want struct {
		Name      string
		Arguments any
	}
	var arguments any
	if err := json.Unmarshal([]byte(written), &want); err != nil {
		t.Fatal(err)
	}
	if len(a.Calls) != 1 || a.Calls[0].Name != want.Name || a.Text != "" {
		t.Fatalf("calls %v, text %q; the model wrote %s", a.Calls, a.Text, written)
	}
	if err := json.Unmarshal([]byte(a.Calls[0].Arguments), &arguments); err != nil || !reflect.DeepEqual(arguments, want.Arguments) {
		t.Errorf("arguments %s, %v; the model wrote %s", a.Calls[0].Arguments, err, written)
	}
}

// The model is asked, calls the tool, is given the result in the form clients send it back, and answers with it.
func TestToolCallMakesTheRound(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		c, chats := plugin.With(t, dir), servetest.Cases(t, dir)
		asked, answered := chats[len(chats)-3], chats[len(chats)-1]
		if asked.Name != "tool_call" || answered.Name != "tool_answer" {
			t.Fatalf("the cases are %s and %s", asked.Name, answered.Name)
		}
		req := servetest.Greedy(64)
		req.Chat = &sdk.Chat{Messages: asked.Messages, Tools: asked.Tools}
		first := servetest.Ask(t, c, req)
		if len(first.Calls) != 1 {
			t.Fatalf("calls %v", first.Calls)
		}
		var messages []any
		if err := json.Unmarshal(asked.Messages, &messages); err != nil {
			t.Fatal(err)
		}
		messages = append(messages,
			map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{"id": "call_1", "type": "function",
				"function": map[string]any{"name": first.Calls[0].Name, "arguments": first.Calls[0].Arguments}}}}, // arguments as a string
			map[string]any{"role": "tool", "tool_call_id": "call_1", "content": `{"degrees": 17}`})
		text, err := json.Marshal(messages)
		if err != nil {
			t.Fatal(err)
		}
		req.Chat = &sdk.Chat{Messages: text, Tools: asked.Tools}
		second := servetest.Ask(t, c, req)
		if !reflect.DeepEqual(second.Prompt, answered.IDs) || second.Text != strings.TrimSuffix(answered.GreedyText, "<|im_end|>") {
			t.Errorf("after the result it says %q\nto the prompt %v\nof the reference %v", second.Text, second.Prompt, answered.IDs)
		}
	})
}
