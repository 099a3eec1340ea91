package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

const chatBody = `{"model": "tiny", "messages": [{"role": "user", "content": "What is the capital of Japan?"}]`

func TestChatAnswersWhole(t *testing.T) {
	w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", chatBody+"}")
	if ct := w.Header().Get("Content-Type"); w.Code != 200 || ct != "application/json" {
		t.Fatalf("%d %s: %s", w.Code, ct, w.Body)
	}
	answertest.EqualLines(t, []string{answertest.Variable(strings.TrimSpace(w.Body.String()), w)}, []string{
		`{"id":"ID","object":"chat.completion","created":T,"model":"tiny","system_fingerprint":"echo-0.1.0-cpu/avx2",` +
			`"choices":[{"index":0,"message":{"role":"assistant","content":"Tokyo <é>.","reasoning_content":"Hm","refusal":null},` +
			`"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,` +
			`"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`,
	})
}

// The id whose text is held back makes no chunk, and the text held back to the end comes before the finish, which comes alone.
func TestChatStreams(t *testing.T) {
	w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", chatBody+`, "stream": true, "stream_options": {"include_usage": true}}`)
	if ct := w.Header().Get("Content-Type"); w.Code != 200 || ct != "text/event-stream" {
		t.Fatalf("%d %s: %s", w.Code, ct, w.Body)
	}
	head := `{"id":"ID","object":"chat.completion.chunk","created":T,"model":"tiny","system_fingerprint":"echo-0.1.0-cpu/avx2","choices":[`
	chunk := func(delta, finish string) string {
		return head + `{"index":0,"delta":` + delta + `,"logprobs":null,"finish_reason":` + finish + `}],"usage":null}`
	}
	answertest.EqualLines(t, answertest.DataOf(t, answertest.Variable(w.Body.String(), w)), []string{
		chunk(`{"role":"assistant","content":""}`, "null"),
		chunk(`{"reasoning_content":"Hm"}`, "null"),
		chunk(`{"content":"Tokyo <é>"}`, "null"),
		chunk(`{"content":"."}`, "null"),
		chunk(`{}`, `"stop"`),
		head + `],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}}`,
		"[DONE]",
	})
}

// Each chunk tells what its choice has come to, held-back ids included; the last tells all.
func TestUsageInEveryChunk(t *testing.T) {
	const options = `, "stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true}`
	for path, body := range map[string]string{
		"/v1/chat/completions": chatBody + options + "}",
		"/v1/completions":      `{"model": "tiny", "prompt": "a"` + options + "}",
	} {
		w := answertest.Post(New(answertest.New(), Options{}), path, body)
		var got []string
		for _, d := range answertest.DataOf(t, w.Body.String()) {
			var c struct{ Usage json.RawMessage }
			if d != "[DONE]" {
				if err := json.Unmarshal([]byte(d), &c); err != nil {
					t.Fatal(err)
				}
				got = append(got, string(c.Usage))
			}
		}
		want := []string{
			`{"prompt_tokens":3,"completion_tokens":0,"total_tokens":3}`, // a chat's first chunk
			`{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}`,
			`{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}`,
			`{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}`,
			`{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}`,
			`{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":1}}`,
		}
		if path == "/v1/completions" {
			want = want[1:]
		}
		answertest.EqualLines(t, got, want)
	}
}

// With return_token_ids every id is seen at once, even while its text is held back, and the prompt's ids come first.
func TestStreamedTokenIDsAddUp(t *testing.T) {
	w := answertest.Post(New(answertest.New(), Options{}), "/v1/chat/completions", chatBody+`, "stream": true, "return_token_ids": true}`)
	var prompt, ids []int32
	for _, d := range answertest.DataOf(t, w.Body.String()) {
		var c struct {
			Prompt  []int32 `json:"prompt_token_ids"`
			Choices []struct {
				IDs []int32 `json:"token_ids"`
			}
		}
		if d == "[DONE]" {
			break
		}
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		prompt, ids = append(prompt, c.Prompt...), append(ids, c.Choices[0].IDs...)
	}
	if len(prompt) != 3 || prompt[0] != 7 || len(ids) != 3 || ids[0] != 40 || ids[2] != 42 {
		t.Errorf("prompt %v, ids %v", prompt, ids)
	}
}

func TestCompletionAnswersSeveralPromptsInTheirOrder(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(g.Tokens...), answertest.Token(0, 1, "<"+g.Text+">"),
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishLength, PromptTokens: 1, CompletionTokens: 1}})
	}
	w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "prompt": ["one", "two"], "return_token_ids": true}`)
	answertest.EqualLines(t, []string{answertest.Variable(strings.TrimSpace(w.Body.String()), w)}, []string{
		`{"id":"ID","object":"text_completion","created":T,"model":"tiny","system_fingerprint":"echo-0.1.0-cpu/avx2","choices":[` +
			`{"index":0,"text":"<one>","logprobs":null,"finish_reason":"length","token_ids":[1],"prompt_token_ids":[]},` +
			`{"index":1,"text":"<two>","logprobs":null,"finish_reason":"length","token_ids":[1],"prompt_token_ids":[]}],` +
			`"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}`,
	})
}

func TestCompletionStreamsByChoice(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1), answertest.Token(0, 5, g.Text), answertest.Token(1, 6, "!"),
			sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
	}
	w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "prompt": ["a", "b"], "stream": true}`)
	texts := map[int]string{}
	finished := map[int]string{}
	list := answertest.DataOf(t, w.Body.String())
	for _, d := range list[:len(list)-1] {
		var c completionObject
		if err := json.Unmarshal([]byte(d), &c); err != nil {
			t.Fatal(err)
		}
		one := c.Choices[0]
		texts[one.Index] += one.Text
		if one.Finish != nil {
			finished[one.Index] = string(*one.Finish)
		}
	}
	if texts[0] != "a!" || texts[1] != "b!" || finished[0] != "stop" || finished[1] != "stop" {
		t.Errorf("texts %v, finished %v", texts, finished)
	}
	if last := list[len(list)-1]; last != "[DONE]" {
		t.Errorf("last event %s", last)
	}
}

// Everything that can fail before the first token has its own status, also when a stream was asked for.
func TestFailuresBeforeTheFirstTokenHaveTheirStatus(t *testing.T) {
	overflow := sdk.Errorf(sdk.ReasonContext, "the prompt has 3000 tokens; the context holds 2048")
	field := sdk.Errorf(sdk.ReasonInvalid, "no token 99999 in a vocabulary of 1024")
	field.Field = "prompt"
	for _, c := range []struct {
		name   string
		err    error
		status int
		typ    string
		param  string
		code   string
		retry  string
	}{
		{"overflow", overflow, 400, "invalid_request_error", "messages", "context_length_exceeded", ""},
		{"template", sdk.Errorf(sdk.ReasonTemplate, "roles must alternate"), 400, "invalid_request_error", "messages", "chat_template_error", ""},
		{"plugin names a field", field, 400, "invalid_request_error", "prompt", "", ""},
		{"not built in the plugin", sdk.Errorf(sdk.ReasonUnimplemented, "this plugin has no chat template"), 400, "invalid_request_error", "", "not_supported", ""},
		{"queue full", sdk.Errorf(sdk.ReasonOverloaded, "64 requests wait"), 503, "server_error", "", "overloaded", "1"},
		{"bug in the plugin", sdk.Errorf(sdk.ReasonInternal, "index out of range"), 500, "server_error", "", "internal", ""},
		{"still loading", &schedule.Unavailable{Model: "tiny", State: schedule.StateLoading, RetryAfter: 1500 * time.Millisecond}, 503, "server_error", "", "model_loading", "2"},
		{"quarantined", &schedule.Unavailable{Model: "tiny", State: schedule.StateQuarantined, Reason: "exit status 3"}, 503, "server_error", "", "model_quarantined", ""},
		{"anything else", errors.New("surprise"), 500, "server_error", "", "internal", ""},
	} {
		for _, stream := range []string{"false", "true"} {
			t.Run(c.name+" stream="+stream, func(t *testing.T) {
				f := answertest.New()
				f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error { return c.err }
				w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatBody+`, "stream": `+stream+`}`)
				e := errorOf(t, w)
				if w.Code != c.status || e.Type != c.typ || deref(e.Param) != c.param || deref(e.Code) != c.code {
					t.Errorf("got %d %s param=%q code=%q", w.Code, e.Type, deref(e.Param), deref(e.Code))
				}
				want := c.err.Error()
				if c.name == "overflow" { // clients look for these words, and for the number
					want = "This model's maximum context length is 2048 tokens. However, " + want
				}
				if e.Message != want {
					t.Errorf("message %q, want %q", e.Message, want)
				}
				if got := w.Header().Get("Retry-After"); got != c.retry {
					t.Errorf("Retry-After %q, want %q", got, c.retry)
				}
			})
		}
	}
}

func TestStreamThatFailsLaterEndsWithAnErrorAndNotWithDone(t *testing.T) {
	f := answertest.New()
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		if err := answertest.Script(send, answertest.Start(1), answertest.Token(0, 5, "Tok")); err != nil {
			return err
		}
		return &schedule.Unavailable{Model: "tiny", State: schedule.StateQuarantined, Reason: "signal: killed"}
	}
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatBody+`, "stream": true}`)
	list := answertest.DataOf(t, w.Body.String())
	last := list[len(list)-1]
	if !strings.HasPrefix(last, `{"error":{"message":"the model \"tiny\" is quarantined: signal: killed","type":"server_error"`) {
		t.Errorf("last event %s", last)
	}
	if strings.Contains(w.Body.String(), "[DONE]") {
		t.Error("a cut answer looks complete")
	}
}

// One bad prompt of several fails the request and ends its companions.
func TestAFailingChoiceEndsTheOthers(t *testing.T) {
	f := answertest.New()
	f.Answer = func(ctx context.Context, g sdk.GenerateRequest, _ func(sdk.Event) error) error {
		if g.Text == "bad" {
			return sdk.Errorf(sdk.ReasonInvalid, "bad prompt")
		}
		<-ctx.Done()
		return ctx.Err()
	}
	w := answertest.Post(New(f, Options{}), "/v1/completions", `{"model": "tiny", "prompt": ["good", "bad"]}`)
	if e := errorOf(t, w); w.Code != 400 || e.Message != "bad prompt" {
		t.Errorf("got %d %q", w.Code, e.Message)
	}
}

func TestAClientThatLeavesCancelsItsWork(t *testing.T) {
	f := answertest.New()
	ended := make(chan error, 1)
	f.Answer = func(ctx context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		if err := answertest.Script(send, answertest.Start(1), answertest.Token(0, 5, "Tok")); err != nil {
			return err
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	s := httptest.NewServer(New(f, Options{}))
	defer s.Close()
	resp, err := http.Post(s.URL+"/v1/chat/completions", "application/json", strings.NewReader(chatBody+`, "stream": true}`))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.Contains(lines.Text(), "Tok") { // all that is sent has come; to leave earlier fails the sending
	}
	if lines.Err() != nil {
		t.Fatal(lines.Err())
	}
	resp.Body.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the work ended with %v", err)
	}
}

// A resume or a long prompt is silent; a proxy that sees nothing for a minute closes the connection.
func TestASilentStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := answertest.New()
		f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
			if err := answertest.Script(send, answertest.Start(1), answertest.Token(0, 5, "a")); err != nil {
				return err
			}
			time.Sleep(25 * time.Second)
			return answertest.Script(send, sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
		}
		w := answertest.Post(New(f, Options{KeepAlive: 10 * time.Second}), "/v1/chat/completions", chatBody+`, "stream": true}`)
		if n := strings.Count(w.Body.String(), ": waiting\n\n"); n != 2 {
			t.Errorf("%d comments in 25 s of silence, want 2:\n%s", n, w.Body)
		}
		before := w.Body.Len()
		time.Sleep(time.Minute)
		synctest.Wait()
		if w.Body.Len() != before {
			t.Error("the timer wrote after the handler had returned")
		}
	})
}

// Why a stream is silent is told at once where it is known, once for all choices, and again as long as it lasts.
func TestAPauseIsToldInTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := answertest.New()
		f.Answer = func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
			schedule.Paused(ctx) // before anything was sent: the answer has no status yet
			if err := answertest.Script(send, answertest.Start(1)); err != nil {
				return err
			}
			time.Sleep(time.Second)
			schedule.Paused(ctx) // in the middle of the prompt
			time.Sleep(25 * time.Second)
			if err := answertest.Script(send, answertest.Token(0, 5, "a")); err != nil {
				return err
			}
			time.Sleep(15 * time.Second)
			return answertest.Script(send, sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
		}
		w := answertest.Post(New(f, Options{KeepAlive: 10 * time.Second}), "/v1/chat/completions", chatBody+`, "stream": true, "n": 2}`)
		var got []string
		for _, line := range strings.Split(w.Body.String(), "\n\n") {
			if strings.HasPrefix(line, ":") {
				got = append(got, line)
			}
		}
		const paused = ": waiting: the model's process has ended, the answer goes on in the next one"
		answertest.EqualLines(t, got, []string{paused, paused, paused, ": waiting"})
		if !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") {
			t.Error(w.Body)
		}
	})
}

func TestAPanicIsAnAnswer(t *testing.T) {
	f := answertest.New()
	f.Answer = func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error { panic("index out of range") }
	h := New(f, Options{})
	for _, stream := range []string{"false", "true"} {
		w := answertest.Post(h, "/v1/chat/completions", chatBody+`, "stream": `+stream+`}`)
		if e := errorOf(t, w); w.Code != 500 || strings.Contains(e.Message, "index") {
			t.Errorf("stream=%s: %d %q", stream, w.Code, e.Message)
		}
	}
}

// What clients read of OpenAI's objects.

type completionObject struct {
	Choices []struct {
		Index  int
		Text   string
		Finish *string `json:"finish_reason"`
	}
}

type chatChunk struct {
	Choices []struct {
		Index int
		Delta struct {
			Role    string
			Content *string
		}
		Finish *string `json:"finish_reason"`
	}
}

type timings struct {
	Cached          int     `json:"cache_n"`
	Prompt          int     `json:"prompt_n"`
	PromptMS        float64 `json:"prompt_ms"`
	PromptSpeed     float64 `json:"prompt_per_second"`
	Generated       int     `json:"predicted_n"`
	GeneratedMS     float64 `json:"predicted_ms"`
	GenerationSpeed float64 `json:"predicted_per_second"`
}

// Error is OpenAI's object.
type Error struct {
	Message, Type string
	Param, Code   *string
}

func errorOf(t *testing.T, w *httptest.ResponseRecorder) Error {
	t.Helper()
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("content type %q", ct)
	}
	var b struct{ Error *Error }
	if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil || b.Error == nil {
		t.Fatalf("not an error object: %v: %s", err, w.Body)
	}
	return *b.Error
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// away is a backend whose model is being loaded: it tells so every second, and after some of them the script goes on.
func away(seconds int, script ...sdk.Event) *answertest.Fake {
	f := answertest.New()
	f.Answer = func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		for i := range seconds {
			time.Sleep(time.Second)
			schedule.Waiting(ctx, schedule.Status{ID: "tiny", State: schedule.StateLoading, Progress: sdk.Progress{Stage: "quan\ntize", Done: int64(i), Total: 20}})
		}
		if script == nil {
			return &schedule.Unavailable{Model: "tiny", State: schedule.StateLoading, Reason: "it takes long"}
		}
		return answertest.Script(send, script...)
	}
	return f
}

// Whoever waits for a model that is on its way hears of it in the words of the protocol, and then has the same answer as ever.
func TestALoadIsToldInTheStream(t *testing.T) {
	answer := []sdk.Event{answertest.Start(1), answertest.Token(0, 5, "a"), {Finish: &sdk.Finish{Reason: sdk.FinishStop}}}
	const first, ping = ": the model tiny is loading: quan tize, 0 of 0 MB\n\n", "event: ping\ndata: {\"type\":\"ping\"}\n\n"
	told := func(between string) string {
		return first + between + ": loading tiny, 25 %\n\n" + between + ": loading tiny, 50 %\n\n" + between
	}
	for _, tt := range []struct{ path, body, want, end string }{
		{"/v1/chat/completions", chatBody + `, "stream": true, "n": 2}`, told(""), "data: [DONE]\n\n"},
		{"/v1/responses", `{"model": "tiny", "input": "a", "stream": true}`, told(""), "\n\n"},
		{"/v1/messages", `{"model": "tiny", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "a"}]}`, told(ping), "{\"type\":\"message_stop\"}\n\n"},
		{"/api/chat", `{"model": "tiny", "messages": [{"role": "user", "content": "a"}]}`, "", "}\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			now := answertest.Post(New(away(0, answer...), Options{KeepAlive: time.Minute}), tt.path, tt.body).Body.String()
			w := answertest.Post(New(away(11, answer...), Options{KeepAlive: time.Minute}), tt.path, tt.body)
			rest, ok := strings.CutPrefix(w.Body.String(), tt.want)
			if !ok || w.Code != 200 || strings.Contains(rest, "loading") || len(rest) < len(now)-200 || !strings.HasSuffix(rest, tt.end) || strings.Count(rest, "\n") != strings.Count(now, "\n") {
				t.Errorf("%s: %d\n%s\nwithout a load it is\n%s", tt.path, w.Code, w.Body, now)
			}
			w = answertest.Post(New(away(11), Options{KeepAlive: time.Minute}), tt.path, tt.body)
			rest, ok = strings.CutPrefix(w.Body.String(), tt.want)
			if !ok || (w.Code == 200) != (tt.want != "") || !strings.Contains(rest, "it takes long") || strings.Contains(rest, tt.end+"x") {
				t.Errorf("%s fails with %d\n%s", tt.path, w.Code, w.Body)
			}
		})
	}
}
