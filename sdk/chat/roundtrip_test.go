package chat

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk/jinja"
)

// The reference was given conversations as its users write them, with arguments as objects and reasoning in the content.
// OpenAI's clients send the same with arguments as strings of JSON, null for empty content beside calls, and reasoning in
// its own key. Both must render to the reference's text.

func TestClientsFormRendersAsTheReference(t *testing.T) {
	checkClientsForm(t, "testdata/templates_tiny.json", tinySource(t))
}

func TestClientsFormRendersAsTheReferencePublished(t *testing.T) {
	dir := referenceData(t)
	checkClientsForm(t, filepath.Join(dir, "expected", "templates_published.json"), func(name string) string {
		return string(readFileT(t, filepath.Join(dir, "templates", name+".jinja")))
	})
}

func checkClientsForm(t *testing.T, path string, source func(string) string) {
	var file referenceFile
	if err := json.Unmarshal(readFileT(t, path), &file); err != nil {
		t.Fatal(err)
	}
	for name, cases := range file.Cases {
		tmpl, compared := parseT(t, source(name), file.Tokens), 0
		for _, c := range cases {
			sent, changed := clientsForm(t, file.Chats[c.Chat], strings.Contains(tmpl.Source(), "</think>"))
			if !changed || c.Text == nil || c.Chat == "null_content" {
				continue // null is what the client's form has for "", for which some templates write None
			}
			compared++
			generate := string(c.Options["add_generation_prompt"]) == "true"
			delete(c.Options, "add_generation_prompt")
			kwargs, err := json.Marshal(c.Options)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Render(context.Background(), Input{Messages: sent, Tools: file.Tools[c.Tools], Kwargs: kwargs, AddGenerationPrompt: generate})
			if err != nil || got != *c.Text {
				t.Errorf("%s, chat %s, tools %s, sent as\n%s\n%v\n got  %q\n want %q", name, c.Chat, c.Tools, sent, err, got, *c.Text)
			}
		}
		if compared < 30 {
			t.Errorf("%s: only %d cases differ in the client's form", name, compared)
		}
	}
}

// clientsForm rewrites a conversation, its reasoning only if the model does reason; changed says that there was something to rewrite.
func clientsForm(t testing.TB, messages json.RawMessage, reasons bool) (sent json.RawMessage, changed bool) {
	t.Helper()
	list, err := jinja.FromJSON(messages)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list.(*jinja.List).Items {
		message := m.(*jinja.Dict)
		if content, ok := get[string](message, "content"); ok && reasons && strings.HasPrefix(content, "<think>\n") {
			thought, rest, _ := strings.Cut(strings.TrimPrefix(content, "<think>\n"), "\n</think>\n\n")
			message.Set("reasoning_content", thought)
			message.Set("content", rest)
			changed = true
		}
		if calls, ok := get[*jinja.List](message, "tool_calls"); ok {
			changed = true
			if content, _ := get[string](message, "content"); content == "" {
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

func get[T any](d *jinja.Dict, key string) (T, bool) {
	v, _ := d.Get(key)
	as, ok := v.(T)
	return as, ok
}

func stringArguments(t testing.TB, call *jinja.Dict) {
	t.Helper()
	function, _ := get[*jinja.Dict](call, "function")
	arguments, _ := function.Get("arguments")
	text, err := jinja.ToJSON(arguments)
	if err != nil {
		t.Fatal(err)
	}
	function.Set("arguments", text)
}

// TestReasoningComesBackAsItWent: what Output makes of an answer, sent back as reasoning_content and content, renders to the
// very words of the model, with a template that keeps them.
func TestReasoningComesBackAsItWent(t *testing.T) {
	tmpl := parseT(t, `{%- for m in messages %}{% if m.role == 'assistant' %}
{%- if m.reasoning_content %}{{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}{{ m.content }}
{%- for c in m.tool_calls or [] %}{{ '<tool_call>\n{"name": "' + c.function.name + '", "arguments": ' + c.function.arguments + '}\n</tool_call>' }}{% endfor %}
{%- endif %}{% endfor %}`, nil)
	for _, answer := range []string{
		"<think>\nI need a tool\n</think>\n\n<tool_call>\n{\"name\": \"now\", \"arguments\": {\"é\": 1.0}}\n</tool_call>",
		"<think>\n2 and 2,\n\nso <4>\n</think>\n\nIt is 4.\n",
		"No thought.",
	} {
		g := gather(t, config(Hermes, ""), answer)
		message := map[string]any{"role": "assistant", "content": nil}
		if g.Text != "" {
			message["content"] = g.Text
		}
		if g.Reasoning != "" {
			message["reasoning_content"] = g.Reasoning
		}
		var calls []any
		for _, c := range g.Calls {
			calls = append(calls, map[string]any{"id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": c.Arguments}})
		}
		message["tool_calls"] = calls
		messages, err := json.Marshal([]any{map[string]any{"role": "user", "content": ""}, message}) // the template shows no users
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Render(context.Background(), Input{Messages: messages}); err != nil || got != answer {
			t.Errorf("%q comes back as\n%q, %v", answer, got, err)
		}
	}
}
