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
	conformance.Run(t, conformance.Config{Start: startPlugin, Model: tiny})
}

// loaded starts a plugin with a checkpoint.
func loaded(t testing.TB, dir string) *client.Client {
	t.Helper()
	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	if _, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir}}, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	return c
}

// goldenCase is one of golden.json: what the reference renders, tokenizes and answers. One without messages is a prompt as it is.
type goldenCase struct {
	Name       string
	Messages   json.RawMessage
	Tools      json.RawMessage
	Prompt     string
	Rendered   string
	IDs        []int32
	GreedyIDs  []int32 `json:"greedy_ids"`
	GreedyText string  `json:"greedy_text"`
}

func goldenCases(t *testing.T) []goldenCase {
	t.Helper()
	var file struct{ Cases []goldenCase }
	if err := json.Unmarshal(read(t, tiny, "golden.json"), &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

// answer is what a client sees of a generation.
type answer struct {
	prompt, ids []int32
	text        string
	name, args  string // of the tool call
	calls       int
}

func (a *answer) add(text string, calls []sdk.ToolCallDelta) {
	a.text += text
	for _, d := range calls {
		a.calls, a.name, a.args = max(a.calls, d.Index+1), a.name+d.Name, a.args+d.Arguments
	}
}

// greedy has the plugin answer with the likeliest token each time.
func greedy(t *testing.T, c *client.Client, req sdk.GenerateRequest) answer {
	t.Helper()
	var a answer
	zero := 0.0
	req.ID, req.Sampling = t.Name(), sdk.Sampling{Temperature: &zero}
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		switch {
		case e.Start != nil:
			a.prompt = e.Start.Prompt
		case e.Token != nil:
			a.ids = append(a.ids, e.Token.ID)
			a.add(e.Token.Text, e.Token.ToolCalls)
		case e.Finish != nil:
			a.add(e.Finish.Text, e.Finish.ToolCalls)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// special are the tokens a client never sees.
var special = regexp.MustCompile(`<\|[a-z_]+\|>`)

// From what the client sends to what it is shown, through the contract, as the reference: rendered, ids, greedy ids, text.
func TestCasesOfTheReferenceThroughTheContract(t *testing.T) {
	c := loaded(t, tiny)
	for _, g := range goldenCases(t) {
		t.Run(g.Name, func(t *testing.T) {
			req := sdk.GenerateRequest{MaxTokens: len(g.GreedyIDs)}
			if g.Messages != nil {
				req.Chat = &sdk.Chat{Messages: g.Messages, Tools: g.Tools}
				if rendered, err := c.Render(t.Context(), *req.Chat); err != nil || rendered != g.Rendered {
					t.Errorf("rendered %q, %v\nwant %q", rendered, err, g.Rendered)
				}
			} else {
				req.Text = g.Prompt
			}
			a := greedy(t, c, req)
			if !reflect.DeepEqual(a.prompt, g.IDs) || !reflect.DeepEqual(a.ids, g.GreedyIDs) {
				t.Errorf("prompt ids\n got %v\nwant %v\ngreedy ids\n got %v\nwant %v", a.prompt, g.IDs, a.ids, g.GreedyIDs)
			}
			if shown := special.ReplaceAllString(g.GreedyText, ""); g.Tools == nil && (a.text != shown || a.calls != 0) {
				t.Errorf("shown %q and %d calls, the reference says %q", a.text, a.calls, shown)
			}
		})
	}
}

// The model is asked, calls the tool in its family's words, is given the result as clients send it back, and goes on.
func TestToolCallMakesTheRound(t *testing.T) {
	c, cases := loaded(t, tiny), goldenCases(t)
	asked := cases[3]
	first := greedy(t, c, sdk.GenerateRequest{MaxTokens: 64, Chat: &sdk.Chat{Messages: asked.Messages, Tools: asked.Tools}})
	var arguments any
	if err := json.Unmarshal([]byte(first.args), &arguments); err != nil || first.calls != 1 || first.name != "read_file" || first.text != "" ||
		!reflect.DeepEqual(arguments, map[string]any{"path": "go.mod", "lines": 12.0}) { // a number, as the tool's schema says
		t.Fatalf("%d calls, %s(%s), text %q, %v", first.calls, first.name, first.args, first.text, err)
	}
	var messages []any
	if err := json.Unmarshal(asked.Messages, &messages); err != nil {
		t.Fatal(err)
	}
	// This model was trained to call whatever it is asked when there are tools, and not on what comes back; so the tools go, the user
	// goes on, and the answer shows that the call and its result are in the prompt as a past turn is.
	messages = append(messages,
		map[string]any{"role": "assistant", "content": nil, "tool_calls": []any{map[string]any{"id": "call_1", "type": "function",
			"function": map[string]any{"name": first.name, "arguments": first.args}}}}, // arguments as a string
		map[string]any{"role": "tool", "tool_call_id": "call_1", "content": "module example.com/x"},
		map[string]any{"role": "user", "content": "What is the capital of Peru?"})
	text, err := json.Marshal(messages)
	if err != nil {
		t.Fatal(err)
	}
	chat := sdk.Chat{Messages: text}
	rendered, err := c.Render(t.Context(), chat)
	_, turn, _ := strings.Cut(asked.Rendered, "</tools><|im_end|>\n")
	called := turn + strings.TrimSuffix(asked.GreedyText, "<|im_end|>") + "<|im_end|>\n<|im_start|>user\n<tool_response>\nmodule example.com/x\n</tool_response>\n<|im_end|>\n"
	if err != nil || !strings.HasPrefix(rendered, called) {
		t.Errorf("rendered %q, %v\nwhich does not begin with %q", rendered, err, called)
	}
	second := greedy(t, c, sdk.GenerateRequest{MaxTokens: 64, Chat: &chat})
	if second.text != "The capital of Peru is Lima." || second.calls != 0 {
		t.Errorf("then it says %q, with %d calls", second.text, second.calls)
	}
}
