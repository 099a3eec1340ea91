package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// The model is asked, calls the tool in its family's words, is given the result as clients send it back, and goes on.
func TestToolCallMakesTheRound(t *testing.T) {
	c, cases := plugin.With(t, tiny), servetest.Cases(t, tiny)
	asked := cases[3]
	req := asked.Request(t, tiny)
	req.MaxTokens = 64
	first := servetest.Ask(t, c, req)
	if !slices.Equal(first.Calls, []servetest.Call{plugin.Call}) || first.Text != "" {
		t.Fatalf("calls %v, text %q", first.Calls, first.Text)
	}
	// This model was trained to call whatever it is asked when there are tools, and not on what comes back; so the tools go, the user
	// goes on, and the answer shows that the call and its result are in the prompt as a past turn is.
	req.Chat = &sdk.Chat{Messages: servetest.Returned(t, asked.Messages, plugin.Call, "module example.com/x",
		map[string]any{"role": "user", "content": "What is the capital of Peru?"})}
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
