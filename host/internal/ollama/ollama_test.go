package ollama

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

func knows(name string) bool { return name == "tiny" || name == "small" }

func chat(f *answertest.Fake, body string) *httptest.ResponseRecorder {
	return answertest.Post(answertest.Handler(f, Chat{Names: knows}), "/api/chat", body)
}

func generate(f *answertest.Fake, body string) *httptest.ResponseRecorder {
	return answertest.Post(answertest.Handler(f, Generate{Names: knows}), "/api/generate", body)
}

var durations = regexp.MustCompile(`(_duration":)\d+`)

// lines are those of an answer, without its times.
func lines(w *httptest.ResponseRecorder) []string {
	return strings.Split(strings.TrimSpace(durations.ReplaceAllString(answertest.Stable(w.Body.String()), "${1}1")), "\n")
}

const (
	head    = `{"model":"tiny","created_at":1,`
	counted = `"total_duration":1,"load_duration":1,"prompt_eval_count":3,"prompt_eval_duration":1,"eval_count":3,"eval_duration":1}`
)

func TestAChatIsLines(t *testing.T) {
	f := answertest.New()
	w := chat(f, `{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"tools":[]}`)
	if ct := w.Header().Get("Content-Type"); ct != "application/x-ndjson" {
		t.Errorf("content type %q", ct)
	}
	answertest.EqualLines(t, lines(w), []string{
		head + `"message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}`,
		head + `"message":{"role":"assistant","content":"Tokyo <é>"},"done":false}`,
		head + `"message":{"role":"assistant","content":"."},"done":false}`,
		head + `"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",` + counted,
	})
	w = chat(f, `{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"stream":false}`)
	answertest.EqualLines(t, lines(w), []string{head + `"message":{"role":"assistant","content":"Tokyo <é>.","thinking":"Hm"},"done":true,"done_reason":"stop",` + counted})
}

func TestATextIsLines(t *testing.T) {
	f := answertest.New()
	answertest.EqualLines(t, lines(generate(f, `{"model":"tiny","prompt":"Hi","system":"Be brief"}`)), []string{
		head + `"response":"","thinking":"Hm","done":false}`,
		head + `"response":"Tokyo <é>","done":false}`,
		head + `"response":".","done":false}`,
		head + `"response":"","done":true,"done_reason":"stop",` + counted,
	})
	answertest.EqualLines(t, lines(generate(f, `{"model":"tiny","prompt":"Hi","stream":false}`)), []string{
		head + `"response":"Tokyo <é>.","thinking":"Hm","done":true,"done_reason":"stop",` + counted})
	generate(f, `{"model":"tiny","prompt":"<raw>","raw":true}`)
	if got := string(f.Seen[0].Chat.Messages); got != `[{"role":"system","content":"Be brief"},{"role":"user","content":"Hi"}]` {
		t.Errorf("%s", got)
	}
	if g := f.Seen[2]; g.Chat != nil || g.Text != "<raw>" || !g.HasText || g.MaxTokens != 0 {
		t.Errorf("%+v", g)
	}
}

// A call is a line when it is whole, with its arguments as an object: clients do not add lines up.
func TestCallsAreWhole(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So:"),
			sdk.Event{Token: &sdk.Token{Index: 1, ID: 2, ToolCalls: []sdk.ToolCallDelta{{Index: 0, ID: "call_a", Name: "f", Arguments: `{"x":`}}}},
			sdk.Event{Token: &sdk.Token{Index: 2, ID: 3, ToolCalls: []sdk.ToolCallDelta{{Index: 0, Arguments: `1}`}, {Index: 1, ID: "call_b", Name: "g", Arguments: `{}`}}}},
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishToolCalls, PromptTokens: 3, CompletionTokens: 3}})
	}
	body := `{"model":"tiny","messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"function":{"name":"g","strict":null}}]`
	a, b := `{"id":"call_a","function":{"index":0,"name":"f","arguments":{"x":1}}}`, `{"id":"call_b","function":{"index":1,"name":"g","arguments":{}}}`
	answertest.EqualLines(t, lines(chat(f, body+"}")), []string{
		head + `"message":{"role":"assistant","content":"So:"},"done":false}`,
		head + `"message":{"role":"assistant","content":"","tool_calls":[` + a + `]},"done":false}`,
		head + `"message":{"role":"assistant","content":"","tool_calls":[` + b + `]},"done":false}`,
		head + `"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",` + counted,
	})
	answertest.EqualLines(t, lines(chat(f, body+`,"stream":false}`)), []string{
		head + `"message":{"role":"assistant","content":"So:","tool_calls":[` + a + "," + b + `]},"done":true,"done_reason":"stop",` + counted})
	answertest.EqualLines(t, []string{string(f.Seen[0].Chat.Tools)}, []string{
		`[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"},"strict":true}},{"type":"function","function":{"name":"g"}}]`})
}

// Without anything to say the model is only to be there; one that is not is told of.
func TestAnEmptyRequestLoads(t *testing.T) {
	f := answertest.New()
	answertest.EqualLines(t, append(lines(chat(f, `{"model":"tiny:latest"}`)), lines(generate(f, `{"model":"tiny"}`))...), []string{
		`{"model":"tiny:latest","created_at":1,"message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}`,
		head + `"response":"","done":true,"done_reason":"load"}`,
	})
	if w := chat(f, `{"model":"llama3"}`); w.Code != 404 || !strings.Contains(w.Body.String(), `{"error":"the model \"llama3\" does not exist; this host serves tiny"}`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(f.Seen) > 0 {
		t.Error("the model was asked")
	}
	generate(f, `{"model":"small:latest","keep_alive":0}`) // one that was there from the start is nobody's to unload
	f.Status[0].OnDemand = true
	for body, want := range map[string]string{`"keep_alive":0`: "unload", `"keep_alive":"0s"`: "unload", `"keep_alive":"5m"`: "load", `"keep_alive":-1`: "load"} {
		if got := lines(generate(f, `{"model":"tiny",`+body+"}")); len(got) != 1 || !strings.HasSuffix(got[0], `"done_reason":"`+want+`"}`) {
			t.Errorf("%s: %s", body, got)
		}
		if got := f.Told[len(f.Told)-1]; got != want+" tiny" {
			t.Errorf("%s: %s", body, got)
		}
	}
	answertest.EqualLines(t, f.Told[:3], []string{"load tiny", "load tiny", "load tiny"})
	f.Loads = &schedule.Unavailable{Model: "tiny", State: schedule.StateQuarantined, Reason: "no file"}
	if w := chat(f, `{"model":"tiny"}`); w.Code != 503 || !strings.Contains(w.Body.String(), `{"error":`) {
		t.Errorf("one that cannot be loaded: %d %s", w.Code, w.Body)
	}
	chat(f, `{"model":"small:latest","messages":[{"role":"user","content":"Hi"}]}`)
	if len(f.Seen) != 1 {
		t.Error("a name with the tag latest was not found")
	}
}

func TestFailures(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		if g.MaxTokens == 1 {
			return sdk.Errorf(sdk.ReasonContext, "the prompt has 3000 tokens")
		}
		_ = answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "So"))
		return sdk.Errorf(sdk.ReasonMemory, "no room")
	}
	body := `{"model":"tiny","messages":[{"role":"user","content":"Hi"}]`
	answertest.EqualLines(t, lines(chat(f, body+"}")), []string{head + `"message":{"role":"assistant","content":"So"},"done":false}`, `{"error":"no room"}`})
	w := chat(f, body+`,"options":{"num_predict":1}}`)
	if w.Code != 400 || strings.TrimSpace(w.Body.String()) != `{"error":"This model's maximum context length is 2048 tokens. However, the prompt has 3000 tokens"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func read(p answer.Protocol, text string) (*answer.Request, error) {
	members, err := body.Members([]byte(text))
	if err != nil {
		return nil, err
	}
	r, _, err := p.Read(members, func(string) {})
	return r, err
}

// Results of calls have no ids: they belong to the calls in their order.
func TestMessagesBecomeTurns(t *testing.T) {
	r, err := read(Chat{Names: knows}, `{"model":"tiny","messages":[{"role":"system","content":"s"},{"role":"user","content":"<b>","images":["iVBO","/9j/"]},`+
		`{"role":"assistant","thinking":"x","tool_calls":[{"function":{"name":"f","arguments":{"a": 1.0}}},{"id":"c","function":{"name":"g","arguments":"{}"}},{"function":{"name":"g"}}]},`+
		`{"role":"tool","content":"2","tool_call_id":"c"},{"role":"tool","content":"1","tool_name":"f"},{"role":"tool","content":"3"},{"role":"tool","content":"4"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	answertest.EqualLines(t, []string{string(r.Chat.Messages)}, []string{`[{"role":"system","content":"s"},{"role":"user","content":[{"type":"image"},{"type":"image"},{"type":"text","text":"<b>"}]},` +
		`{"role":"assistant","content":"","reasoning_content":"x","tool_calls":[{"id":"call_2_0","type":"function","function":{"name":"f","arguments":"{\"a\":1.0}"}},` +
		`{"id":"c","type":"function","function":{"name":"g","arguments":"{}"}},{"id":"call_2_2","type":"function","function":{"name":"g","arguments":"{}"}}]},` +
		`{"role":"tool","content":"2","tool_call_id":"c"},{"role":"tool","content":"1","tool_call_id":"call_2_0","name":"f"},{"role":"tool","content":"3","tool_call_id":"call_2_2"},{"role":"tool","content":"4"}]`})
	if want := []answer.Picture{{Path: "messages[1].images[0]", URL: "data:;base64,iVBO"}, {Path: "messages[1].images[1]", URL: "data:;base64,/9j/"}}; !slices.Equal(r.Pictures, want) {
		t.Errorf("%v", r.Pictures)
	}
}

func TestFieldsReachTheModel(t *testing.T) {
	r, err := read(Chat{Names: knows}, `{"model":"tiny","messages":[{"role":"user","content":"a"}],"format":{"type":"object"},"think":false,"logprobs":true,"top_logprobs":3,"keep_alive":"5m",`+
		`"options":{"temperature":0,"top_k":40,"top_p":0.9,"min_p":0.1,"seed":7,"num_predict":64000,"repeat_penalty":1.1,"presence_penalty":1,"frequency_penalty":-1,"stop":["\n"],"num_ctx":4096,"mirostat":0,"x":1}}`)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Sampling
	if *s.Temperature != 0 || *s.TopK != 40 || *s.TopP != 0.9 || *s.MinP != 0.1 || s.Seed != 7 || !r.Seeded || r.MaxTokens != 64000 || *s.RepetitionPenalty != 1.1 || *s.PresencePenalty != 1 || *s.FrequencyPenalty != -1 ||
		!slices.Equal(r.Stop, []string{"\n"}) || !s.Logprobs || s.TopLogprobs != 3 || string(r.Constraint.JSONSchema) != `{"type":"object"}` || !r.Stream || string(r.Chat.Kwargs) != `{"enable_thinking":false}` {
		t.Errorf("%+v %+v %s", r, r.Constraint, r.Chat.Kwargs)
	}
	for text, want := range map[string]time.Duration{`"5m"`: 5 * time.Minute, `0`: 0, `-1`: -time.Second, `"-1"`: -time.Second, `90`: 90 * time.Second, `"1.5h"`: 90 * time.Minute} {
		r, err := read(Chat{Names: knows}, `{"model":"tiny","messages":[{"role":"user","content":"a"}],"keep_alive":`+text+`}`)
		if err != nil || r.Keep == nil || *r.Keep != want {
			t.Errorf("keep_alive %s: %v, %v", text, r, err)
		}
	}
	r, err = read(Generate{Names: knows}, `{"model":"tiny","prompt":"a","format":"json","think":"high","options":{"num_predict":-1},"images":["iVBO"],"context":[],"suffix":"","stream":null}`)
	if err != nil || !r.Constraint.JSONObject || r.MaxTokens != 0 || string(r.Chat.Kwargs) != `{"enable_thinking":true,"reasoning_effort":"high"}` || len(r.Pictures) != 1 {
		t.Errorf("%v %+v", err, r)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	c, g := answer.Protocol(Chat{Names: knows}), answer.Protocol(Generate{Names: knows})
	with := func(fields string) string {
		return `{"model":"m","messages":[{"role":"user","content":"a"}],` + fields + `}`
	}
	for _, test := range []struct {
		p          answer.Protocol
		text, want string
	}{
		{c, `{"messages":[]}`, "model: model is missing"},
		{c, `{"model":"m","messages":7}`, "messages: "},
		{c, `{"model":"m","messages":[7]}`, "messages[0]: "},
		{c, `{"model":"m","messages":[{"role":"user","content":[]}]}`, "messages[0]: "},
		{c, `{"model":"m","messages":[{"role":"boss"}]}`, `messages[0].role: messages[0].role is "boss"`},
		{c, `{"model":"m","messages":[{"role":"user","images":[7]}]}`, "messages[0].images[0]: "},
		{c, `{"model":"m","messages":[{"role":"user","images":"x"}]}`, "messages[0].images: "},
		{c, `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":7}}]}]}`, "messages[0].tool_calls[0].function: "},
		{c, with(`"tools":[{"type":"web"}]`), "tools[0].type: "},
		{c, with(`"tools":[{"type":"function","function":{}}]`), "tools[0].function.name: "},
		{c, with(`"format":"xml"`), "format: "},
		{c, with(`"think":"most"`), "think: "},
		{c, with(`"think":7`), "think: "},
		{c, with(`"options":7`), "options: "},
		{c, with(`"options":{"temperature":3}`), "options.temperature: options.temperature is 3; expected a number from 0 to 2"},
		{c, with(`"options":{"mirostat":2}`), "options.mirostat: "},
		{c, with(`"options":{"num_predict":"x"}`), "options.num_predict: "},
		{g, `{"model":"m","prompt":"a","suffix":"b"}`, "suffix: "},
		{g, `{"model":"m","prompt":"a","context":[1]}`, "context: "},
		{g, `{"model":"m","prompt":"a","raw":true,"images":["x"]}`, "images: "},
		{g, `{"model":"m","prompt":"a","raw":true,"system":"x"}`, "system: "},
	} {
		_, err := read(test.p, test.text)
		var e *problem.Error
		if !errors.As(err, &e) || e.Status != 400 || !strings.HasPrefix(e.Field+": "+e.Message, test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
}

func TestModels(t *testing.T) {
	f := answertest.New()
	f.Status[0].Table.Parameters, f.Status[0].Table.Modules = 596_049_920, []sdk.Module{{WeightBytes: 5}, {WeightBytes: 7}}
	f.Status[0].Description.Capabilities = []sdk.Capability{sdk.CapabilityEmbed}
	f.Status[0].Report.Devices = []sdk.DeviceReport{{Name: "cpu", Used: 20}, {Name: "far", Used: 22}}
	f.Status = append(f.Status, schedule.Status{ID: "later", State: schedule.StateLoading, Since: time.Unix(1700000000, 0)})
	f.Rendered = func(c sdk.Chat) (string, error) {
		if len(c.Images) > 0 {
			return "", sdk.Errorf(sdk.ReasonInvalid, "this model reads text alone")
		}
		return string(c.Tools), nil
	}
	a := &API{Service: answertest.Service(f)}
	get := func(h http.HandlerFunc) string {
		w := httptest.NewRecorder()
		h(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return regexp.MustCompile(`"digest":"[0-9a-f]{64}"`).ReplaceAllString(strings.TrimSpace(w.Body.String()), `"digest":"D"`)
	}
	tiny := `"details":{"parent_model":"","format":"","family":"echo","families":["echo"],"parameter_size":"596.0M","quantization_level":""}`
	answertest.EqualLines(t, []string{get(a.Tags), get(a.Running), get(a.Version)}, []string{
		`{"models":[{"name":"tiny","model":"tiny","modified_at":"2023-11-14T22:13:20Z","size":12,"digest":"D",` + tiny + `},` +
			`{"name":"later","model":"later","modified_at":"2023-11-14T22:13:20Z","size":0,"digest":"D","details":{"parent_model":"","format":"","family":"","families":[""],"parameter_size":"0","quantization_level":""}}]}`,
		`{"models":[{"name":"tiny","model":"tiny","size":42,"digest":"D",` + tiny + `,"expires_at":"9999-01-01T00:00:00Z","size_vram":22,"context_length":2048}]}`,
		`{"version":"` + version + `"}`,
	})
	for name, want := range map[string]string{
		"tiny:latest": `{"capabilities":["completion","embedding","tools","thinking"],` + tiny + `,"model_info":{"echo.context_length":2048,"general.architecture":"echo","general.parameter_count":596049920},` +
			`"modelfile":"","modified_at":"2023-11-14T22:13:20Z","parameters":"","template":""}`,
		"llama3": `{"error":"the model \"llama3\" does not exist; this host serves tiny, later"}`,
	} {
		answertest.EqualLines(t, []string{strings.TrimSpace(answertest.Post(http.HandlerFunc(a.Show), "/api/show", `{"model":"`+name+`"}`).Body.String())}, []string{want})
	}
	if w := answertest.Post(http.HandlerFunc(a.Unbuilt), "/api/pull", `{"model":"llama3"}`); w.Code != 400 || !strings.Contains(w.Body.String(), "this host does not do /api/pull: its models stand in models.toml") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestVectors(t *testing.T) {
	a := &API{Service: answertest.Service(answertest.New())}
	for _, c := range []struct {
		h          http.HandlerFunc
		body, want string
	}{
		{a.Vectors, `{"model":"tiny:latest","input":["c","ff"],"truncate":true,"dimensions":0}`, `{"embeddings":[[1,33],[2,34]],"load_duration":1,"model":"tiny:latest","prompt_eval_count":3,"total_duration":1}`},
		{a.Vectors, `{"model":"tiny","input":"c"}`, `{"embeddings":[[1,33]],"load_duration":1,"model":"tiny","prompt_eval_count":1,"total_duration":1}`},
		{a.Vectors, `{"model":"tiny","input":[]}`, `{"embeddings":[],"load_duration":1,"model":"tiny","prompt_eval_count":0,"total_duration":1}`},
		{a.Vector, `{"model":"tiny","prompt":"c"}`, `{"embedding":[1,33]}`},
		{a.Vectors, `{"model":"tiny"}`, `{"error":"input is missing; expected a text"}`},
		{a.Vectors, `{"model":"tiny","input":["a",""]}`, `{"error":"input has an empty text at place 1; there is nothing to embed"}`},
		{a.Vectors, `{"model":"tiny","input":"a","dimensions":3}`, `{"error":"dimensions is 3; expected 0: this host does not support other values yet"}`},
		{a.Vectors, `{"model":"none","input":"a"}`, `{"error":"the model \"none\" does not exist; this host serves tiny"}`},
	} {
		answertest.EqualLines(t, lines(answertest.Post(c.h, "/api/embed", c.body)), []string{c.want})
	}
}

// Whatever is sent, the plugin gets JSON, or the client a 4xx that says why.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"a","images":["x"]},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":{"a":[1]}}}]},{"role":"tool","content":"1"}],"tools":[]}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"options":{"stop":["a"],"num_predict":-2,"x":{}},"think":"low"}`))
	f.Add([]byte(`{"model":"m","prompt":"a","raw":true,"format":{"type":"object"},"options":{"temperature":0,"temperature":1}}`))
	f.Add([]byte(`{"model":"m","prompt":"a","system":"b","images":["x"],"input":["a",7],"think":false}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		blame := func(err error) {
			var e *problem.Error
			if !errors.As(err, &e) || e.Status < 400 || e.Status >= 500 || e.Message == "" {
				t.Fatalf("%q: %v", text, err)
			}
		}
		for _, p := range []answer.Protocol{Chat{Names: knows}, Generate{Names: knows}} {
			r, err := read(p, string(text))
			if err != nil {
				blame(err)
				continue
			}
			c := r.Chat
			if r.Instead != nil || c == nil && len(r.Prompts) == 1 {
				continue
			}
			if !json.Valid(c.Messages) || len(c.Tools) > 0 && !json.Valid(c.Tools) || len(c.Kwargs) > 0 && !json.Valid(c.Kwargs) {
				t.Fatalf("%q: %s, %s, %s", text, c.Messages, c.Tools, c.Kwargs)
			}
			if strings.Count(string(c.Messages), `{"type":"image"}`) < len(r.Pictures) {
				t.Fatalf("%q: %d pictures in %s", text, len(r.Pictures), c.Messages)
			}
		}
		members, err := body.Members(text)
		if err != nil {
			return
		}
		for _, table := range []fields{embedFields, embeddingFields, showFields} {
			if _, err := parse(members, func(string) {}, table); err != nil {
				blame(err)
			}
		}
	})
}

// A pull is lines that tell how far it is. What goes wrong before the first has its status, and later is the last line.
func TestPullTellsHowFarItIs(t *testing.T) {
	a := &API{Service: answertest.Service(answertest.New())}
	broken := problem.New(http.StatusBadRequest, "model", "pull_failed", "the disk is full")
	for _, c := range []struct {
		body   string
		lines  []Pulling
		err    error
		status int
		want   string
	}{
		{`{"model":"Org/M"}`, []Pulling{{Status: "pulling manifest"}, {Status: "pulling a", Digest: "sha256:a", Total: 9, Completed: 3}}, nil, 200,
			`{"status":"pulling manifest"}` + "\n" + `{"status":"pulling a","digest":"sha256:a","total":9,"completed":3}` + "\n" + `{"status":"success"}`},
		{`{"name":"Org/M","stream":false}`, []Pulling{{Status: "pulling manifest"}}, nil, 200, `{"status":"success"}`},
		{`{"model":"Org/M"}`, []Pulling{{Status: "pulling manifest"}}, broken, 200, `{"status":"pulling manifest"}` + "\n" + `{"error":"the disk is full"}`},
		{`{"model":"Org/M"}`, nil, broken, 400, `{"error":"the disk is full"}`},
		{`{"model":"Org/M","stream":false}`, []Pulling{{Status: "pulling manifest"}}, broken, 400, `{"error":"the disk is full"}`},
		{`{"model":7}`, nil, nil, 400, `{"error":"model is 7; expected a string"}`},
	} {
		pull := a.Pull(func(_ context.Context, model string, say func(Pulling)) error {
			if model != "Org/M" {
				t.Errorf("asked for %q", model)
			}
			for _, l := range c.lines {
				say(l)
			}
			return c.err
		})
		if w := answertest.Post(pull, "/api/pull", c.body); w.Code != c.status || strings.TrimSpace(w.Body.String()) != c.want {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
	}
}

// What is deleted is a model of the host by any of its names; who may is the operator's to say.
func TestAModelIsDeleted(t *testing.T) {
	a := &API{Service: answertest.Service(answertest.New())}
	broken := problem.New(http.StatusBadRequest, "model", "remove_failed", "it is the only model")
	for _, c := range []struct {
		body   string
		err    error
		status int
		want   string
	}{
		{`{"model":"tiny"}`, nil, 200, `{"status":"success"}`},
		{`{"name":"small:latest"}`, nil, 200, `{"status":"success"}`},
		{`{"model":"tiny"}`, broken, 400, `{"error":"it is the only model"}`},
		{`{"model":"llama3"}`, nil, 404, `{"error":"the model \"llama3\" does not exist; this host serves tiny"}`},
		{`{}`, nil, 400, `{"error":"model is missing; expected the id of a model, as /v1/models lists them"}`},
		{`{"model":["tiny"]}`, nil, 400, `{"error":"model is [\"tiny\"]; expected a string"}`},
	} {
		removed := ""
		del := a.Delete(func(_ context.Context, model string) error { removed = model; return c.err })
		w := answertest.Post(del, "/api/delete", c.body)
		if w.Code != c.status || strings.TrimSpace(w.Body.String()) != c.want {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
		if asked := c.status == 200 || c.err != nil; asked != (removed == "tiny") {
			t.Errorf("%s: removed %q", c.body, removed)
		}
	}
}
