package chat

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/chat/jinja"
)

// TestClientsFormRendersAsTheReference: the reference was given conversations as its users write them, with arguments as
// objects. OpenAI's clients send the same with arguments as strings of JSON, null for empty content beside calls, and a
// call's id with its result. Both must render to the reference's text.
func TestClientsFormRendersAsTheReference(t *testing.T) {
	var file referenceFile
	if err := json.Unmarshal(readFileT(t, "testdata/templates_tiny.json"), &file); err != nil {
		t.Fatal(err)
	}
	source, compared := tinySource(t), 0
	for name, cases := range file.Cases {
		tmpl := parseT(t, source(name), file.Tokens)
		for _, c := range cases {
			sent, changed := clientsForm(t, file.Chats[c.Chat])
			if !changed || c.Text == nil {
				continue
			}
			compared++
			generate := string(c.Options["add_generation_prompt"]) == "true"
			delete(c.Options, "add_generation_prompt")
			kwargs, err := json.Marshal(c.Options)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Render(Input{Messages: sent, Tools: file.Tools[c.Tools], Kwargs: kwargs, AddGenerationPrompt: generate})
			if err != nil || got != *c.Text {
				t.Errorf("%s, chat %s, tools %s, sent as\n%s\n%v\n got  %q\n want %q", name, c.Chat, c.Tools, sent, err, got, *c.Text)
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d cases have a call", compared)
	}
}

// clientsForm rewrites a conversation; changed says that there was something to rewrite.
func clientsForm(t testing.TB, messages json.RawMessage) (sent json.RawMessage, changed bool) {
	t.Helper()
	list, err := jinja.FromJSON(messages)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list.(*jinja.List).Items {
		message := m.(*jinja.Dict)
		calls, _ := message.Get("tool_calls")
		if calls, ok := calls.(*jinja.List); ok {
			changed = true
			if content, _ := message.Get("content"); content == "" {
				message.Set("content", nil)
			}
			for _, c := range calls.Items {
				stringArguments(t, c.(*jinja.Dict))
			}
		}
	}
	text, err := jinja.ToJSON(list)
	if err != nil {
		t.Fatal(err)
	}
	return json.RawMessage(text), changed
}

func stringArguments(t testing.TB, call *jinja.Dict) {
	t.Helper()
	v, _ := call.Get("function")
	function := v.(*jinja.Dict)
	arguments, _ := function.Get("arguments")
	text, err := jinja.ToJSON(arguments)
	if err != nil {
		t.Fatal(err)
	}
	function.Set("arguments", text)
}

// TestReasoningComesBackAsItWent: what Output makes of an answer, sent back as reasoning_content and content, renders to
// what the reference makes of the raw words in content.
func TestReasoningComesBackAsItWent(t *testing.T) {
	source := tinySource(t)
	for _, name := range []string{"chatml_hermes_thinking", "glm"} {
		tmpl := parseT(t, source(name), nil)
		for _, answer := range []string{
			"<think>\nI need a tool\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>",
			"<think>\n2 and 2,\nso <4>\n</think>\n\nIt is 4.\n",
			"No thought.",
		} {
			if name == "glm" {
				answer = strings.NewReplacer("\n{\"name\": \"now\", \"arguments\": {}}\n", "now", "<think>\n", "<think>", "\n</think>\n\n", "</think>").Replace(answer)
			}
			g := gather(t, config(tmpl.ToolFormat(), ""), answer)
			back := map[string]any{"role": "assistant", "content": g.Text}
			if g.Reasoning != "" {
				back["reasoning_content"] = g.Reasoning
			}
			raw := map[string]any{"role": "assistant", "content": strings.Split(answer, "<tool_call>")[0]}
			if g.Calls != nil {
				back["tool_calls"] = []any{map[string]any{"type": "function", "function": map[string]any{"name": "now", "arguments": "{}"}}}
				raw["tool_calls"] = []any{map[string]any{"type": "function", "function": map[string]any{"name": "now", "arguments": map[string]any{}}}}
			}
			render := func(message map[string]any, verbatim bool) string {
				// a tool's result follows, so that the turn goes on and templates keep its reasoning
				messages, err := json.Marshal([]any{map[string]any{"role": "user", "content": "Go"}, message, map[string]any{"role": "tool", "content": "x"}})
				if err != nil {
					t.Fatal(err)
				}
				text, err := tmpl.Render(Input{Messages: messages, AddGenerationPrompt: true, Verbatim: verbatim})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				return text
			}
			if got, want := render(back, false), render(raw, true); got != want {
				t.Errorf("%s, %q comes back as\n%q\nits raw words as\n%q", name, answer, got, want)
			}
		}
	}
}
