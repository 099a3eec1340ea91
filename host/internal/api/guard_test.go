package api

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
)

func address(t *testing.T, s string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// from asks a host at path as a browser does that shows a page of origin and calls the host by name.
func from(h http.Handler, method, path, name, origin string, headers ...string) *httptest.ResponseRecorder {
	body := ""
	if method == http.MethodPost {
		body = `{"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}`
	}
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = name
	r.Header.Set("Content-Type", "application/json")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAHostAnswersToItsOwnNames(t *testing.T) {
	local, everywhere := "127.0.0.1:8080", "0.0.0.0:8080"
	for _, c := range []struct {
		listen string
		hosts  []string
		name   string
		want   bool
	}{
		{local, nil, "localhost:8080", true},
		{local, nil, "LOCALHOST.:8080", true},
		{local, nil, "pio.localhost", true},
		{local, nil, "127.0.0.1:8080", true},
		{local, nil, "127.9.9.9", true},
		{local, nil, "[::1]:8080", true},
		{local, nil, "[::1]", true},
		{local, nil, "[::ffff:127.0.0.1]:8080", true},
		{local, nil, "", true}, // HTTP/1.0
		{"[::1]:8080", nil, "127.0.0.1:8080", true},
		{local, nil, "evil.example:8080", false},
		{local, nil, "evil.example", false},
		{local, nil, "localhost.evil.example", false},
		{local, nil, "notlocalhost", false},
		{local, nil, "127.0.0.1.evil.example", false},
		{local, nil, "0.0.0.0:8080", false},
		{local, nil, "192.168.0.7:8080", false},
		{local, nil, "box", false}, // its name, but nobody else can come
		{local, nil, ":8080", false},
		{local, nil, "evil.example:80:80", false},
		{local, []string{"pio.example.com"}, "PIO.example.com:8080", true},
		{local, []string{"pio.example.com"}, "evil.pio.example.com", false},
		{local, []string{"*.example.com"}, "pio.example.com", true},
		{local, []string{"*.example.com"}, "example.com", false},
		{local, []string{"*.example.com"}, "evilexample.com", false},
		{local, []string{"192.168.0.7"}, "192.168.0.7:8080", true},
		{local, []string{"*"}, "evil.example", true},
		{everywhere, nil, "192.168.0.7:8080", true},
		{everywhere, nil, "[fd00::7]:8080", true},
		{everywhere, nil, "localhost:8080", true},
		{everywhere, nil, "box:8080", true},
		{everywhere, nil, "box.local", true},
		{everywhere, nil, "evil.example:8080", false},
		{"192.168.0.7:8080", nil, "evil.example:8080", false},
		{"[::]:8080", nil, "evil.example:8080", false},
		{everywhere, []string{"pio.svc"}, "pio.svc:8080", true},
		{everywhere, []string{"*"}, "evil.example", true},
	} {
		h := New(answertest.New(), Options{Operator: &operator{}, Guard: &Guard{Address: address(t, c.listen), Names: []string{"box", "box.local"}, Hosts: c.hosts}})
		for _, path := range []string{"/v1/models", "/healthz", "/admin/placement/tiny", "/nowhere"} {
			w := from(h, http.MethodGet, path, c.name, "")
			if got := w.Code != http.StatusForbidden; got != c.want {
				t.Errorf("listening on %s with hosts %q, %s of %q: status %d", c.listen, c.hosts, path, c.name, w.Code)
			}
			if !c.want && (!strings.Contains(w.Body.String(), `"code":"host_not_allowed"`) || !strings.Contains(w.Body.String(), "server.hosts")) {
				t.Errorf("%s: %s", c.name, w.Body)
			}
		}
	}
}

// With DNS rebinding page and host are of one origin: the name alone gives the page away.
func TestAReboundPageIsRefused(t *testing.T) {
	h := New(answertest.New(), Options{Guard: &Guard{Address: address(t, "127.0.0.1:8080")}})
	w := from(h, http.MethodPost, "/v1/chat/completions", "evil.example:8080", "http://evil.example:8080")
	if w.Code != http.StatusForbidden {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestPagesAskOnlyWhereTheyMay(t *testing.T) {
	for _, c := range []struct {
		name, origin string
		cors         []string
		want         bool
	}{
		{"localhost:8080", "", nil, true},                      // no page
		{"localhost:8080", "http://localhost:8080", nil, true}, // the host's own
		{"localhost", "http://localhost:80", nil, true},
		{"pio.localhost", "https://pio.localhost", nil, true}, // behind a proxy that speaks TLS
		{"pio.localhost:443", "https://pio.localhost", nil, true},
		{"localhost:8080", "http://localhost:3000", nil, false},
		{"localhost:8080", "http://127.0.0.1:8080", nil, false},
		{"localhost:8080", "https://evil.example", nil, false},
		{"localhost:8080", "null", nil, false},
		{"localhost:8080", "localhost:8080", nil, false},
		{"localhost:8080", "http://%zz", nil, false},
		{"localhost:8080", "ftp://localhost:8080", nil, false},
		{"localhost:8080", "https://app.example", []string{"https://app.example"}, true},
		{"localhost:8080", "https://APP.example", []string{"https://app.example"}, true},
		{"localhost:8080", "http://app.example", []string{"https://app.example"}, false},
		{"localhost:8080", "https://app.example:8443", []string{"https://app.example"}, false},
		{"localhost:8080", "https://app.example.evil.example", []string{"https://app.example"}, false},
		{"localhost:8080", "https://evil.example", []string{"*"}, true},
		{"localhost:8080", "null", []string{"null"}, true},
	} {
		h := New(answertest.New(), Options{Guard: &Guard{Address: address(t, "127.0.0.1:8080"), Origins: c.cors}})
		w := from(h, http.MethodPost, "/v1/chat/completions", c.name, c.origin)
		if got := w.Code == http.StatusOK; got != c.want {
			t.Errorf("a page of %q at %s with cors %q: status %d, %s", c.origin, c.name, c.cors, w.Code, w.Body)
		}
		if c.origin != "" && !strings.Contains(w.Header().Get("Vary"), "Origin") {
			t.Errorf("a page of %q: Vary is %q; a cache would answer one page with another's", c.origin, w.Header().Values("Vary"))
		}
		listed := c.want && len(c.cors) > 0
		if got := w.Header().Get("Access-Control-Allow-Origin"); listed != (got == c.origin && got != "") || !listed && got != "" {
			t.Errorf("a page of %q with cors %q may read: %q", c.origin, c.cors, got)
		}
		if !c.want && !strings.Contains(w.Body.String(), `"code":"origin_not_allowed"`) {
			t.Errorf("a page of %q: %s", c.origin, w.Body)
		}
		if listed && w.Header().Get("Access-Control-Expose-Headers") != "X-Request-Id, Request-Id, Retry-After" {
			t.Errorf("headers that the page can read: %q", w.Header().Values("Access-Control-Expose-Headers"))
		}
	}
}

// "*" lets any page use the models, but no page that is not named may give orders.
func TestOrdersAreForNamedPages(t *testing.T) {
	for _, c := range []struct {
		cors []string
		want int
	}{
		{[]string{"*"}, http.StatusForbidden},
		{[]string{"*", "https://app.example"}, http.StatusOK},
	} {
		h := New(answertest.New(), Options{Operator: &operator{}, Guard: &Guard{Address: address(t, "127.0.0.1:8080"), Origins: c.cors}})
		if w := from(h, http.MethodGet, "/admin/placement/tiny", "localhost", "https://app.example"); w.Code != c.want {
			t.Errorf("cors %q: status %d", c.cors, w.Code)
		}
	}
}

func TestABrowserIsToldWhatAPageMaySend(t *testing.T) {
	h := New(answertest.New(), Options{Guard: &Guard{Address: address(t, "127.0.0.1:8080"), Origins: []string{"https://app.example"}}})
	ask := []string{
		"Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization,content-type,x-stainless-lang,x-stainless-retry-count",
		"Access-Control-Request-Private-Network", "true",
	}
	w := from(h, http.MethodOptions, "/v1/chat/completions", "localhost:8080", "https://app.example", ask...)
	for key, want := range map[string]string{
		"Access-Control-Allow-Origin":          "https://app.example",
		"Access-Control-Allow-Methods":         "POST",
		"Access-Control-Allow-Headers":         "authorization,content-type,x-stainless-lang,x-stainless-retry-count",
		"Access-Control-Allow-Private-Network": "true",
		"Access-Control-Max-Age":               "600",
		"Access-Control-Allow-Credentials":     "",
	} {
		if got := w.Header().Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if w.Code != http.StatusNoContent || !strings.Contains(w.Header().Get("Vary"), "Origin") {
		t.Errorf("status %d, Vary %q", w.Code, w.Header().Values("Vary"))
	}
	w = from(h, http.MethodOptions, "/v1/sequences/seq-0", "localhost:8080", "https://app.example", "Access-Control-Request-Method", "DELETE")
	if got := w.Header().Get("Access-Control-Allow-Methods"); got != "DELETE" {
		t.Errorf("a sequence may be closed by %q", got)
	}
	w = from(h, http.MethodOptions, "/v1/chat/completions", "localhost:8080", "https://evil.example", ask...)
	if w.Code != http.StatusForbidden || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a page that may not: status %d, %v", w.Code, w.Header())
	}
}

func TestOptionsSaysWhatAnEndpointTakes(t *testing.T) {
	for path, want := range map[string]string{"/v1/chat/completions": "POST, OPTIONS", "/v1/models": "GET, HEAD, OPTIONS", "/v1/models/tiny": "GET, HEAD, OPTIONS"} {
		w := from(New(answertest.New(), Options{}), http.MethodOptions, path, "localhost", "")
		if w.Code != http.StatusNoContent || w.Header().Get("Allow") != want {
			t.Errorf("%s: status %d, Allow %q", path, w.Code, w.Header().Get("Allow"))
		}
	}
}
