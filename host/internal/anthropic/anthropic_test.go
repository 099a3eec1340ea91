package anthropic

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

var protocol = Protocol{Skipped: func(string) {}}

func ask(f *answertest.Fake, body string) *httptest.ResponseRecorder {
	return answertest.Post(answertest.Handler(f, protocol), "/v1/messages", body)
}

// events are the data of a stream whose names are their types.
func events(t *testing.T, body string) (lines []string) {
	t.Helper()
	for _, e := range strings.Split(strings.TrimSuffix(answertest.Stable(body), "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(e, "\ndata: ")
		var head struct{ Type string }
		if err := json.Unmarshal([]byte(data), &head); err != nil || !ok || name != "event: "+head.Type {
			t.Fatalf("%v: %s", err, e)
		}
		lines = append(lines, data)
	}
	return lines
}

// What Anthropic's libraries for Python and TypeScript, the AI SDK, LangChain and pydantic-ai need, in the order in which they need it.
func TestAStreamOfAThoughtAndWords(t *testing.T) {
	w := ask(answertest.New(), `{"model":"tiny","max_tokens":100,"messages":[{"role":"user","content":"Hi"}],"stream":true}`)
	if ct := w.Header().Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("content type %q", ct)
	}
	answertest.EqualLines(t, events(t, w.Body.String()), []string{
		`{"type":"message_start","message":{"id":"msg_0","type":"message","role":"assistant","model":"tiny","content":[],"stop_reason":null,"stop_sequence":null,` +
			`"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"unsigned"}}`,
		`{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Tokyo <é>"}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"."}}`,
		`{"type":"content_block_stop","index":1}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},` +
			`"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":3,"output_tokens_details":{"thinking_tokens":1}}}`,
		`{"type":"message_stop"}`,
	})
}

// calls says a word, then calls twice.
func calls(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So:"),
		sdk.Event{Token: &sdk.Token{Index: 1, ID: 2, ToolCalls: []sdk.ToolCallDelta{{Index: 0, ID: "call_a", Name: "f", Arguments: `{"x":`}}}},
		sdk.Event{Token: &sdk.Token{Index: 2, ID: 3, ToolCalls: []sdk.ToolCallDelta{{Index: 0, Arguments: `1}`}, {Index: 1, ID: "call_b", Name: "g", Arguments: `{}`}}}},
		sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishToolCalls, PromptTokens: 1, CompletionTokens: 3}})
}

const tools = `"tools":[{"name":"f","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}},{"type":"web_search_20250305","name":"web_search"},{"type":"custom","name":"g","description":"d <1>","input_schema":{}}]`

func TestCallsAreBlocks(t *testing.T) {
	f := answertest.New()
	f.Answer = calls
	got := events(t, ask(f, `{"model":"tiny","max_tokens":100,"messages":[{"role":"user","content":"Hi"}],"stream":true,`+tools+`}`).Body.String())
	answertest.EqualLines(t, got[3:], []string{
		`{"type":"content_block_stop","index":0}`,
		`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"call_a","name":"f","input":{}}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"1}"}}`,
		`{"type":"content_block_stop","index":1}`,
		`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"call_b","name":"g","input":{}}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{}"}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},` +
			`"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":3,"output_tokens_details":{"thinking_tokens":0}}}`,
		`{"type":"message_stop"}`,
	})
	answertest.EqualLines(t, []string{string(f.Seen[0].Chat.Tools)}, []string{
		`[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}},{"type":"function","function":{"name":"g","description":"d <1>","parameters":{}}}]`})
}

func TestWholeMessages(t *testing.T) {
	f := answertest.New()
	body := `{"model":"tiny","max_tokens":100,"messages":[{"role":"user","content":"Hi"}],` + tools
	got := []string{answertest.Stable(strings.TrimSpace(ask(f, body+"}").Body.String())), answertest.Stable(strings.TrimSpace(ask(f, body+`,"thinking":{"type":"adaptive","display":"omitted"}}`).Body.String()))}
	f.Answer = calls
	got = append(got, answertest.Stable(strings.TrimSpace(ask(f, body+"}").Body.String())))
	head := `{"id":"msg_0","type":"message","role":"assistant","model":"tiny","content":[`
	tail := `{"type":"text","text":"Tokyo <é>."}],"stop_reason":"end_turn","stop_sequence":null,` +
		`"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":3,"output_tokens_details":{"thinking_tokens":1}}}`
	answertest.EqualLines(t, got, []string{
		head + `{"type":"thinking","thinking":"Hm","signature":"unsigned"},` + tail,
		head + `{"type":"thinking","thinking":"","signature":"unsigned"},` + tail,
		head + `{"type":"text","text":"So:"},{"type":"tool_use","id":"call_a","name":"f","input":{"x":1}},{"type":"tool_use","id":"call_b","name":"g","input":{}}],"stop_reason":"tool_use","stop_sequence":null,` +
			`"usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":3,"output_tokens_details":{"thinking_tokens":0}}}`,
	})
}

// An answer that is cut off says so; one that fails ends with an error and without message_stop.
func TestEndings(t *testing.T) {
	f := answertest.New()
	body := `{"model":"tiny","max_tokens":1,"messages":[{"role":"user","content":"Hi"}],"stream":true}`
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So"), sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishLength}})
	}
	if got := events(t, ask(f, body).Body.String()); !strings.HasPrefix(got[4], `{"type":"message_delta","delta":{"stop_reason":"max_tokens"`) {
		t.Errorf("%v", got)
	}
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So"), sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, Stop: "END"}})
	}
	stops := strings.Replace(body, `"stream":true`, `"stop_sequences":["END"]`, 1)
	if got := ask(f, stops).Body.String(); !strings.Contains(got, `"stop_reason":"stop_sequence","stop_sequence":"END"`) {
		t.Errorf("%s", got)
	}
	if got := events(t, ask(f, strings.Replace(stops, "]}", `],"stream":true}`, 1)).Body.String()); !strings.HasPrefix(got[4], `{"type":"message_delta","delta":{"stop_reason":"stop_sequence","stop_sequence":"END"}`) {
		t.Errorf("%v", got)
	}
	if got := ask(f, strings.Replace(body, ",\"stream\":true", "", 1)).Body.String(); !strings.Contains(got, `"stop_reason":"end_turn","stop_sequence":null`) {
		t.Errorf("a stop string that nobody gave: %s", got)
	}
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		_ = answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So"))
		return sdk.Errorf(sdk.ReasonOverloaded, "no room")
	}
	answertest.EqualLines(t, events(t, ask(f, body).Body.String())[3:], []string{`{"type":"error","error":{"type":"overloaded_error","message":"no room"}}`})
}

// Failures before the first token have Anthropic's status and type.
func TestErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{sdk.Errorf(sdk.ReasonOverloaded, "full"), 529, `{"type":"overloaded_error","message":"full"}`},
		{sdk.Errorf(sdk.ReasonState, "not yet"), 503, `{"type":"api_error","message":"not yet"}`},
		{sdk.Errorf(sdk.ReasonInvalid, "no"), 400, `{"type":"invalid_request_error","message":"no"}`},
		{sdk.Errorf(sdk.ReasonContext, "the prompt has 3000 tokens"), 400, `{"type":"invalid_request_error","message":"prompt is too long: This model's maximum context length is 2048 tokens. However, the prompt has 3000 tokens"}`},
		{errors.New("a bug"), 500, `{"type":"api_error","message":"a bug"}`},
		{problem.New(http.StatusTooManyRequests, "", "queue_full", "many"), 429, `{"type":"rate_limit_error","message":"many"}`},
	} {
		f := answertest.New()
		f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error { return c.err }
		w := ask(f, `{"model":"tiny","max_tokens":1,"messages":[{"role":"user","content":"Hi"}],"stream":true}`)
		want := `{"type":"error","error":` + c.want + `,"request_id":"` + w.Header().Get("X-Request-Id") + `"}`
		if got := strings.TrimSpace(w.Body.String()); w.Code != c.status || got != want {
			t.Errorf("%v: %d %s\nwant %d %s", c.err, w.Code, got, c.status, want)
		}
	}
	if w := ask(answertest.New(), `{"model":"none","max_tokens":1,"messages":[{"role":"user","content":"Hi"}]}`); w.Code != 404 || !strings.Contains(w.Body.String(), `"type":"not_found_error"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestCountTokens(t *testing.T) {
	f := answertest.New()
	f.Rendered = func(c sdk.Chat) (string, error) {
		if len(c.Images) != 0 || len(c.Tools) == 0 {
			t.Errorf("%d pictures, tools %s", len(c.Images), c.Tools)
		}
		return "12345", nil
	}
	a := &API{Service: answertest.Service(f), Protocol: protocol}
	count := func(body string) *httptest.ResponseRecorder {
		return answertest.Post(http.HandlerFunc(a.CountTokens), "/v1/messages/count_tokens", body)
	}
	w := count(`{"model":"tiny","messages":[{"role":"user","content":"a"}],` + tools + "}")
	if w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"input_tokens":5}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = count(`{"model":"tiny","messages":[]}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `{"type":"error","error":{"type":"invalid_request_error","message":"messages is []; expected a list`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// How many tokens a picture takes is known to who looks at it: the answer that is begun for that is not gone on with.
func TestCountTokensLooksAtPictures(t *testing.T) {
	f := answertest.New()
	ended := error(nil)
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		if len(g.Chat.Images) != 1 || len(g.Chat.Tools) == 0 || g.MaxTokens != 1 {
			t.Errorf("%d pictures, tools %s, %d tokens", len(g.Chat.Images), g.Chat.Tools, g.MaxTokens)
		}
		ended = send(answertest.Start(7, 8, 9))
		return ended
	}
	a := &API{Service: answertest.Service(f), Protocol: protocol}
	body := `{"model":"tiny","max_tokens":5,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGVsbG8="}}]}],` + tools + "}"
	w := answertest.Post(http.HandlerFunc(a.CountTokens), "/v1/messages/count_tokens", body)
	if w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"input_tokens":3}` || ended == nil {
		t.Errorf("%d %s %v", w.Code, w.Body, ended)
	}
	f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
		return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "messages", Message: "picture 0: it is none"}
	}
	w = answertest.Post(http.HandlerFunc(a.CountTokens), "/v1/messages/count_tokens", body)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "picture 0: it is none") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The answer goes on from an assistant's text that is last.
func TestAnAnswerGoesOnFromTheLastText(t *testing.T) {
	r, err := read(`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"So "},{"type":"text","text":"b"}]}]}`)
	if err != nil || string(r.Chat.Messages) != `[{"role":"user","content":"a"},{"role":"assistant","content":"So b"}]` || string(r.Chat.Kwargs) != `{"continue_final_message":true}` {
		t.Errorf("%v %s %s", err, r.Chat.Messages, r.Chat.Kwargs)
	}
}

func read(text string) (*answer.Request, error) {
	members, err := body.Members([]byte(text))
	if err != nil {
		return nil, err
	}
	r, _, err := protocol.Read(members, func(string) {})
	return r, err
}

// Blocks become what templates know: thoughts, words and calls of one turn, what came of tools as turns of its own.
func TestBlocksBecomeTurns(t *testing.T) {
	for messages, want := range map[string]string{
		`[{"role":"user","content":"Hi <b>"}]`: `[{"role":"user","content":"Hi <b>"}]`,
		`[{"role":"user","content":[]}]`:       `[{"role":"user","content":""}]`,
		`[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}]}]`: `[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]`,
		`[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"s"},{"type":"thinking","thinking":"y","signature":""},{"type":"redacted_thinking","data":"z"},{"type":"text","text":"b"},` +
			`{"type":"tool_use","id":"t1","name":"f","input":{"a": 1.0}},{"type":"tool_use","id":"t2","name":"g"}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"1","is_error":true},{"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"2"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]},` +
			`{"type":"tool_result","tool_use_id":"t3"},{"type":"text","text":"c"}]}]`: `[{"role":"user","content":"a"},` +
			`{"role":"assistant","content":"b","reasoning_content":"x\n\ny","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1.0}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
			`{"role":"tool","content":"1","tool_call_id":"t1"},{"role":"tool","content":[{"type":"text","text":"2"},{"type":"image"}],"tool_call_id":"t2"},{"role":"tool","content":"","tool_call_id":"t3"},{"role":"user","content":"c"}]`,
		`[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"t"},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"e"}]}},` +
			`{"type":"search_result","title":"T","source":"S","content":[{"type":"text","text":"f"}]}]}]`: `[{"role":"user","content":[{"type":"text","text":"d"},{"type":"text","text":"e"},{"type":"text","text":"T\nS"},{"type":"text","text":"f"}]}]`,
	} {
		r, err := read(`{"model":"m","max_tokens":1,"messages":` + messages + `}`)
		if err != nil {
			t.Errorf("%s: %v", messages, err)
			continue
		}
		answertest.EqualLines(t, []string{string(r.Chat.Messages)}, []string{want})
	}
	r, err := read(`{"model":"m","system":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}},{"type":"image","source":{"type":"url","url":"u:1"}}]}]}`)
	if err != nil || !strings.HasPrefix(string(r.Chat.Messages), `[{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},`) ||
		!slices.Equal(r.Pictures, []answer.Picture{{Path: "messages[0].content[0].source", URL: "data:image/png;base64,iVBO"}, {Path: "messages[0].content[1].source", URL: "u:1"}}) {
		t.Errorf("%v %s %v", err, r.Chat.Messages, r.Pictures)
	}
}

func TestFieldsReachTheModel(t *testing.T) {
	r, err := read(`{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":64000,"temperature":1,"top_p":0.5,"top_k":20,"stop_sequences":["\n\n","END"],"thinking":{"type":"disabled"},` +
		`"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}},"tools":[{"name":"f","input_schema":{"type":"object"},"strict":true}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},` +
		`"metadata":{"user_id":"u"},"service_tier":"auto","context_management":{"edits":[]},"container":null,"chat_template_kwargs":{"x":1}}`)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Chat
	if r.MaxTokens != 64000 || *r.Sampling.Temperature != 1 || *r.Sampling.TopP != 0.5 || *r.Sampling.TopK != 20 || !slices.Equal(r.Stop, []string{"\n\n", "END"}) ||
		string(r.Constraint.JSONSchema) != `{"type":"object"}` || r.Constraint.Strict || c.ToolChoice != "required" || !c.SingleCall ||
		string(c.Tools) != `[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}}]` || string(c.Kwargs) != `{"x":1,"enable_thinking":false}` {
		t.Errorf("%+v %+v %s %s", r, r.Constraint, c.Tools, c.Kwargs)
	}
	// Agents ask every model to think: one that cannot is not asked.
	if r, err := read(`{"model":"m","messages":[{"role":"user","content":"a"}],"thinking":{"type":"enabled","budget_tokens":31999}}`); err != nil || r.Chat.Kwargs != nil {
		t.Errorf("%v %s", err, r.Chat.Kwargs)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	user := func(content string) string {
		return `{"model":"m","messages":[{"role":"user","content":` + content + `}]}`
	}
	with := func(fields string) string {
		return `{"model":"m","messages":[{"role":"user","content":"a"}],` + fields + `}`
	}
	for text, want := range map[string]string{
		`{"messages":[{"role":"user","content":"a"}]}`: "model: model is missing",
		`{"model":"m"}`:                "messages: messages is missing",
		`{"model":"m","messages":[7]}`: "messages[0]: messages[0] is 7",
		`{"model":"m","messages":[{"role":"tool","content":"a"}]}`:                                                                                                  `messages[0].role: messages[0].role is "tool"; expected user, assistant or system`,
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"{ "}]}`:                                                              "messages: messages ends with an assistant's text that ends in white space",
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":""}]}`:                                                                "messages: messages ends with an assistant's turn that is no text",
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"a"}]}]}`:                              "messages: messages ends with an assistant's turn that is no text",
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}]}`:              "messages: messages ends with calls of tools",
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"{"}],"output_config":{"format":{"type":"json_schema","schema":{}}}}`: "output_config.format: output_config.format holds a whole answer",
		`{"model":"m","messages":[{"role":"user"}]}`:                                                                                                                "messages[0].content: ",
		user(`7`):                 "messages[0].content: messages[0].content is 7",
		user(`[7]`):               "messages[0].content[0]: ",
		user(`[{"type":"text"}]`): "messages[0].content[0].text: messages[0].content[0].text is no string",
		user(`[{"type":"tool_use","id":"a","name":"f","input":{}}]`):                                                                                   `messages[0].content[0].type: messages[0].content[0].type is "tool_use", which this host does not take there`,
		user(`[{"type":"tool_result"}]`):                                                                                                               "messages[0].content[0].tool_use_id: ",
		user(`[{"type":"tool_result","tool_use_id":"a","content":7}]`):                                                                                 "messages[0].content[0].content: ",
		user(`[{"type":"tool_result","tool_use_id":"a","content":[{"type":"video"}]}]`):                                                                "messages[0].content[0].content[0].type: ",
		user(`[{"type":"image"}]`):                                                                                                                     "messages[0].content[0].source: messages[0].content[0].source is missing",
		user(`[{"type":"image","source":{"type":"file","file_id":"f"}}]`):                                                                              "messages[0].content[0].source: messages[0].content[0].source is no picture",
		user(`[{"type":"image","source":{"type":"base64","media_type":"image/png;base64,","data":"x"}}]`):                                              "messages[0].content[0].source.media_type: ",
		user(`[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"x"}}]`):                                             `messages[0].content[0].source: messages[0].content[0].source is of the type "base64"`,
		`{"model":"m","messages":[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":[]}]},{"role":"user","content":"a"}]}`: "messages[0].content[0]: messages[0].content[0] is no call",
		with(`"max_tokens":0`):                            "max_tokens: ",
		with(`"system":7`):                                "system: ",
		with(`"system":[{"type":"x"}]`):                   "system[0].type: ",
		with(`"thinking":{"type":"maybe"}`):               "thinking: ",
		with(`"stop_sequences":"a"`):                      "stop_sequences: ",
		with(`"stop_sequences":[""]`):                     "stop_sequences: ",
		with(`"tools":[{"name":"","input_schema":{}}]`):   "tools[0].name: ",
		with(`"tools":[{"name":"f","input_schema":7}]`):   "tools[0].input_schema: ",
		with(`"tool_choice":{"type":"any"}`):              "tool_choice: tool_choice asks for a call, but there are no tools",
		with(`"tool_choice":{"type":"tool"}`):             "tool_choice.name: ",
		with(`"tool_choice":"auto"`):                      "tool_choice: ",
		with(`"output_config":{"format":{"type":"xml"}}`): "output_config.format: ",
		with(`"output_format":{"type":"json_schema","schema":{}},"output_config":{"format":{"type":"json_schema","schema":{}}}`): "output_config.format: output_config.format is given beside output_format",
		with(`"container":"c"`):    "container: ",
		with(`"mcp_servers":[{}]`): "mcp_servers: ",
	} {
		_, err := read(text)
		var e *problem.Error
		if !errors.As(err, &e) || e.Status != 400 || !strings.HasPrefix(e.Field+": "+e.Message, want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Whatever is sent, the plugin gets JSON, or the client a 4xx that says why.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"x"}},{"type":"document","source":{"type":"content","content":"a"}}]}],"system":"a"}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"a"},{"type":"tool_use","id":"a","name":"f","input":{"a":[1]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[]}]}],"stream":true}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"a"}],` + tools + `,"tool_choice":{"type":"tool","name":"f"},"thinking":{"type":"disabled"},"stop_sequences":["a"]}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"search_result","content":[]}]}],"output_config":{"format":{"type":"json_schema","schema":{}}},"chat_template_kwargs":{ }}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := read(string(text))
		var e *problem.Error
		if err != nil {
			if !errors.As(err, &e) || e.Status < 400 || e.Status >= 500 || e.Message == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		c := r.Chat
		if !json.Valid(c.Messages) || len(c.Tools) > 0 && !json.Valid(c.Tools) || len(c.Kwargs) > 0 && !json.Valid(c.Kwargs) || len(c.Tools) == 0 && c.ToolChoice != "" {
			t.Fatalf("%q: %s, %s, %s, %q", text, c.Messages, c.Tools, c.Kwargs, c.ToolChoice)
		}
		if strings.Count(string(c.Messages), `{"type":"image"}`) < len(r.Pictures) {
			t.Fatalf("%q: %d pictures in %s", text, len(r.Pictures), c.Messages)
		}
	})
}
