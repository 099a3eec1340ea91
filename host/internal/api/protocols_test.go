package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

// Whoever asks in a protocol is refused in its shape, whatever it is that refuses.
func TestErrorsHaveTheShapeOfTheProtocol(t *testing.T) {
	h := New(answertest.New(), Options{})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/v1/messages", "", 405, `{"type":"error","error":{"type":"invalid_request_error","message":"/v1/messages takes POST, not GET"}`},
		{"POST", "/v1/messages/batches", "{}", 404, `{"type":"error","error":{"type":"not_found_error","message":"there is nothing at /v1/messages/batches`},
		{"POST", "/v1/messages/count_tokens", `{"messages":[]}`, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages is []`},
		{"POST", "/v1/responses", `{"model":"none","input":"a"}`, 404, `{"error":{"message":"the model \"none\" does not exist; this host serves tiny","type":"invalid_request_error","param":"model","code":"model_not_found"}}`},
		{"GET", "/v1/responses/resp_1", "", 404, `{"error":{"message":"there is nothing at /v1/responses/resp_1`},
		{"POST", "/api/chat", `{"model":"none","messages":[{"role":"user","content":"a"}]}`, 404, `{"error":"the model \"none\" does not exist; this host serves tiny"}`},
		{"GET", "/api/chat", "", 405, `{"error":"/api/chat takes POST, not GET"}`},
		{"GET", "/api/nothing", "", 404, `{"error":"there is nothing at /api/nothing`},
		{"POST", "/api/pull", `{"model":"a"}`, 400, `{"error":"this host does not do /api/pull`},
		{"DELETE", "/api/delete", `{"model":"a"}`, 400, `{"error":"this host does not do /api/delete`},
		{"GET", "/api/version", "", 200, `{"version":"`},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s\nwant %d %s", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}

// Anthropic's clients look for the id of a request by another name, on every kind of answer.
func TestAMessagesRequestIsNamedTwice(t *testing.T) {
	h := New(answertest.New(), Options{})
	for _, body := range []string{`{"model":"tiny","messages":[{"role":"user","content":"a"}]}`, `{"model":"tiny","messages":[{"role":"user","content":"a"}],"stream":true}`, `{}`} {
		w := answertest.Post(h, "/v1/messages", body)
		if id := w.Header().Get("Request-Id"); id == "" || id != w.Header().Get("X-Request-Id") {
			t.Errorf("%s: %q and %q", body, id, w.Header().Get("X-Request-Id"))
		}
	}
}

// curl sends JSON by the name of a form, as Ollama's examples have it. So could a page, without asking: browsers say that it was one.
func TestAFormIsJSONWhereNoPageSentIt(t *testing.T) {
	h := New(answertest.New(), Options{})
	for _, c := range []struct {
		path, header, value string
		status              int
	}{
		{"/api/chat", "", "", 200},
		{"/api/show", "", "", 200},
		{"/api/chat", "Origin", "null", 415},
		{"/api/chat", "Sec-Fetch-Site", "cross-site", 415},
		{"/v1/chat/completions", "", "", 415},
		{"/v1/messages", "", "", 415},
	} {
		r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(`{"model":"tiny"}`))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s with %s %q: %d %s", c.path, c.header, c.value, w.Code, w.Body)
		}
	}
}

// A tool that nobody here can run is left out, and told of once, whatever the protocol.
func TestToolsThatAreLeftOutAreLoggedOnce(t *testing.T) {
	var log strings.Builder
	h := New(answertest.New(), Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		answertest.Post(h, "/v1/responses", `{"model":"tiny","input":"a","tools":[{"type":"web_search"}]}`)
		answertest.Post(h, "/v1/messages", `{"model":"tiny","messages":[{"role":"user","content":"a"}],"tools":[{"type":"bash_20250124","name":"bash"}]}`)
	}
	for _, kind := range []string{"type=web_search", "type=bash_20250124"} {
		if n := strings.Count(log.String(), kind); n != 1 {
			t.Errorf("%s is told %d times: %s", kind, n, &log)
		}
	}
}
