package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// models_test.go talks to every model that ships, through the API, all of them served by one host: what the reference said on
// the tiny checkpoints must come back, split into content, reasoning and tool calls.

// conversation is a case of a checkpoint's golden.json. The order of keys in it reaches the prompt.
type conversation struct {
	Name     string            `json:"name"`
	Messages []json.RawMessage `json:"messages"`
	Tools    json.RawMessage   `json:"tools"`
	Think    *bool             `json:"enable_thinking"`
	Rendered string            `json:"rendered"`
	Answer   string            `json:"greedy_text"`
	IDs      []int             `json:"greedy_ids"`
}

func conversations(t *testing.T, family string) []conversation {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tinyDir(family), "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []conversation }
	if err := json.Unmarshal(text, &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%s: golden.json: %v, %d cases", family, err, len(file.Cases))
	}
	return file.Cases
}

// everyModel is one host that serves all families, each under its own name.
func everyModel(t *testing.T) *server {
	t.Helper()
	var tables strings.Builder
	for _, f := range families {
		tables.WriteString(tinyOf(f, f, "context = 1024\nmax_sequences = 2\nstep_tokens = 128"))
	}
	return start(t, tables.String())
}

// calls of the cases named tool_call, by the tool they call.
var toolCalls = map[string]string{"get_weather": `{"city": "Oslo"}`, "read_file": `{"path": "go.mod", "lines": 12}`}

func TestEveryModelAnswersAsTheReference(t *testing.T) {
	s := everyModel(t)
	for _, family := range families {
		for _, c := range conversations(t, family) {
			if pictures(c) {
				continue
			}
			t.Run(family+"/"+c.Name, func(t *testing.T) {
				for _, stream := range []bool{false, true} {
					path, body := c.request()
					body["model"], body["stream"] = family, stream
					got, err := s.complete(path, body, nil)
					if err != nil {
						t.Fatalf("stream=%v: %v", stream, err)
					}
					compare(t, c, got)
				}
			})
		}
	}
}

// request asks what the reference was asked: in messages, or in the text that a case without them was made of.
func (c conversation) request() (path string, body object) {
	body = object{"temperature": 0, "max_tokens": len(c.IDs), "return_token_ids": true}
	if c.Messages == nil {
		body["prompt"] = c.Rendered
		return "/v1/completions", body
	}
	body["messages"] = c.Messages
	if c.Tools != nil {
		body["tools"] = c.Tools
	}
	if c.Think != nil {
		body["chat_template_kwargs"] = object{"enable_thinking": *c.Think}
	}
	return "/v1/chat/completions", body
}

// pictures says whether a message has a part that is not text.
func pictures(c conversation) bool {
	return slices.ContainsFunc(c.Messages, func(m json.RawMessage) bool { return bytes.Contains(m, []byte(`"type": "image`)) })
}

var special = regexp.MustCompile(`<\|\w+\|>`)

// compare looks at an answer beside the reference's, whose text has everything in a row.
func compare(t *testing.T, c conversation, got answer) {
	t.Helper()
	if !reflect.DeepEqual(got.IDs, c.IDs) {
		t.Fatalf("ids %v\nwant %v (%q)", got.IDs, c.IDs, c.Answer)
	}
	text := special.ReplaceAllString(c.Answer, "") // never shown
	reasoning, content, closed := strings.Cut(text, "</think>")
	if !closed {
		reasoning, content = "", text
		if strings.HasPrefix(text, "<think>") { // cut short within
			reasoning, content = text, ""
		}
	}
	reasoning = strings.TrimSpace(strings.TrimPrefix(reasoning, "<think>"))
	if strings.TrimSpace(got.Reasoning) != reasoning {
		t.Errorf("reasoning %q, want %q", got.Reasoning, reasoning)
	}
	if strings.HasPrefix(content, "<tool_call>") {
		oneCall(t, got)
		return
	}
	if strings.TrimSpace(got.Text) != strings.TrimSpace(content) || len(got.Calls) > 0 {
		t.Errorf("content %q and calls %v, want %q", got.Text, got.Calls, content)
	}
	if got.Finish != "stop" && got.Finish != "length" {
		t.Errorf("finish reason %q", got.Finish)
	}
}

func oneCall(t *testing.T, got answer) {
	t.Helper()
	if got.Text != "" || got.Finish != "tool_calls" || len(got.Calls) != 1 {
		t.Fatalf("content %q, finish reason %q, calls %+v; want one call and nothing else", got.Text, got.Finish, got.Calls)
	}
	c := got.Calls[0]
	want, known := toolCalls[c.Function.Name]
	if !known || c.ID == "" || c.Type != "function" || !sameJSON(c.Function.Arguments, want) {
		t.Errorf("call %+v, want arguments %s", c, want)
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// The model calls the tool, is given the result with everything it said, and answers.
func TestEveryModelUsesAToolsResult(t *testing.T) {
	s := everyModel(t)
	for _, family := range families {
		for _, c := range conversations(t, family) {
			if c.Name != "tool_call" {
				continue
			}
			t.Run(family, func(t *testing.T) {
				body := object{"model": family, "messages": c.Messages, "tools": c.Tools, "temperature": 0, "max_tokens": 64, "return_token_ids": true}
				code, out := s.post("/v1/chat/completions", body)
				if code != 200 {
					t.Fatalf("%d %v", code, out)
				}
				said := out["choices"].([]any)[0].(object)["message"].(object)
				id := said["tool_calls"].([]any)[0].(object)["id"]
				body["messages"] = []any{c.Messages[0], said, object{"role": "tool", "tool_call_id": id, "content": `{"degrees": 17}`}}
				got, err := s.complete("/v1/chat/completions", body, nil)
				if err != nil {
					t.Fatal(err)
				}
				// The tiny coders have never been shown a result: that they go on is all that can be asked of them.
				weather := said["tool_calls"].([]any)[0].(object)["function"].(object)["name"] == "get_weather"
				if weather && got.Text != "It is 17 degrees in Oslo." || len(got.IDs) == 0 {
					t.Errorf("after the result: %+v", got)
				}
			})
		}
	}
}
