package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// testdata/refused.txt has one case per block: path, body, then the status, the blamed field and a part of the sentence.
func TestRefusedRequests(t *testing.T) {
	data, err := os.ReadFile("testdata/refused.txt")
	if err != nil {
		t.Fatal(err)
	}
	h := New(answertest.New(), Options{MaxBody: 4096})
	for _, block := range strings.Split(string(data), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		if strings.HasPrefix(lines[0], "#") {
			continue
		}
		if len(lines) != 3 {
			t.Fatalf("a block needs three lines: %q", block)
		}
		t.Run(lines[1], func(t *testing.T) {
			path := map[string]string{
				"chat": "/v1/chat/completions", "completion": "/v1/completions", "tokenize": "/tokenize", "detokenize": "/detokenize",
			}[lines[0]]
			w := answertest.Post(h, path, strings.NewReplacer(`\n`, "\n", `\xff`, "\xff").Replace(lines[1]))
			e := errorOf(t, w)
			status, rest, _ := strings.Cut(lines[2], " ")
			param, sentence, _ := strings.Cut(rest, " ")
			if param == "-" {
				param = ""
			}
			if got := fmt.Sprint(w.Code); got != status || deref(e.Param) != param || !strings.Contains(e.Message, sentence) {
				t.Errorf("got %s param=%q %q\nwant %s param=%q %q", got, deref(e.Param), e.Message, status, param, sentence)
			}
		})
	}
}

func TestEverySamplingFieldReachesThePlugin(t *testing.T) {
	f := answertest.New()
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", `{
		"model": "small", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.5, "top_p": 0.9, "top_k": 20, "min_p": 0.05,
		"presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.1, "logit_bias": {"7": -100}, "seed": -3,
		"max_completion_tokens": 12, "min_tokens": 3, "stop": ["\n", "END"], "ignore_eos": true, "chat_template_kwargs": {"enable_thinking": false},
		"n": 1, "logprobs": false, "tools": [], "tool_choice": "auto", "response_format": {"type": "text"}, "user": "me", "top_logprobs": null}`)
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	p := func(x float64) *float64 { return &x }
	k := 20
	got := f.Seen[0]
	want := sdk.GenerateRequest{
		ID: w.Header().Get("X-Request-Id"), MaxTokens: 12, MinTokens: 3, Stop: []string{"\n", "END"}, IgnoreEOS: true,
		Chat: &sdk.Chat{
			Messages: json.RawMessage(`[{"role": "user", "content": "Hi"}]`),
			Kwargs:   json.RawMessage(`{"enable_thinking": false}`),
		},
		Sampling: sdk.Sampling{
			Seed: 1<<64 - 3, Temperature: p(0.5), TopP: p(0.9), TopK: &k, MinP: p(0.05), PresencePenalty: p(1), FrequencyPenalty: p(-1),
			RepetitionPenalty: p(1.1), LogitBias: map[int32]float64{7: -100},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// The template must see 1.0 as 1.0, keys in the client's order, and fields nobody here has heard of.
func TestMessagesKeepTheirSpelling(t *testing.T) {
	f := answertest.New()
	messages := `[ {"z": 1.0, "role": "user", "a": 1, "content": [{"type": "text", "text": "\u00e9"}]} ]`
	answertest.Post(New(f, Options{}), "/v1/chat/completions", `{"messages": `+messages+`, "model": "tiny"}`)
	if got := string(f.Seen[0].Chat.Messages); got != messages {
		t.Errorf("got %s\nwant %s", got, messages)
	}
}

func TestUnknownFieldIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	h := New(answertest.New(), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		if w := answertest.Post(h, "/v1/chat/completions", chatBody+`, "wibble": [1]}`); w.Code != 200 {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
	}
	if n := strings.Count(log.String(), "field=wibble"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

func TestWrongMethodsPathsAndMedia(t *testing.T) {
	h := New(answertest.New(), Options{})
	for _, c := range []struct {
		method, path, media string
		status              int
		want                string
	}{
		{"GET", "/v1/chat/completions", "", 405, "takes POST, not GET"},
		{"POST", "/v1/models", "application/json", 405, "takes GET, not POST"},
		{"POST", "/v1/completions", "text/plain", 415, "application/json"},
		{"POST", "/v1/completions", "", 415, "application/json"},
		{"GET", "/v1/images", "", 404, "nothing at /v1/images"},
		{"GET", "/v1/models/huge", "", 404, `"huge" does not exist; this host serves tiny`},
		{"GET", "/metrics", "", 404, "nothing at /metrics"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader("{}"))
		r.Header.Set("Content-Type", c.media)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if e := errorOf(t, w); w.Code != c.status || !strings.Contains(e.Message, c.want) {
			t.Errorf("%s %s: %d %q", c.method, c.path, w.Code, e.Message)
		}
		if c.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
	}
}

func TestACompressedBodyIsNotTaken(t *testing.T) {
	for encoding, want := range map[string]int{"gzip": 415, "zstd": 415, "identity": 200, "": 200} {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(chatBody+"}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", encoding)
		w := httptest.NewRecorder()
		New(answertest.New(), Options{}).ServeHTTP(w, r)
		if w.Code != want || want == 415 && !strings.Contains(errorOf(t, w).Message, `the Content-Encoding "`+encoding+`"`) {
			t.Errorf("%q: %d %s", encoding, w.Code, w.Body)
		}
	}
}

func TestModelsAndReadiness(t *testing.T) {
	f := answertest.New()
	f.Status = append(f.Status, schedule.Status{
		ID: "org/large", State: schedule.StateLoading, Progress: sdk.Progress{Stage: "map", Done: 1, Total: 2},
	})
	draining := false
	h := New(f, Options{Draining: func() bool { return draining }, Metrics: telemetry.New("test")})
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/v1/models", 200, `{"id":"tiny","object":"model","created":1700000000,"owned_by":"inference-pio","max_model_len":2048,"aliases":["small"],"state":"ready"}`},
		{"/v1/models", 200, `"state":"loading","progress":{"stage":"map","done":1,"total":2}}`},
		{"/v1/models/org/large", 200, `"id":"org/large"`},
		{"/v1/models/small", 200, `"id":"tiny"`},
		{"/healthz", 200, `"ok"`},
		{"/readyz", 503, `"ready":false`},
		{"/readyz/tiny", 200, `"ready":true`},
		{"/readyz/org/large", 503, `"state":"loading"`},
		{"/metrics", 200, `pio_http_requests_total{code="503",route="/readyz"} 1`},
	} {
		if status, body := get(c.path); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s\nwant %d with %s", c.path, status, body, c.status, c.want)
		}
	}
	draining = true
	if status, body := get("/readyz/tiny"); status != 503 || !strings.Contains(body, `"draining":true`) {
		t.Errorf("a draining host is ready: %d %s", status, body)
	}
}

// A loaded model whose process does not answer is not ready, and the reason is told.
func TestAModelWhoseProcessIsSilentIsNotReady(t *testing.T) {
	f := answertest.New()
	f.Status[0].Silent = time.Now().Add(-7 * time.Second)
	w := httptest.NewRecorder()
	New(f, Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz/tiny", nil))
	if body := w.Body.String(); w.Code != 503 || !strings.Contains(body, `"ready":false`) || !strings.Contains(body, "its plugin has not answered a health check for 7s") {
		t.Errorf("%d %s", w.Code, body)
	}
}

func TestTooLargeABody(t *testing.T) {
	w := answertest.Post(New(answertest.New(), Options{MaxBody: 4096}), "/v1/completions", `{"model": "tiny", "prompt": "`+strings.Repeat("a", 5000)+`"}`)
	if e := errorOf(t, w); w.Code != 413 || !strings.Contains(e.Message, "larger than 4 KiB") {
		t.Errorf("%d %q", w.Code, e.Message)
	}
}
