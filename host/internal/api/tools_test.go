package api

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

const weatherTool = `{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "z": 1.0}}}`

func chatWith(fields string) string { return chatBody + ", " + fields + "}" }

// caller says a word, calls two functions, the second of which comes with the end.
func caller(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	return answertest.Script(send,
		answertest.Start(7),
		answertest.Token(0, 40, "Let me see."),
		answertest.Token(1, 41, ""),
		sdk.Event{Token: &sdk.Token{Index: 2, ID: 42, ToolCalls: []sdk.ToolCallDelta{
			{Index: 0, ID: "call_a", Name: "get_weather"}, {Index: 0, Arguments: `{"city": `},
		}}},
		sdk.Event{Token: &sdk.Token{Index: 3, ID: 43, ToolCalls: []sdk.ToolCallDelta{{Index: 0, Arguments: `"Oslo"}`}}}},
		sdk.Event{Finish: &sdk.Finish{
			Reason: sdk.FinishToolCalls, PromptTokens: 1, CompletionTokens: 4,
			ToolCalls: []sdk.ToolCallDelta{{Index: 1, ID: "call_b", Name: "now", Arguments: "{}"}},
		}})
}

func TestCallsInAWholeAnswer(t *testing.T) {
	f := answertest.New()
	f.Answer = caller
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"tools": [`+weatherTool+`]`))
	var got struct {
		Choices json.RawMessage
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := `[{"index":0,"message":{"role":"assistant","content":"Let me see.","tool_calls":[` +
		`{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Oslo\"}"}},` +
		`{"id":"call_b","type":"function","function":{"name":"now","arguments":"{}"}}],"refusal":null},"logprobs":null,"finish_reason":"tool_calls"}]`
	answertest.EqualLines(t, []string{string(got.Choices)}, []string{want})
}

// The id, the type and the name come with a call's first piece; nothing of it is repeated, and no chunk has two pieces of one call.
func TestCallsInAStream(t *testing.T) {
	f := answertest.New()
	f.Answer = caller
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"stream": true, "tools": [`+weatherTool+`]`))
	var deltas []string
	list := answertest.DataOf(t, w.Body.String())
	for _, d := range list[:len(list)-1] {
		var c struct {
			Choices []struct {
				Delta  json.RawMessage
				Finish string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		deltas = append(deltas, string(c.Choices[0].Delta)+c.Choices[0].Finish)
	}
	answertest.EqualLines(t, deltas, []string{
		`{"role":"assistant","content":""}`,
		`{"content":"Let me see."}`,
		`{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\": "}}]}`,
		`{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}`,
		`{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"now","arguments":"{}"}}]}`,
		`{}tool_calls`,
	})
}

// An answer that only calls has no content, and says so: an empty text would be a part of the conversation.
func TestContentIsNullBesideCallsAlone(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(7), sdk.Event{Finish: &sdk.Finish{
			Reason: sdk.FinishToolCalls, ToolCalls: []sdk.ToolCallDelta{{ID: "call_a", Name: "now", Arguments: "{}"}},
		}})
	}
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"tools": [`+weatherTool+`]`))
	if !strings.Contains(w.Body.String(), `"content":null,"tool_calls":[`) {
		t.Error(w.Body)
	}
}

func TestWhatAChatMayCallReachesThePlugin(t *testing.T) {
	tools := "[" + weatherTool + ", " + `{"type": "function", "function": {"name": "now", "parameters": null}}` + "]"
	for _, c := range []struct {
		fields string
		want   sdk.Chat
	}{
		{`"tools": ` + tools, sdk.Chat{Tools: json.RawMessage(tools)}},
		{`"tool_choice": "required", "tools": ` + tools, sdk.Chat{Tools: json.RawMessage(tools), ToolChoice: "required"}},
		{`"tools": ` + tools + `, "tool_choice": {"type": "function", "function": {"name": "now"}}`, sdk.Chat{Tools: json.RawMessage(tools), ToolChoice: "function:now"}},
		{`"tools": ` + tools + `, "tool_choice": "none", "parallel_tool_calls": true`, sdk.Chat{Tools: json.RawMessage(tools), ToolChoice: "none"}},
		{`"tools": ` + tools + `, "parallel_tool_calls": false`, sdk.Chat{Tools: json.RawMessage(tools), SingleCall: true}},
		{
			`"tools": ` + tools + `, "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_weather"}}]}}`,
			sdk.Chat{Tools: json.RawMessage("[" + weatherTool + "]"), ToolChoice: "required"},
		},
		{
			`"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "now"}}, {"type": "function", "function": {"name": "get_weather"}}]}}, "tools": ` + tools,
			sdk.Chat{Tools: json.RawMessage(strings.ReplaceAll(tools, "}}, {", "}},{")), ToolChoice: "auto"},
		},
		// Without tools there is nothing to choose, and a template must not see an empty list of them.
		{`"tools": [], "tool_choice": "auto", "parallel_tool_calls": false`, sdk.Chat{}},
		{`"tools": null, "tool_choice": "none"`, sdk.Chat{}},
		{`"add_generation_prompt": true`, sdk.Chat{}},
		{`"add_generation_prompt": false`, sdk.Chat{Kwargs: json.RawMessage(`{"add_generation_prompt":false}`)}},
		{`"add_generation_prompt": false, "continue_final_message": true`, sdk.Chat{Kwargs: json.RawMessage(`{"continue_final_message":true}`)}},
		{`"chat_template_kwargs": {}, "add_generation_prompt": false`, sdk.Chat{Kwargs: json.RawMessage(`{"add_generation_prompt":false}`)}},
		{
			`"add_generation_prompt": false, "chat_template_kwargs": { "x": {"y": 1.0} }`,
			sdk.Chat{Kwargs: json.RawMessage(`{ "x": {"y": 1.0} ,"add_generation_prompt":false}`)},
		},
	} {
		f := answertest.New()
		if w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(c.fields)); w.Code != 200 {
			t.Errorf("%s: %d %s", c.fields, w.Code, w.Body)
			continue
		}
		got := *f.Seen[0].Chat
		got.Messages = nil
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %s %q %v %s\nwant %s %q %v %s", c.fields, got.Tools, got.ToolChoice, got.SingleCall, got.Kwargs,
				c.want.Tools, c.want.ToolChoice, c.want.SingleCall, c.want.Kwargs)
		}
	}
}

// A client sends back what it was given; the template gets every byte of it.
func TestARoundTripKeepsTheTurns(t *testing.T) {
	messages := `[{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": null, "reasoning_content": "Hm", "tool_calls": ` +
		`[{"id": "call_a", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Oslo\"}"}}], "refusal": null}, ` +
		`{"role": "tool", "tool_call_id": "call_a", "content": [{"type": "text", "text": "17"}]}]`
	f := answertest.New()
	if w := answertest.Post(New(f, Options{}), "/v1/chat/completions", `{"model": "tiny", "messages": `+messages+`}`); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if got := string(f.Seen[0].Chat.Messages); got != messages {
		t.Errorf("got %s\nwant %s", got, messages)
	}
}
