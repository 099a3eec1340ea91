package main

import (
	"context"
	"encoding/json"
	"reflect"
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
	each(t, func(t *testing.T, dir string) {
		conformance.Run(t, conformance.Config{Start: startPlugin, Model: dir})
	})
}

// idle starts a plugin.
func idle(t testing.TB) *client.Client {
	t.Helper()
	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return c
}

// loaded starts a plugin with a checkpoint.
func loaded(t testing.TB, dir string) *client.Client {
	t.Helper()
	c := idle(t)
	if _, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir}}, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

// goldenChat is a case of golden.json: what the reference renders, tokenizes and answers.
type goldenChat struct {
	Name       string
	Messages   json.RawMessage
	Tools      json.RawMessage
	Rendered   string
	IDs        []int32
	GreedyIDs  []int32 `json:"greedy_ids"`
	GreedyText string  `json:"greedy_text"`
}

func goldenChats(t *testing.T, dir string) []goldenChat {
	t.Helper()
	var file struct{ Cases []goldenChat }
	if err := json.Unmarshal(read(t, dir, "golden.json"), &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// answer is what a client sees of a generation.
type answer struct {
	prompt, ids     []int32
	text, reasoning string
	name, arguments string // of the last tool call
	calls           int
}

func (a *answer) add(text, reasoning string, calls []sdk.ToolCallDelta) {
	a.text, a.reasoning = a.text+text, a.reasoning+reasoning
	for _, d := range calls {
		if a.calls < d.Index+1 {
			a.calls, a.name, a.arguments = d.Index+1, "", ""
		}
		a.name, a.arguments = a.name+d.Name, a.arguments+d.Arguments
	}
}

// greedy has the plugin answer a chat with the likeliest token each time.
func greedy(t *testing.T, c *client.Client, chat sdk.Chat, most int) answer {
	t.Helper()
	var a answer
	zero := 0.0
	req := sdk.GenerateRequest{ID: t.Name(), Chat: &chat, MaxTokens: most, Sampling: sdk.Sampling{Temperature: &zero}}
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		switch {
		case e.Start != nil:
			a.prompt = e.Start.Prompt
		case e.Token != nil:
			a.ids = append(a.ids, e.Token.ID)
			a.add(e.Token.Text, e.Token.Reasoning, e.Token.ToolCalls)
		case e.Finish != nil:
			a.add(e.Finish.Text, e.Finish.Reasoning, e.Finish.ToolCalls)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// special are the tokens a client never sees; call is how this family writes a tool call.
var (
	special = regexp.MustCompile(`<\|[a-z_]+\|>`)
	call    = regexp.MustCompile(`(?s)^<tool_call>\n(.*)\n</tool_call>$`)
)

// From the client's messages to what it is shown, through the contract, as the reference: rendered, ids, greedy ids, text, calls.
func TestChatsOfTheReferenceThroughTheContract(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		c := loaded(t, dir)
		for _, g := range goldenChats(t, dir) {
			t.Run(g.Name, func(t *testing.T) {
				chat := sdk.Chat{Messages: g.Messages, Tools: g.Tools}
				if rendered, err := c.Render(t.Context(), chat); err != nil || rendered != g.Rendered {
					t.Errorf("rendered %q, %v\nwant %q", rendered, err, g.Rendered)
				}
				a := greedy(t, c, chat, len(g.GreedyIDs))
				if !reflect.DeepEqual(a.prompt, g.IDs) || !reflect.DeepEqual(a.ids, g.GreedyIDs) {
					t.Errorf("prompt ids\n got %v\nwant %v\ngreedy ids\n got %v\nwant %v", a.prompt, g.IDs, a.ids, g.GreedyIDs)
				}
				shown := special.ReplaceAllString(g.GreedyText, "")
				if m := call.FindStringSubmatch(shown); m != nil {
					sameCall(t, a, m[1])
				} else if a.text != shown || a.reasoning != "" || a.calls != 0 {
					t.Errorf("shown %q (reasoning %q, %d calls), the reference says %q", a.text, a.reasoning, a.calls, shown)
				}
			})
		}
	})
}

// sameCall compares an answer of one tool call with the JSON the model wrote.
func sameCall(t *testing.T, a answer, written string) {
	t.Helper()
	var want struct {
		Name      string
		Arguments any
	}
	var arguments any
	if err := json.Unmarshal([]byte(written), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(a.arguments), &arguments); err != nil || a.calls != 1 || a.name != want.Name || !reflect.DeepEqual(arguments, want.Arguments) || a.text != "" {
		t.Errorf("%d calls, %s %s, text %q, %v; the model wrote %s", a.calls, a.name, a.arguments, a.text, err, written)
	}
}

// The model is asked, calls the tool, is given the result in the form clients send it back, and answers with it.
func TestToolCallMakesTheRound(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		c, chats := loaded(t, dir), goldenChats(t, dir)
		asked, answered := chats[len(chats)-3], chats[len(chats)-1]
		if asked.Name != "tool_call" || answered.Name != "tool_answer" {
			t.Fatalf("the cases are %s and %s", asked.Name, answered.Name)
		}
		first := greedy(t, c, sdk.Chat{Messages: asked.Messages, Tools: asked.Tools}, 64)
		var messages []any
		if err := json.Unmarshal(asked.Messages, &messages); err != nil {
			t.Fatal(err)
		}
		messages = append(messages,
			map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{"id": "call_1", "type": "function",
				"function": map[string]any{"name": first.name, "arguments": first.arguments}}}}, // arguments as a string
			map[string]any{"role": "tool", "tool_call_id": "call_1", "content": `{"degrees": 17}`})
		text, err := json.Marshal(messages)
		if err != nil {
			t.Fatal(err)
		}
		second := greedy(t, c, sdk.Chat{Messages: text, Tools: asked.Tools}, 64)
		if !reflect.DeepEqual(second.prompt, answered.IDs) || second.text != strings.TrimSuffix(answered.GreedyText, "<|im_end|>") {
			t.Errorf("after the result it says %q\nto the prompt %v\nof the reference %v", second.text, second.prompt, answered.IDs)
		}
	})
}
