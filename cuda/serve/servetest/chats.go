package servetest

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// chats.go compares what a client gets with golden.json.

// Case is one of golden.json: what a client sends, and what the reference renders, tokenizes and answers.
type Case struct {
	Name           string
	Messages       json.RawMessage // of a chat
	Tools          json.RawMessage
	EnableThinking *bool    `json:"enable_thinking"`
	Images         []string // files beside golden.json, one for each picture in the messages
	Prompt         string   // instead of messages: a text as it is

	Rendered   string
	IDs        []int32
	GreedyIDs  []int32 `json:"greedy_ids"`
	GreedyText string  `json:"greedy_text"` // with special tokens
}

// Cases reads golden.json.
func Cases(t testing.TB, dir string) []Case {
	t.Helper()
	var file struct{ Cases []Case }
	if err := json.Unmarshal(nntest.Read(t, dir, "golden.json"), &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%s: %d cases, %v", dir, len(file.Cases), err)
	}
	return file.Cases
}

// special are tokens that a client never sees.
var special = regexp.MustCompile(`<\|[a-z_]+\|>`)

// Written is the reference's answer without special tokens.
func (g Case) Written() string { return special.ReplaceAllString(g.GreedyText, "") }

// Request asks for the likeliest token each time, as many as the reference gives.
func (g Case) Request(t testing.TB, dir string) sdk.GenerateRequest {
	t.Helper()
	req := Greedy(len(g.GreedyIDs))
	if g.Messages == nil {
		req.Text, req.HasText = g.Prompt, true
		return req
	}
	req.Chat = &sdk.Chat{Messages: g.Messages, Tools: g.Tools}
	if g.EnableThinking != nil {
		req.Chat.Kwargs = fmt.Appendf(nil, `{"enable_thinking": %v}`, *g.EnableThinking)
	}
	for _, name := range g.Images {
		req.Chat.Images = append(req.Chat.Images, nntest.Read(t, filepath.Join(dir, name)))
	}
	return req
}

func (g Case) title() string {
	if g.EnableThinking == nil {
		return g.Name
	}
	return fmt.Sprintf("%s, thinking %v", g.Name, *g.EnableThinking)
}

// Greedy is a request without a prompt for the likeliest token each time.
func Greedy(tokens int) sdk.GenerateRequest {
	zero := 0.0
	return sdk.GenerateRequest{MaxTokens: tokens, Sampling: sdk.Sampling{Temperature: &zero}}
}

// Answer is what a client gets.
type Answer struct {
	Prompt, IDs     []int32
	Reasoning, Text string
	Calls           []Call
}

// Call is a tool call: a name and JSON.
type Call struct{ Name, Arguments string }

func (a *Answer) add(reasoning, text string, calls []sdk.ToolCallDelta) {
	a.Reasoning, a.Text = a.Reasoning+reasoning, a.Text+text
	for _, d := range calls {
		for len(a.Calls) <= d.Index {
			a.Calls = append(a.Calls, Call{})
		}
		a.Calls[d.Index].Name += d.Name
		a.Calls[d.Index].Arguments += d.Arguments
	}
}

// Try has a plugin answer.
func Try(t testing.TB, c *client.Client, req sdk.GenerateRequest) (a Answer, err error) {
	t.Helper()
	req.ID = t.Name()
	err = c.Generate(t.Context(), req, func(e sdk.Event) error {
		switch {
		case e.Start != nil:
			a.Prompt = e.Start.Prompt
		case e.Token != nil:
			a.IDs = append(a.IDs, e.Token.ID)
			a.add(e.Token.Reasoning, e.Token.Text, e.Token.ToolCalls)
		case e.Finish != nil:
			a.add(e.Finish.Reasoning, e.Finish.Text, e.Finish.ToolCalls)
		}
		return nil
	})
	return a, err
}

// Ask is Try of what must be answered.
func Ask(t testing.TB, c *client.Client, req sdk.GenerateRequest) Answer {
	t.Helper()
	a, err := Try(t, c, req)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Chats goes from what a client sends to what it gets, for each case of each checkpoint: rendered, prompt ids and greedy ids must be
// the reference's. What the model writes in <think> is reasoning, and what it writes in <tool_call>, in its family's own way, is Call.
func (p Plugin) Chats(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		c := p.With(t, dir)
		for _, g := range Cases(t, dir) {
			t.Run(g.title(), func(t *testing.T) { p.compare(t, c, g, g.Request(t, dir)) })
		}
	})
}

func (p Plugin) compare(t testing.TB, c *client.Client, g Case, req sdk.GenerateRequest) {
	t.Helper()
	if req.Chat != nil {
		if rendered, err := c.Render(t.Context(), *req.Chat); err != nil || rendered != g.Rendered {
			t.Errorf("rendered %q, %v\nwant %q", rendered, err, g.Rendered)
		}
	}
	a := Ask(t, c, req)
	SameIDs(t, "prompt ids", a.Prompt, g.IDs)
	SameIDs(t, "greedy ids", a.IDs, g.GreedyIDs)
	reasoning, text := thought(g.Written())
	var calls []Call
	if before, _, called := strings.Cut(text, "<tool_call>"); called {
		text, calls = before, []Call{p.Call}
	}
	if a.Reasoning != reasoning || a.Text != text || !slices.Equal(a.Calls, calls) {
		t.Errorf("reasons %q, says %q, calls %v; the reference writes %q", a.Reasoning, a.Text, a.Calls, g.GreedyText)
	}
}

// thought is what an answer has in <think>, which the prompt may have opened and which may not come to an end, and what is behind it.
func thought(written string) (reasoning, text string) {
	inside, opened := strings.CutPrefix(written, "<think>")
	reasoning, text, closed := strings.Cut(inside, "</think>")
	if !opened && !closed {
		return "", written
	}
	return strings.Trim(reasoning, "\n"), strings.TrimLeft(text, "\n")
}

// Returned is a conversation after a tool was called and its result came back, as clients send it: the arguments are a string. More
// messages may follow.
func Returned(t testing.TB, messages json.RawMessage, call Call, result string, more ...any) json.RawMessage {
	t.Helper()
	var all []any
	if err := json.Unmarshal(messages, &all); err != nil {
		t.Fatal(err)
	}
	all = append(all,
		map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{"id": "call_1", "type": "function",
			"function": map[string]any{"name": call.Name, "arguments": call.Arguments}}}},
		map[string]any{"role": "tool", "tool_call_id": "call_1", "content": result})
	text, err := json.Marshal(append(all, more...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// SameIDs compares tokens and says where they differ first.
func SameIDs(t testing.TB, what string, got, want []int32) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s differ at %d:\n got %v\nwant %v", what, at, got, want)
}
