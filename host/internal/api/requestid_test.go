package api

import (
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

// Every answer can be found in the log, whatever it is: of a route, of none, of a browser that is turned away.
func TestEveryAnswerHasARequestID(t *testing.T) {
	h := New(answertest.New(), Options{Guard: &Guard{Address: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}})
	made := regexp.MustCompile(`^(req|chatcmpl)-[0-9a-f]{24}$`)
	for _, c := range []struct{ method, path, body, host string }{
		{"POST", "/v1/chat/completions", chatBody + "}", "localhost"},
		{"POST", "/v1/chat/completions", chatBody + `, "stream": true}`, "localhost"},
		{"POST", "/v1/chat/completions", "{", "localhost"},
		{"GET", "/v1/chat/completions", "", "localhost"},
		{"OPTIONS", "/v1/models", "", "localhost"},
		{"GET", "/v1/models", "", "localhost"},
		{"GET", "/nowhere", "", "localhost"},
		{"GET", "/v1/models", "", "evil.example"},
	} {
		for sent, kept := range map[string]bool{
			"": false, "6f9619ff-8b86-d011-b42d-00cf4fc964ff": true, "Root=1-67891233-abcdef012345678912345678": true,
			"a b": false, "a\"b": false, "é": false, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		} {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Host = c.host
			r.Header.Set("Content-Type", "application/json")
			if sent != "" {
				r.Header.Set("X-Request-Id", sent)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			got := w.Header().Get("X-Request-Id")
			if kept && got != sent || !kept && !made.MatchString(got) {
				t.Errorf("%s %s on %s: sent %q, answered %q", c.method, c.path, c.host, sent, got)
			}
		}
	}
}

// A client's id leads to its answers in the host's log and the plugin's. Clients that try again send it again: it is not the whole of it.
func TestAnAnswersIDHasTheClients(t *testing.T) {
	f := answertest.New()
	h := New(f, Options{})
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(chatBody+"}"))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", "mine")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	first, second := f.Seen[0].ID, f.Seen[1].ID
	if !strings.HasPrefix(first, "chatcmpl-mine-") || !strings.HasPrefix(second, "chatcmpl-mine-") || first == second {
		t.Errorf("ids %q and %q", first, second)
	}
}

func TestASlashBehindAPathChangesNothing(t *testing.T) {
	h := New(answertest.New(), Options{Operator: &operator{}})
	for _, c := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/v1/models/", 200, `"object":"list"`},
		{"GET", "/v1/models/tiny/", 200, `"id":"tiny"`},
		{"GET", "/v1/models/ti%6Ey/", 200, `"id":"tiny"`},
		{"POST", "/v1/chat/completions/", 200, `"chat.completion"`},
		{"POST", "/v1/chat/completions//", 200, `"chat.completion"`},
		{"GET", "/health/", 200, `"ok"`},
		{"GET", "/health", 200, `"ok"`},
		{"POST", "/admin/stop/tiny/", 200, `"id":"tiny"`},
		{"GET", "/", 404, "nothing at /;"},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(chatBody+"}"))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

// Agents ask for more than any context holds, and mean all of it.
func TestMoreThanAnyContextHolds(t *testing.T) {
	for _, field := range []string{"max_tokens", "max_completion_tokens"} {
		f := answertest.New()
		if w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"`+field+`": 9000000000000000000`)); w.Code != 200 || f.Seen[0].MaxTokens != 1<<31-1 {
			t.Errorf("%s: %d %s, %v", field, w.Code, w.Body, f.Seen)
		}
	}
}

// What others' APIs do with these has no place here, and does not hurt.
func TestFieldsWithoutEffect(t *testing.T) {
	f := answertest.New()
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"store": true, "metadata": {"a": "b"}, "user": "me", "service_tier": "flex",
		"verbosity": "low", "prediction": {"type": "content", "content": "Tokyo"}`))
	g := f.Seen[0]
	g.ID, g.Sampling.Seed = "", 0
	if w.Code != 200 || g.Chat.Kwargs != nil || g.MaxTokens != 0 {
		t.Errorf("%d %s: %+v", w.Code, w.Body, g)
	}
}
