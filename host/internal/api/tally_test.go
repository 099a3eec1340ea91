package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

// lines are what a JSON log has under the message "request".
func lines(t *testing.T, log string) (list []map[string]any) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(log), "\n") {
		var l map[string]any
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %q", err, log)
		}
		if l["msg"] == "request" {
			delete(l, "time")
			delete(l, "msg")
			list = append(list, l)
		}
	}
	return list
}

// slow takes two seconds to its first token, and half a second to each further one.
func slow(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	list := []sdk.Event{answertest.Start(7, 8, 9, 10, 11), answertest.Token(0, 1, "secret"), answertest.Token(1, 2, " answer"), answertest.Token(2, 3, "!"),
		{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 5, CompletionTokens: 3, CachedTokens: 4}}}
	for i, e := range list {
		if e.Token != nil {
			time.Sleep(map[bool]time.Duration{true: 2 * time.Second, false: time.Second / 2}[i == 1])
		}
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

func TestEveryRequestHasALine(t *testing.T) {
	const question = `"messages":[{"role":"user","content":"secret question"}]`
	for name, c := range map[string]struct {
		path, body string
		answer     func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error
		want       map[string]any
	}{
		"an answer": {"/v1/chat/completions", `{"model":"small",` + question + `}`, slow, map[string]any{
			"model": "tiny", "status": 200.0, "reason": "stop", "tokens_in": 5.0, "cached": 4.0, "tokens_out": 3.0, "first_token": 2e9, "tokens_per_second": 2.0, "took": 3e9}},
		"a stream": {"/v1/chat/completions", `{"model":"tiny","stream":true,` + question + `}`, slow, map[string]any{
			"model": "tiny", "status": 200.0, "reason": "stop", "tokens_in": 5.0, "cached": 4.0, "tokens_out": 3.0, "first_token": 2e9, "tokens_per_second": 2.0, "took": 3e9}},
		"a stream that is cut": {"/v1/completions", `{"model":"tiny","stream":true,"prompt":"secret"}`,
			func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
				_ = answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "secret"))
				return sdk.Errorf(sdk.ReasonMemory, "secret")
			}, map[string]any{"model": "tiny", "status": 200.0, "reason": "out_of_memory", "tokens_in": 0.0, "cached": 0.0, "tokens_out": 1.0, "first_token": 0.0, "took": 0.0}},
		"a field that is wrong": {"/v1/chat/completions", `{"model":"tiny","messages":[{"role":"user","content":{"secret":1}}]}`, slow, map[string]any{
			"model": "", "status": 400.0, "reason": "invalid messages", "tokens_in": 0.0, "cached": 0.0, "tokens_out": 0.0, "first_token": 0.0, "took": 0.0}},
		"no JSON": {"/v1/completions", `secret`, slow, map[string]any{
			"model": "", "status": 400.0, "reason": "bad request", "tokens_in": 0.0, "cached": 0.0, "tokens_out": 0.0, "first_token": 0.0, "took": 0.0}},
		"no such model": {"/v1/completions", `{"model":"big","prompt":"secret"}`, slow, map[string]any{
			"model": "big", "status": 404.0, "reason": "model_not_found", "tokens_in": 0.0, "cached": 0.0, "tokens_out": 0.0, "first_token": 0.0, "took": 0.0}},
		"a panic": {"/v1/completions", `{"model":"tiny","prompt":"secret"}`,
			func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error { panic("a bug") }, map[string]any{
				"model": "tiny", "status": 500.0, "reason": "internal", "tokens_in": 0.0, "cached": 0.0, "tokens_out": 0.0, "first_token": 0.0, "took": 0.0}},
		"tokens": {"/tokenize", `{"model":"small","prompt":"secret"}`, nil, map[string]any{
			"model": "tiny", "status": 200.0, "reason": "", "tokens_in": 6.0, "cached": 0.0, "tokens_out": 0.0, "first_token": 0.0, "took": 0.0}},
		"their text": {"/detokenize", `{"tokens":[1,2]}`, nil, map[string]any{
			"model": "tiny", "status": 200.0, "reason": "", "tokens_in": 2.0, "cached": 0.0, "tokens_out": 0.0, "first_token": 0.0, "took": 0.0}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			f := answertest.New()
			f.Answer = c.answer
			w := answertest.Post(New(f, Options{RequestLog: true, Log: slog.New(slog.NewJSONHandler(&log, nil))}), c.path, c.body)
			got := lines(t, log.String())
			if len(got) != 1 {
				t.Fatalf("%s: %d lines\n%s", name, len(got), &log)
			}
			c.want["endpoint"], c.want["request"], c.want["level"] = c.path, w.Header().Get("X-Request-Id"), "INFO"
			if !reflect.DeepEqual(got[0], c.want) {
				t.Errorf("%s\ngot  %v\nwant %v", name, got[0], c.want)
			}
			line, _ := json.Marshal(got[0])
			if strings.Contains(string(line), "secret") || c.want["request"] == "" {
				t.Errorf("%s: %s", name, line)
			}
		})
	}
}

func TestTheRequestLogCanBeOff(t *testing.T) {
	var log bytes.Buffer
	if answertest.Post(New(answertest.New(), Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}), "/v1/chat/completions", chatWith("")); log.Len() > 0 {
		t.Errorf("%s", &log)
	}
	log.Reset()
	h := New(answertest.New(), Options{RequestLog: true, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	for _, path := range []string{"/healthz", "/v1/models", "/readyz", "/nowhere"} { // of probes, every second
		from(h, http.MethodGet, path, "localhost", "")
	}
	if log.Len() > 0 {
		t.Errorf("%s", &log)
	}
}

// Tokens that come in one burst have no rate: over less than a millisecond it says nothing.
func TestABurstHasNoRate(t *testing.T) {
	for gap, want := range map[time.Duration]float64{0: 0, 400 * time.Microsecond: 0, time.Millisecond / 2: 2000, time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			f := answertest.New()
			f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
				for _, e := range []sdk.Event{answertest.Start(7), answertest.Token(0, 1, "a"), answertest.Token(1, 2, "b"), answertest.Token(2, 3, "c"),
					{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 1, CompletionTokens: 3}}} {
					if e.Token != nil {
						time.Sleep(gap)
					}
					if err := send(e); err != nil {
						return err
					}
				}
				return nil
			}
			w := answertest.Post(New(f, Options{RequestLog: true, Log: slog.New(slog.NewJSONHandler(&log, nil))}), "/v1/completions", `{"model":"tiny","prompt":"a"}`)
			var got struct{ Timings timings }
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Timings.GenerationSpeed != want {
				t.Errorf("%v between tokens: %v, %+v, want %v", gap, err, got.Timings, want)
			}
			if speed, there := lines(t, log.String())[0]["tokens_per_second"]; there != (want > 0) || there && speed != want {
				t.Errorf("%v between tokens: the log says %v", gap, speed)
			}
		})
	}
}

// The same figures are in the answer, by llama.cpp's names: beside the usage, in a stream where that was asked for.
func TestAnAnswerTellsItsTimings(t *testing.T) {
	want := timings{Cached: 4, Prompt: 1, PromptMS: 2000, PromptSpeed: 0.5, Generated: 3, GeneratedMS: 1000, GenerationSpeed: 2}
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		for _, options := range []string{``, `,"stream":true,"stream_options":{"include_usage":true}`, `,"stream":true`} {
			synctest.Test(t, func(t *testing.T) {
				f := answertest.New()
				f.Answer = slow
				body := map[string]string{"/v1/completions": `{"model":"tiny","prompt":"a"`, "/v1/chat/completions": `{"model":"tiny","messages":[{"role":"user","content":"a"}]`}[path]
				text := answertest.Post(New(f, Options{KeepAlive: time.Hour}), path, body+options+"}").Body.String()
				if strings.HasSuffix(options, "true") {
					if strings.Contains(text, "timings") {
						t.Errorf("%s with%s: timings that nobody asked for", path, options)
					}
					return
				}
				if options != "" {
					list := answertest.DataOf(t, text)
					text = list[len(list)-2]
				}
				var got struct{ Timings *timings }
				if err := json.Unmarshal([]byte(text), &got); err != nil || got.Timings == nil || *got.Timings != want {
					t.Errorf("%s with%s: %v, %+v\nwant %+v\n%s", path, options, err, got.Timings, want, text)
				}
			})
		}
	}
}
