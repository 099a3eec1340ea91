package responses

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

func ask(t *testing.T, f *answertest.Fake, body string) *httptest.ResponseRecorder {
	t.Helper()
	return answertest.Post(answertest.Handler(f, Protocol{Skipped: func(string) {}}), "/v1/responses", body)
}

// events are the lines of a stream: the type by which some clients choose must be the data's own. What an event has of the whole response
// is shown by its status and output.
func events(t *testing.T, body string) (lines []string) {
	t.Helper()
	for i, e := range strings.Split(strings.TrimSuffix(answertest.Stable(body), "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(e, "\ndata: ")
		var head struct {
			Type     string
			Sequence *int `json:"sequence_number"`
			Response map[string]json.RawMessage
		}
		if err := json.Unmarshal([]byte(data), &head); err != nil || !ok || name != "event: "+head.Type || head.Sequence == nil || *head.Sequence != i {
			t.Fatalf("event %d: %v: %s", i, err, e)
		}
		line := strings.TrimPrefix(data, `{"type":"`)
		if head.Response != nil {
			line = head.Type + " " + string(head.Response["id"]) + " " + string(head.Response["status"]) + " " + string(head.Response["output"]) + " " + string(head.Response["usage"])
		}
		lines = append(lines, strings.Replace(line, `"sequence_number":`, "", 1))
	}
	return lines
}

// What both of OpenAI's own libraries, the AI SDK, LangChain and pydantic-ai need, in the order in which they need it.
func TestAStreamTellsOfEachItem(t *testing.T) {
	w := ask(t, answertest.New(), `{"model":"tiny","input":"Hi","stream":true}`)
	if ct := w.Header().Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	answertest.EqualLines(t, events(t, w.Body.String()), []string{
		`response.created "resp_0" "in_progress" [] null`,
		`response.in_progress "resp_0" "in_progress" [] null`,
		`response.output_item.added",2,"output_index":0,"item":{"id":"rs_1","type":"reasoning","status":"in_progress","summary":[]}}`,
		`response.reasoning_summary_part.added",3,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""}}`,
		`response.reasoning_summary_text.delta",4,"item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Hm"}`,
		`response.reasoning_summary_text.done",5,"item_id":"rs_1","output_index":0,"summary_index":0,"text":"Hm"}`,
		`response.reasoning_summary_part.done",6,"item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"Hm"}}`,
		`response.output_item.done",7,"output_index":0,"item":{"id":"rs_1","type":"reasoning","status":"completed","summary":[{"type":"summary_text","text":"Hm"}]}}`,
		`response.output_item.added",8,"output_index":1,"item":{"id":"msg_2","type":"message","status":"in_progress","role":"assistant","content":[]}}`,
		`response.content_part.added",9,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}}`,
		`response.output_text.delta",10,"item_id":"msg_2","output_index":1,"content_index":0,"delta":"Tokyo <é>","logprobs":[]}`,
		`response.output_text.delta",11,"item_id":"msg_2","output_index":1,"content_index":0,"delta":".","logprobs":[]}`,
		`response.output_text.done",12,"item_id":"msg_2","output_index":1,"content_index":0,"text":"Tokyo <é>.","logprobs":[]}`,
		`response.content_part.done",13,"item_id":"msg_2","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Tokyo <é>.","annotations":[],"logprobs":[]}}`,
		`response.output_item.done",14,"output_index":1,"item":{"id":"msg_2","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Tokyo <é>.","annotations":[],"logprobs":[]}]}}`,
		`response.completed "resp_0" "completed" [{"id":"rs_1","type":"reasoning","status":"completed","summary":[{"type":"summary_text","text":"Hm"}]},` +
			`{"id":"msg_2","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Tokyo <é>.","annotations":[],"logprobs":[]}]}] ` +
			`{"input_tokens":3,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":0},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":6}`,
	})
}

// calls says a word, then calls twice.
func calls(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So:"),
		sdk.Event{Token: &sdk.Token{Index: 1, ID: 2, ToolCalls: []sdk.ToolCallDelta{{Index: 0, ID: "call_a", Name: "f", Arguments: `{"x":`}}}},
		sdk.Event{Token: &sdk.Token{Index: 2, ID: 3, ToolCalls: []sdk.ToolCallDelta{{Index: 0, Arguments: `1}`}, {Index: 1, ID: "call_b", Name: "g", Arguments: `{}`}}}},
		sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishToolCalls, PromptTokens: 1, CompletionTokens: 3}})
}

const tools = `"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"web_search"},{"type":"function","name":"g","description":"d <1>"}]`

func TestCallsAreItems(t *testing.T) {
	f := answertest.New()
	f.Answer = calls
	w := ask(t, f, `{"model":"tiny","input":"Hi","stream":true,`+tools+`}`)
	got := events(t, w.Body.String())
	answertest.EqualLines(t, got[8:len(got)-1], []string{
		`response.output_item.added",8,"output_index":1,"item":{"id":"fc_2","type":"function_call","status":"in_progress","call_id":"call_a","name":"f","arguments":""}}`,
		`response.function_call_arguments.delta",9,"item_id":"fc_2","output_index":1,"delta":"{\"x\":"}`,
		`response.function_call_arguments.delta",10,"item_id":"fc_2","output_index":1,"delta":"1}"}`,
		`response.function_call_arguments.done",11,"item_id":"fc_2","output_index":1,"name":"f","arguments":"{\"x\":1}"}`,
		`response.output_item.done",12,"output_index":1,"item":{"id":"fc_2","type":"function_call","status":"completed","call_id":"call_a","name":"f","arguments":"{\"x\":1}"}}`,
		`response.output_item.added",13,"output_index":2,"item":{"id":"fc_3","type":"function_call","status":"in_progress","call_id":"call_b","name":"g","arguments":""}}`,
		`response.function_call_arguments.delta",14,"item_id":"fc_3","output_index":2,"delta":"{}"}`,
		`response.function_call_arguments.done",15,"item_id":"fc_3","output_index":2,"name":"g","arguments":"{}"}`,
		`response.output_item.done",16,"output_index":2,"item":{"id":"fc_3","type":"function_call","status":"completed","call_id":"call_b","name":"g","arguments":"{}"}}`,
	})
	answertest.EqualLines(t, []string{string(f.Seen[0].Chat.Tools)}, []string{
		`[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g","description":"d <1>"}}]`})
}

// A whole response is the one that ends a stream, but for its ids and times.
func TestAWholeResponseIsTheStreamsLast(t *testing.T) {
	for name, answer := range map[string]func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error{"text": answertest.Tokyo, "calls": calls} {
		f := answertest.New()
		f.Answer = answer
		body := `{"model":"tiny","input":"Hi","instructions":"Be brief","temperature":0.5,"top_p":0.9,"max_output_tokens":7,"metadata":{"a":"b"},"reasoning":{"effort":"low"},` +
			`"text":{"format":{"type":"text"},"verbosity":"low"},"tool_choice":"none","parallel_tool_calls":false,` + tools
		var whole, last struct{ Response json.RawMessage }
		whole.Response = json.RawMessage(ask(t, f, body+"}").Body.String())
		stream := ask(t, f, body+`,"stream":true}`).Body.String()
		if err := json.Unmarshal([]byte(stream[strings.LastIndex(stream, "data: ")+6:]), &last); err != nil {
			t.Fatal(err)
		}
		answertest.EqualLines(t, []string{name + answertest.Stable(string(last.Response))}, []string{name + answertest.Stable(strings.TrimSpace(string(whole.Response)))})
		for _, say := range []string{`"object":"response"`, `"status":"completed"`, `"instructions":"Be brief"`, `"metadata":{"a":"b"}`, `"max_output_tokens":7`, `"temperature":0.5`, `"top_p":0.9`,
			`"reasoning":{"effort":"low"}`, `"tool_choice":"none"`, `"parallel_tool_calls":false`, `"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"function","name":"g"`,
			`"text":{"format":{"type":"text"},"verbosity":"low"}`, `"store":false`, `"error":null`, `"incomplete_details":null`, `"previous_response_id":null`} {
			if !strings.Contains(string(whole.Response), say) {
				t.Errorf("no %s in %s", say, whole.Response)
			}
		}
	}
}

// What max_output_tokens has cut off says so, in the response and in the item that it cut.
func TestACutResponseIsIncomplete(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So"), sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishLength}})
	}
	w := ask(t, f, `{"model":"tiny","input":"Hi","stream":true,"max_output_tokens":1}`)
	got := events(t, w.Body.String())
	if last := got[len(got)-1]; !strings.HasPrefix(last, `response.incomplete "resp_0" "incomplete" [{"id":"msg_1","type":"message","status":"incomplete"`) ||
		!strings.Contains(w.Body.String(), `"incomplete_details":{"reason":"max_output_tokens"}`) {
		t.Errorf("%s", last)
	}
	if body := ask(t, f, `{"model":"tiny","input":"Hi","max_output_tokens":1}`).Body.String(); !strings.Contains(body, `"status":"incomplete","background":false,"error":null,"incomplete_details":{"reason":"max_output_tokens"}`) {
		t.Errorf("%s", body)
	}
}

// A stream that fails has the response with what there is of it, and the error as both kinds of clients look for it.
func TestAStreamThatFailsSaysWhy(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		_ = answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So"))
		return sdk.Errorf(sdk.ReasonMemory, "no room")
	}
	got := events(t, ask(t, f, `{"model":"tiny","input":"Hi","stream":true}`).Body.String())
	answertest.EqualLines(t, got[7:], []string{
		`response.output_item.done",7,"output_index":0,"item":{"id":"msg_1","type":"message","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"So","annotations":[],"logprobs":[]}]}}`,
		`response.failed "resp_0" "failed" [{"id":"msg_1","type":"message","status":"incomplete","role":"assistant","content":[{"type":"output_text","text":"So","annotations":[],"logprobs":[]}]}] null`,
		`error",9,"code":"server_error","message":"no room","error":{"message":"no room","type":"server_error","param":null,"code":"out_of_memory"}}`,
	})
}

// Log probabilities are those of the message's ids: what was thought has none.
func TestLogprobsAreOfTheMessage(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		p := func(s string) *sdk.TokenLogprob { return &sdk.TokenLogprob{Logprob: -0.5, Bytes: []byte(s)} }
		return answertest.Script(send, answertest.Start(1),
			sdk.Event{Token: &sdk.Token{Index: 0, ID: 1, Reasoning: "Hm", Logprob: p("Hm")}},
			sdk.Event{Token: &sdk.Token{Index: 1, ID: 2, Logprob: p("To")}},
			sdk.Event{Token: &sdk.Token{Index: 2, ID: 3, Text: "Tokyo", Logprob: p("kyo")}},
			sdk.Event{Token: &sdk.Token{Index: 3, ID: 4, Logprob: p("<end>")}},
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
	}
	body := `{"model":"tiny","input":"Hi","include":["message.output_text.logprobs","reasoning.encrypted_content"],"top_logprobs":1`
	entry := func(s string) string {
		return `{"token":"` + s + `","logprob":-0.5,"bytes":[` + strings.Trim(strings.Join(strings.Fields(numbers(s)), ","), "[]") + `],"top_logprobs":[]}`
	}
	stream, whole := ask(t, f, body+`,"stream":true}`).Body.String(), ask(t, f, body+`}`).Body.String()
	if want := `"delta":"Tokyo","logprobs":[` + entry("To") + `,` + entry("kyo") + `]}`; !strings.Contains(stream, want) {
		t.Errorf("no %s in %s", want, stream)
	}
	for _, s := range []string{stream, whole} {
		if want := `"text":"Tokyo","annotations":[],"logprobs":[` + entry("To") + `,` + entry("kyo") + `,` + entry("<end>") + `]`; !strings.Contains(s, want) {
			t.Errorf("no %s in %s", want, s)
		}
	}
	if g := f.Seen[0].Sampling; !g.Logprobs || g.TopLogprobs != 1 {
		t.Errorf("%+v", g)
	}
}

func numbers(s string) string {
	list := make([]int, len(s))
	for i := range len(s) {
		list[i] = int(s[i])
	}
	text, _ := json.Marshal(list)
	return strings.ReplaceAll(string(text), ",", " ")
}
