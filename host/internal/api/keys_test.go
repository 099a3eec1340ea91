package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/access"
	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/ollama"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
)

const (
	anyone = "pio-0123456789abcdef"
	master = "pio-fedcba9876543210"
)

// locked is a host with a key for anyone and one for its operator.
func locked(o Options, limits ...config.Key) (http.Handler, *answertest.Fake) {
	f := answertest.New()
	list := append([]config.Key{{Name: "ann", SHA256: access.Hash(anyone)}, {Name: "op", SHA256: access.Hash(master), Admin: true}}, limits...)
	o.Keys, o.Operator, o.Metrics = access.New(list), &operator{}, telemetry.New("test")
	return New(f, o), f
}

// with sends a request that shows a key.
func with(h http.Handler, method, path, key, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Everything that must be refused without a key, and with one that is not for it: each path of the host stands here.
func TestWhatNeedsAKey(t *testing.T) {
	const chat, tokens = `{"model":"tiny","messages":[{"role":"user","content":"a"}]}`, `{"model":"tiny","prompt":"a"}`
	h, f := locked(Options{})
	for _, c := range []struct {
		method, path, body       string
		nobody, anyone, operator int
	}{
		{"POST", "/v1/chat/completions", chat, 401, 200, 200},
		{"POST", "/v1/chat/completions/", chat, 401, 200, 200},
		{"POST", "/v1/completions", tokens, 401, 200, 200},
		{"POST", "/v1/responses", `{"model":"tiny","input":"a"}`, 401, 200, 200},
		{"POST", "/v1/messages", chat, 401, 200, 200},
		{"POST", "/v1/messages/count_tokens", chat, 401, 200, 200},
		{"POST", "/v1/embeddings", `{"model":"tiny","input":"a"}`, 401, 200, 200},
		{"POST", "/v1/sequences", `{"model":"tiny"}`, 401, 200, 200},
		{"POST", "/v1/sequences/none/forward", `{"tokens":[1]}`, 401, 404, 404},
		{"POST", "/v1/sequences/none/fork", ``, 401, 404, 404},
		{"DELETE", "/v1/sequences/none", ``, 401, 404, 404},
		{"POST", "/tokenize", tokens, 401, 200, 200},
		{"POST", "/detokenize", `{"model":"tiny","tokens":[65]}`, 401, 200, 200},
		{"POST", "/api/chat", chat, 401, 200, 200},
		{"POST", "/api/generate", tokens, 401, 200, 200},
		{"POST", "/api/embed", `{"model":"tiny","input":"a"}`, 401, 200, 200},
		{"POST", "/api/embeddings", tokens, 401, 200, 200},
		{"POST", "/api/show", `{"model":"tiny"}`, 401, 200, 200},
		{"POST", "/api/pull", `{}`, 401, 400, 400},
		{"DELETE", "/api/delete", `{}`, 401, 400, 400},
		{"POST", "/api/copy", `{}`, 401, 400, 400},
		{"GET", "/api/tags", "", 401, 200, 200},
		{"GET", "/api/ps", "", 401, 200, 200},
		{"GET", "/api/version", "", 401, 200, 200},
		{"GET", "/v1/models", "", 401, 200, 200},
		{"HEAD", "/v1/models", "", 401, 200, 200},
		{"GET", "/v1/models/tiny", "", 401, 200, 200},
		{"GET", "/v1/models/none", "", 401, 404, 404},
		{"GET", "/readyz/tiny", "", 401, 200, 200},
		{"GET", "/nothing", "", 401, 404, 404},
		{"GET", "/", "", 401, 404, 404},
		{"PUT", "/v1/chat/completions", chat, 401, 405, 405},
		{"GET", "/metrics", "", 401, 403, 200},
		{"GET", "/metrics/", "", 401, 403, 200},
		{"GET", "//metrics", "", 401, 0, 0},
		{"GET", "/admin", "", 401, 403, 404},
		{"GET", "/admin/placement/tiny", "", 401, 403, 200},
		{"POST", "/admin/move/tiny", `{"module":"a","device":"b"}`, 401, 403, 200},
		{"POST", "/admin/stop/tiny", "", 401, 403, 200},
		{"POST", "/admin/../admin/stop/tiny", "", 401, 0, 0},

		{"GET", "/healthz", "", 200, 200, 200},
		{"GET", "/health", "", 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200},
		{"OPTIONS", "/v1/chat/completions", "", 204, 204, 204},
	} {
		for key, want := range map[string]int{"": c.nobody, anyone + "x": c.nobody, anyone: c.anyone, master: c.operator} {
			seen := len(f.Seen)
			w := with(h, c.method, c.path, key, c.body)
			if want == 0 && w.Code/100 == 2 || want != 0 && w.Code != want {
				t.Errorf("%s %s with the key %q: %d, want %d: %.100s", c.method, c.path, key, w.Code, want, w.Body)
			}
			if w.Code == 401 && (w.Header().Get("WWW-Authenticate") != "Bearer" || len(f.Seen) != seen) {
				t.Errorf("%s %s is refused with %v, after %d requests to the model", c.method, c.path, w.Header(), len(f.Seen)-seen)
			}
		}
	}
	if got := with(h, "GET", "/readyz", "", "").Body.String(); strings.TrimSpace(got) != `{"ready":true}` {
		t.Errorf("without a key one learns %s", got)
	}
	if got := with(h, "GET", "/readyz", anyone, "").Body.String(); !strings.Contains(got, `"tiny"`) {
		t.Errorf("with a key one learns %s", got)
	}
}

// The refusal has the shape of the protocol that was asked for, and shows nothing of the key.
func TestARefusalOfAKeyIsTheProtocols(t *testing.T) {
	h, _ := locked(Options{})
	for path, want := range map[string]string{
		"/v1/chat/completions": `{"error":{"message":"this host asks for a key: Authorization: Bearer KEY, or x-api-key: KEY, with one that it knows","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`,
		"/v1/messages":         `{"type":"error","error":{"type":"authentication_error","message":"this host asks for a key`,
		"/api/chat":            `{"error":"this host asks for a key`,
	} {
		if got := with(h, "POST", path, "sk-wrong-wrong-wrong", "{}").Body.String(); !strings.HasPrefix(got, want) || strings.Contains(got, "wrong-wrong") {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// A page that may ask is told so before it shows a key: preflights have none.
func TestAPreflightNeedsNoKey(t *testing.T) {
	h, _ := locked(Options{Guard: &Guard{Origins: []string{"https://example.com"}}})
	r := httptest.NewRequest(http.MethodOptions, "/v1/chat/completions", nil)
	r.Host = "localhost"
	r.Header.Set("Origin", "https://example.com")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != "https://example.com" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// Each key has its own limits, of requests with a body and of the tokens that they took.
func TestLimitsOfAKey(t *testing.T) {
	few, little := "pio-few-few-few-few", "pio-little-little-little"
	h, _ := locked(Options{}, config.Key{Name: "few", SHA256: access.Hash(few), Requests: 2}, config.Key{Name: "little", SHA256: access.Hash(little), Tokens: 5})
	ask := func(key string) string {
		w := with(h, "POST", "/v1/chat/completions", key, chatBody+"}")
		return fmt.Sprint(w.Code, " ", w.Header().Get("Retry-After") != "")
	}
	for range 5 {
		if w := with(h, "GET", "/v1/models", few, ""); w.Code != 200 {
			t.Errorf("a question without a body is counted: %d", w.Code)
		}
	}
	answertest.EqualLines(t, []string{ask(few), ask(few), ask(few), ask(anyone), ask(little), ask(little)},
		[]string{"200 false", "200 false", "429 true", "200 false", "200 false", "429 true"}) // the fake's answers take 6 tokens
	if got := with(h, "POST", "/v1/messages", little, "{}").Body.String(); !strings.Contains(got, `"type":"rate_limit_error","message":"the key \"little\" has used its 5 tokens a minute"`) {
		t.Errorf("%s", got)
	}
}

func TestTheLogNamesTheKey(t *testing.T) {
	var log bytes.Buffer
	h, _ := locked(Options{RequestLog: true, Log: slog.New(slog.NewTextHandler(&log, nil))})
	with(h, "POST", "/v1/chat/completions", anyone, chatBody+"}")
	with(h, "POST", "/v1/chat/completions", "pio-wrong-wrong-wrong", chatBody+"}")
	if text := log.String(); !strings.Contains(text, "key=ann") || strings.Contains(text, anyone) || strings.Contains(text, "wrong-wrong") || strings.Count(text, "without a key that is known") != 1 {
		t.Errorf("%s", text)
	}
}

// The parts have what is theirs and nothing else.
func TestPartsOfAHost(t *testing.T) {
	public, _ := locked(Options{Part: Public})
	private, _ := locked(Options{Part: Private})
	for path, want := range map[string][2]int{
		"/v1/models": {200, 404}, "/api/tags": {200, 404}, "/metrics": {404, 200}, "/admin/placement/tiny": {404, 200}, "/healthz": {200, 200}, "/readyz": {200, 200},
	} {
		if got := [2]int{with(public, "GET", path, master, "").Code, with(private, "GET", path, master, "").Code}; got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// Models come and go by order, at the address where orders are taken, and not for a page that nobody has named.
func TestModelsComeAndGoByOrder(t *testing.T) {
	done := ""
	stock := func(o Options) Options {
		o.Pull = func(_ context.Context, _ string, say func(ollama.Pulling)) error { done += "+"; return nil }
		o.Remove = func(context.Context, string) error { done += "-"; return nil }
		return o
	}
	const body = `{"model":"tiny","stream":false}`
	for path, method := range map[string]string{"/api/pull": "POST", "/api/delete": "DELETE"} {
		h, _ := locked(stock(Options{}))
		for key, want := range map[string]int{"": 401, anyone: 403, master: 200} {
			if w := with(h, method, path, key, body); w.Code != want || want != 200 && !strings.HasPrefix(w.Body.String(), `{"error":"`) {
				t.Errorf("%s with the key %q: %d %s", path, key, w.Code, w.Body)
			}
		}
		for part, want := range map[Part]int{Public: 400, Private: 200} {
			h, _ := locked(stock(Options{Part: part}))
			if w := with(h, method, path, master, body); w.Code != want || want == 400 && !strings.Contains(w.Body.String(), "server.admin_listen") {
				t.Errorf("%s of part %d: %d %s", path, part, w.Code, w.Body)
			}
		}
		h, _ = locked(Options{})
		if w := with(h, method, path, master, body); w.Code != 400 || !strings.Contains(w.Body.String(), "with admin = true under [server]") {
			t.Errorf("%s where nobody may: %d %s", path, w.Code, w.Body)
		}
		for _, listed := range []bool{true, false} {
			guard := &Guard{Address: address(t, "127.0.0.1:8080"), Origins: []string{"*"}}
			if listed {
				guard.Origins = append(guard.Origins, "https://app.example")
			}
			h := New(answertest.New(), stock(Options{Guard: guard}))
			w := from(h, method, path, "localhost", "https://app.example")
			if refused := w.Code == http.StatusForbidden; refused == listed {
				t.Errorf("%s for a page that is listed, %v: %d %s", path, listed, w.Code, w.Body)
			}
		}
	}
	if strings.Count(done, "+") != 3 || strings.Count(done, "-") != 2 { // the page's DELETE has no body
		t.Errorf("done: %s", done)
	}
}
