package conformance

// tools.go: tool calls have the form that clients put together, are those that were asked for, and are the same when the
// answer is resumed.

import (
	"encoding/json"

	"github.com/inference-pio/inference-pio/sdk"
)

// toolRequest is a chat whose tools no checkpoint has seen.
func toolRequest(choice string) sdk.GenerateRequest {
	req := text(24)
	req.Text, req.HasText = "", false
	req.Chat = &sdk.Chat{
		Messages: json.RawMessage(`[{"role": "user", "content": "What is the weather in Oslo?"}]`),
		Tools: json.RawMessage(`[{"type": "function", "function": {"name": "get_weather", "description": "Current weather in a city",
			"parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
			{"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}}]`),
		ToolChoice: choice,
	}
	return req
}

func caseTools(t T, c Config) {
	p := start(t, c)
	defer p.end()
	p.load()
	_, err := p.generate(toolRequest("function:no_such_function"))
	refuses(t, "T2", "Generate with a tool_choice that is not among the tools", err, sdk.ReasonInvalid, sdk.ReasonTemplate)
	for _, choice := range []string{"auto", "required", "function:get_weather"} {
		req := toolRequest(choice)
		whole, err := p.generate(req)
		if reason := sdk.ReasonOf(err); err != nil && (reason == sdk.ReasonInvalid || reason == sdk.ReasonTemplate) {
			t.Logf("T1: no tool calls: %v", err)
			return
		}
		if err != nil {
			t.Fatalf("T1: Generate with tools and the tool_choice %s failed: %v", choice, err)
		}
		called := checkCalls(t, whole)
		if reason := whole.finish.Reason; (reason == sdk.FinishToolCalls) != (len(called) > 0 && reason != sdk.FinishLength) {
			t.Errorf("T1: an answer with %d calls ends with the reason %q", len(called), reason)
		}
		if choice == "function:get_weather" && len(called) > 0 && (len(called) > 1 || called[0] != "get_weather") {
			t.Errorf("T2: the tool_choice %s is answered with calls of %q", choice, called)
		}
		resumes(t, "T3", p, req, whole)
	}
	single := toolRequest("auto")
	single.Chat.SingleCall = true
	if called := checkCalls(t, p.mustGenerate("T2", single)); len(called) > 1 {
		t.Errorf("T2: single_call is answered with calls of %q", called)
	}
}

// checkCalls puts the calls of an answer together and returns the names of the functions called.
func checkCalls(t T, a *answer) (names []string) {
	t.Helper()
	var arguments []string
	ids := map[string]bool{}
	for _, d := range a.calls() {
		switch n := len(arguments); {
		case d.Index == n && d.ID != "" && d.Name != "":
			if ids[d.ID] {
				t.Errorf("T1: two calls have the id %q", d.ID)
			}
			ids[d.ID] = true
			names, arguments = append(names, d.Name), append(arguments, d.Arguments)
		case n > 0 && d.Index == n-1 && d.ID == "" && d.Name == "":
			arguments[n-1] += d.Arguments
		default:
			t.Errorf("T1: after %d calls comes the piece %+v; a call begins with its id and name, and goes on with arguments alone", n, d)
			return names
		}
	}
	for i, text := range arguments {
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) != nil || object == nil {
			t.Errorf("T1: the arguments of call %d are %q, not a JSON object", i, text)
		}
	}
	return names
}
