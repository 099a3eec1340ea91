package responses

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

func read(text string) (*answer.Request, error) {
	members, err := body.Members([]byte(text))
	if err != nil {
		return nil, err
	}
	r, _, err := Protocol{Skipped: func(string) {}}.Read(members, func(string) {})
	return r, err
}

// Thoughts, words and calls of one answer are one turn again; pictures leave their place.
func TestItemsBecomeTurns(t *testing.T) {
	for input, want := range map[string]string{
		`"Hi <b>"`: `[{"role":"user","content":"Hi <b>"}]`,
		`[{"role":"user","content":"a"},{"type":"message","role":"developer","content":[{"type":"input_text","text":"b"},{"type":"input_text","text":"c"}]},{"role":"assistant","content":[{"type":"refusal","refusal":"No"}]}]`: `[{"role":"user","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},{"role":"assistant","content":"No"}]`,
		`[{"role":"user","content":"a"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"x"},{"type":"summary_text","text":"y"}],"encrypted_content":null},` +
			`{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"b","annotations":[]}]},` +
			`{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"},{"type":"function_call","id":"fc_2","status":"completed","call_id":"c2","name":"g","arguments":"{}"},` +
			`{"type":"function_call_output","call_id":"c1","output":"1"},{"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"},{"type":"input_image","image_url":"data:x"}]},` +
			`{"type":"function_call","call_id":"c3","name":"f","arguments":"{}"}]`: `[{"role":"user","content":"a"},` +
			`{"role":"assistant","content":"b","reasoning_content":"x\n\ny","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
			`{"role":"tool","content":"1","tool_call_id":"c1"},{"role":"tool","content":[{"type":"text","text":"2"},{"type":"image"}],"tool_call_id":"c2"},` +
			`{"role":"assistant","content":"","tool_calls":[{"id":"c3","type":"function","function":{"name":"f","arguments":"{}"}}]}]`,
		`[{"type":"reasoning","content":[{"type":"reasoning_text","text":"t"}],"summary":[]},{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}]`: `[{"role":"assistant","content":"a","reasoning_content":"t"},{"role":"assistant","content":"b"}]`,
		`[{"role":"user","content":[{"type":"input_image","image_url":"u:1","detail":"low"},{"type":"input_text","text":"?"}]}]`:                                     `[{"role":"user","content":[{"type":"image"},{"type":"text","text":"?"}]}]`,
	} {
		r, err := read(`{"model":"m","input":` + input + `}`)
		if err != nil {
			t.Errorf("%s: %v", input, err)
			continue
		}
		answertest.EqualLines(t, []string{string(r.Chat.Messages)}, []string{want})
	}
	r, err := read(`{"model":"m","instructions":"Be brief","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"u:1"}]}]}`)
	if err != nil || !strings.HasPrefix(string(r.Chat.Messages), `[{"role":"system","content":"Be brief"},`) ||
		!slices.Equal(r.Pictures, []answer.Picture{{Path: "input[0].content[1].image_url", URL: "u:1"}}) {
		t.Errorf("%v %s %v", err, r.Chat.Messages, r.Pictures)
	}
}

func TestFieldsReachTheModel(t *testing.T) {
	r, err := read(`{"model":"m","input":"a","max_output_tokens":64000,"temperature":0,"top_p":0.5,"seed":7,"top_k":20,"reasoning":{"effort":"none","summary":"auto"},` +
		`"text":{"format":{"type":"json_schema","name":"x","schema":{"type":"object"},"strict":true}},"tools":[{"type":"function","name":"f"},{"type":"function","name":"g"}],` +
		`"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]},"parallel_tool_calls":false,"chat_template_kwargs":{"x":1},` +
		`"store":true,"truncation":"auto","include":["reasoning.encrypted_content"],"prompt_cache_key":"k","user":"me","background":false,"top_logprobs":2}`)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Chat
	if r.MaxTokens != 64000 || *r.Sampling.Temperature != 0 || *r.Sampling.TopP != 0.5 || r.Sampling.Seed != 7 || *r.Sampling.TopK != 20 || r.Sampling.Logprobs || r.Sampling.TopLogprobs != 0 ||
		string(r.Constraint.JSONSchema) != `{"type":"object"}` || !r.Constraint.Strict || c.ToolChoice != "required" || !c.SingleCall ||
		string(c.Tools) != `[{"type":"function","function":{"name":"g"}}]` || string(c.Kwargs) != `{"x":1,"enable_thinking":false,"reasoning_effort":"none"}` {
		t.Errorf("%+v %+v %s %s", r, r.Constraint, c.Tools, c.Kwargs)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"input":"a"}`:                           "model: model is missing",
		`{"model":"m"}`:                           "input: input is missing",
		`{"model":"m","input":[]}`:                "input: input is []; expected a text, or a list",
		`{"model":"m","input":[7]}`:               "input[0]: input[0] is 7",
		`{"model":"m","input":[{"role":"tool"}]}`: `input[0].role: input[0].role is "tool"; expected user, assistant, system, developer`,
		`{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}`:                                          "input[0]: input[0] refers to an item, but this host keeps none",
		`{"model":"m","input":[{"type":"web_search_call","id":"x"}]}`:                                             `input[0].type: input[0].type is "web_search_call"; expected message`,
		`{"model":"m","input":[{"type":"function_call","name":"f"}]}`:                                             "input[0]: input[0] is no call",
		`{"model":"m","input":[{"type":"function_call_output","output":"a"}]}`:                                    "input[0].call_id: input[0].call_id is missing",
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_file"}]}]}`:                               "input[0].content[0]: input[0].content[0] is a file",
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]}`:                "input[0].content[0].image_url: input[0].content[0].image_url is missing",
		`{"model":"m","input":[{"role":"user","content":[{"type":"input_text"}]}]}`:                               "input[0].content[0].text: input[0].content[0].text is no string",
		`{"model":"m","input":[{"role":"user","content":7}]}`:                                                     "input[0].content: input[0].content is 7",
		`{"model":"m","input":"a","previous_response_id":"resp_1"}`:                                               `previous_response_id: previous_response_id is "resp_1"; expected nothing: this host keeps no responses`,
		`{"model":"m","input":"a","conversation":{"id":"c"}}`:                                                     "conversation: ",
		`{"model":"m","input":"a","background":true}`:                                                             "background: ",
		`{"model":"m","input":"a","tools":[{"type":"function"}]}`:                                                 "tools[0].name: tools[0].name has 0 bytes",
		`{"model":"m","input":"a","tools":[{"type":"function","name":"f","parameters":7}]}`:                       "tools[0].parameters: ",
		`{"model":"m","input":"a","tools":[{"type":"custom"}]}`:                                                   "tools[0].name: tools[0].name has 0 bytes",
		`{"model":"m","input":"a","tools":[{"type":"custom","name":"f","format":{"type":"grammar"}}]}`:            "tools[0].format: ",
		`{"model":"m","input":"a","tools":[{"type":"namespace","name":"n","tools":[{"type":"function"}]}]}`:       "tools[0].tools[0]",
		`{"model":"m","input":"a","tools":[{"type":"namespace","name":"n"}]}`:                                     "tools[0].tools",
		`{"model":"m","input":"a","tools":[7]}`:                                                                   "tools[0]: ",
		`{"model":"m","input":"a","tool_choice":{"type":"web_search_preview"}}`:                                   "tool_choice: ",
		`{"model":"m","input":"a","tools":[{"type":"web_search"}],"tool_choice":"required"}`:                      "tool_choice: tool_choice asks for a call, but there are no tools",
		`{"model":"m","input":"a","text":{"format":{"type":"json_schema","name":"x"}}}`:                           "text.format.schema: ",
		`{"model":"m","input":"a","text":{"format":{"type":"xml"}}}`:                                              "text.format: ",
		`{"model":"m","input":"a","reasoning":{"effort":"most"}}`:                                                 "reasoning.effort: ",
		`{"model":"m","input":"a","reasoning":{"effort":"low"},"chat_template_kwargs":{"enable_thinking":false}}`: "reasoning.effort: ",
		`{"model":"m","input":"a","include":7}`:                                                                   "include: ",
		`{"model":"m","input":"a","max_output_tokens":0}`:                                                         "max_output_tokens: ",
		`{"model":"m","input":"a","metadata":[]}`:                                                                 "metadata: ",
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
	f.Add([]byte(`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"u"}]},{"type":"reasoning","summary":[]}],"instructions":"a"}`))
	f.Add([]byte(`{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{"},{"type":"function_call_output","call_id":"c","output":null}],"stream":true}`))
	f.Add([]byte(`{"model":"m","input":"a","tools":[{"type":"function","name":"f","parameters":{},"strict":null},{"type":"x"}],"tool_choice":{"type":"function","name":"f"},"reasoning":{"effort":"low"}}`))
	f.Add([]byte(`{"model":"m","input":[{"type":"custom_tool_call","call_id":"c","name":"f","input":"{"}],"tools":[{"type":"custom","name":"f","format":{"type":"grammar","syntax":"regex","definition":"a+"}},{"type":"namespace","name":"n","tools":[]}]}`))
	f.Add([]byte(`{"model":"m","input":"a","text":{"format":{"type":"json_object"}},"include":[],"metadata":{},"chat_template_kwargs":{ }}`))
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
