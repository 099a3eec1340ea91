package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// The tests' internet is this machine: 127.0.0.1 stands for a public address, every other one is what it is.
const internet = "127.0.0.1"

// site is a web server at an address of this machine.
type site struct {
	*httptest.Server
	hits atomic.Int32
}

func newSite(t *testing.T, address string, h http.HandlerFunc) *site {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		h(w, r)
	}))
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *site) port() string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// at is the URL of a path on the site by a name.
func (s *site) at(name, path string) string { return "http://" + name + ":" + s.port() + path }

// visitor is a Fetcher that may go to pictures.test and what is below it, on the site's port, in the tests' internet.
func visitor(s *site, names map[string][]string) *Fetcher {
	f := New(config.Pictures{Hosts: []string{"pictures.test:" + s.port(), "*.pictures.test:" + s.port()}, MaxBytes: 1000, Timeout: time.Minute})
	f.allowed = func(a netip.Addr) bool { return a == netip.MustParseAddr(internet) || public(a) }
	f.dialer.Resolver = resolver(names)
	return f
}

func sendPNG(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "image/png")
	fmt.Fprint(w, png)
}

func TestAPictureIsDownloaded(t *testing.T) {
	s := newSite(t, internet+":0", func(w http.ResponseWriter, r *http.Request) {
		for _, h := range []string{"Cookie", "Authorization", "Referer", "Accept-Encoding"} {
			if r.Header.Get(h) != "" {
				t.Errorf("the request has %s: %s", h, r.Header.Get(h))
			}
		}
		switch r.URL.Path {
		case "/there":
			http.Redirect(w, r, "/a.png?x=1", http.StatusFound)
		case "/elsewhere":
			http.Redirect(w, r, "//deep.pictures.test:"+r.URL.Query().Get("port")+"/a.png", http.StatusPermanentRedirect)
		case "/untyped":
			w.Header()["Content-Type"] = nil
			fmt.Fprint(w, png)
		case "/bytes":
			w.Header().Set("Content-Type", "application/octet-stream")
			fmt.Fprint(w, png)
		default:
			sendPNG(w, r)
		}
	})
	f := visitor(s, map[string][]string{"pictures.test": {internet}, "deep.pictures.test": {internet}})
	for _, path := range []string{"/a.png", "/a.png?size=8#top", "/there", "/elsewhere?port=" + s.port(), "/untyped", "/bytes"} {
		got, err := f.Fetch(t.Context(), s.at("pictures.test", path))
		if err != nil || string(got) != png {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
}

func TestAnswersThatAreRefused(t *testing.T) {
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	z.Write(make([]byte, 1<<16))
	z.Close()
	s := newSite(t, internet+":0", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		q := r.URL.Query()
		switch r.URL.Path {
		case "/status":
			code, _ := strconv.Atoi(q.Get("code"))
			w.WriteHeader(code)
		case "/type":
			w.Header().Set("Content-Type", q.Get("type"))
			fmt.Fprint(w, png)
		case "/text":
			fmt.Fprint(w, "root:x:0:0:root")
		case "/long":
			w.Header().Set("Content-Length", "1001")
			fmt.Fprint(w, png, strings.Repeat("x", 1001-len(png)))
		case "/endless": // without a length
			for r.Context().Err() == nil {
				fmt.Fprint(w, png, strings.Repeat("x", 100))
				w.(http.Flusher).Flush()
			}
		case "/zipped":
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(small.Bytes())
		case "/broken":
			w.Header().Set("Content-Length", "500")
			fmt.Fprint(w, png)
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 100<<10))
			fmt.Fprint(w, png)
		}
	})
	f := visitor(s, map[string][]string{"pictures.test": {internet}})
	host := strconv.Quote("pictures.test:" + s.port())
	for path, want := range map[string]string{
		"/status?code=404":            host + " answers with the status 404",
		"/status?code=500":            host + " answers with the status 500",
		"/status?code=204":            host + " answers with the status 204",
		"/status?code=304":            host + " answers with the status 304",
		"/type?type=text/html":        host + ` answers with the type "text/html", which is no picture's`,
		"/type?type=application/json": host + ` answers with the type "application/json", which is no picture's`,
		"/type?type=image":            host + ` answers with the type "image", which is no picture's`,
		"/text":                       "what is there is no picture; expected PNG, JPEG, WebP, GIF or BMP",
		"/long":                       "the picture is larger than 1000 bytes, the most this host takes of one",
		"/endless":                    "the picture is larger than 1000 bytes, the most this host takes of one",
		"/zipped":                     "what is there is no picture; expected PNG, JPEG, WebP, GIF or BMP",
		"/broken":                     "the answer of " + host + " breaks off",
		"/headers":                    "no answer from " + host,
	} {
		got, err := f.Fetch(t.Context(), s.at("pictures.test", path))
		if err == nil || err.Error() != want {
			t.Errorf("%s: %d bytes, %v; want %s", path, len(got), err, want)
		}
	}
	if _, err := f.Fetch(t.Context(), s.at("none.pictures.test", "/")); err == nil || err.Error() != `no answer from "none.pictures.test:`+s.port()+`"` {
		t.Errorf("a name that nobody has: %v", err)
	}
}

// A redirect is a URL like the first: every rule holds for it.
func TestRedirectsAreCheckedAnew(t *testing.T) {
	s := newSite(t, internet+":0", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	f := visitor(s, map[string][]string{"pictures.test": {internet}, "inside.pictures.test": {"127.0.0.2"}})
	for to, want := range map[string]string{
		"http://10.0.0.1:" + s.port() + "/":          "redirected: the URL leads to an address that is not a public one",
		"http://169.254.169.254/latest/meta-data/":   "redirected: the URL leads to an address that is not a public one",
		"http://[::ffff:127.0.0.1]/":                 "redirected: the URL leads to an address that is not a public one",
		s.at("inside.pictures.test", "/"):            "the URL leads to an address that is not a public one",
		"http://pictures.test:22/":                   "redirected: pictures are not fetched from",
		"http://evil.test/a.png":                     "redirected: pictures are not fetched from",
		"http://u:p@pictures.test:" + s.port() + "/": "redirected: a URL with a user's name",
		"file:///etc/passwd":                         "is neither http nor https",
		"gopher://pictures.test:" + s.port() + "/":   "is neither http nor https",
		"/?to=%2F%3Fto%3D%2F":                        "redirected more than 3 times",
	} {
		got, err := f.Fetch(t.Context(), s.at("pictures.test", "/?to="+url.QueryEscape(to)))
		if err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%s: %d bytes, %v; want %s", to, len(got), err, want)
		}
	}
	before := s.hits.Load()
	_, _ = f.Fetch(t.Context(), s.at("pictures.test", "/?to=%2F%3Fto%3D%2F"))
	if n := s.hits.Load() - before; n != 1+maxRedirects {
		t.Errorf("a circle was followed for %d requests", n)
	}
}

func TestARedirectDoesNotLeaveTLS(t *testing.T) {
	plain := newSite(t, internet+":0", sendPNG)
	s := &site{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			http.Redirect(w, r, plain.at("example.com", "/"), http.StatusFound)
			return
		}
		sendPNG(w, r)
	}))}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail here
	s.StartTLS()                                   // for example.com, says its certificate
	t.Cleanup(s.Close)
	f := visitor(s, map[string][]string{"example.com": {internet}, "pictures.test": {internet}})
	f.hosts = append(f.hosts, host{name: "example.com", port: s.port()}, host{name: "example.com", port: plain.port()})
	ask := func(u string) (string, error) {
		got, err := f.Fetch(t.Context(), u)
		return string(got), err
	}
	base := "https://example.com:" + s.port()
	if _, err := ask(base + "/a.png"); err == nil || !strings.HasPrefix(err.Error(), "no answer from") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	f.client.Transport.(*http.Transport).TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	if got, err := ask(base + "/a.png"); err != nil || got != png {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := ask(base + "/plain"); err == nil || err.Error() != "the URL is redirected from https to another scheme" || plain.hits.Load() != 0 {
		t.Errorf("to http: %v, %d requests there", err, plain.hits.Load())
	}
	if _, err := ask("https://pictures.test:" + s.port() + "/a.png"); err == nil || !strings.HasPrefix(err.Error(), "no answer from") {
		t.Errorf("another name's certificate: %v", err)
	}
}

// A name on the list that leads inside is refused where it matters: nothing is sent to the address.
func TestANameThatLeadsInside(t *testing.T) {
	s := newSite(t, "127.0.0.2:0", sendPNG)
	for _, addresses := range [][]string{{"127.0.0.2"}, {"10.0.0.1", "127.0.0.2"}, {"::1"}, {"::ffff:127.0.0.2"}, {"0.0.0.0"}} {
		f := visitor(s, map[string][]string{"pictures.test": addresses})
		_, err := f.Fetch(t.Context(), s.at("pictures.test", "/"))
		if !errors.Is(err, errNotPublic) || s.hits.Load() != 0 {
			t.Errorf("%v: %v, %d requests", addresses, err, s.hits.Load())
		}
	}
}

// A name server may answer one thing when it is asked whether and another when it is asked where to. It is asked once for each connection,
// and what it says then is what is checked.
func TestANameThatLeadsElsewhereTheSecondTime(t *testing.T) {
	s := newSite(t, internet+":0", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/again" {
			http.Redirect(w, r, "/a.png", http.StatusFound)
			return
		}
		sendPNG(w, r)
	})
	inside := newSite(t, "127.0.0.2:"+s.port(), sendPNG)
	f := visitor(s, nil)
	var asked atomic.Int32
	f.dialer.Resolver = answering(func(_ string, kind uint16) []string {
		if kind == typeA && asked.Add(1) == 1 {
			return []string{internet}
		}
		return []string{"127.0.0.2"}
	})
	_, err := f.Fetch(t.Context(), s.at("pictures.test", "/again"))
	if !errors.Is(err, errNotPublic) || s.hits.Load() != 1 || inside.hits.Load() != 0 || asked.Load() != 2 {
		t.Errorf("%v; %d requests outside, %d inside, %d questions", err, s.hits.Load(), inside.hits.Load(), asked.Load())
	}
}

// A server that says nothing, or goes on for ever a byte at a time, costs its time and no more.
func TestASlowServer(t *testing.T) {
	s := newSite(t, internet+":0", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/drop" {
			fmt.Fprint(w, png)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
	})
	f := visitor(s, map[string][]string{"pictures.test": {internet}})
	f.rules.Timeout = 50 * time.Millisecond
	for _, path := range []string{"/silent", "/drop"} {
		if _, err := f.Fetch(t.Context(), s.at("pictures.test", path)); err == nil || err.Error() != "the picture did not come within 50ms" {
			t.Errorf("%s: %v", path, err)
		}
	}
	for range maxDownloads { // all are taken
		f.slots <- struct{}{}
	}
	before := s.hits.Load()
	if _, err := f.Fetch(t.Context(), s.at("pictures.test", "/silent")); err == nil || err.Error() != "the picture did not come within 50ms" || s.hits.Load() != before {
		t.Errorf("with all downloads taken: %v", err)
	}
}

func TestWhoIsGoneGetsNoPicture(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	s := newSite(t, internet+":0", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
		close(ended)
	})
	f := visitor(s, map[string][]string{"pictures.test": {internet}})
	if _, err := f.Fetch(ctx, s.at("pictures.test", "/")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	<-ended // the connection was closed, too
}

// A proxy of the environment would resolve names and connect by itself, so that only its own address were checked. net/http
// reads the environment once in a process, hence one of its own.
func TestNoProxyOfTheEnvironmentIsAsked(t *testing.T) {
	const variable = "PIO_TEST_PROXIED"
	if os.Getenv(variable) != "" {
		f := New(config.Pictures{Hosts: []string{"*"}, MaxBytes: 1000, Timeout: time.Minute})
		f.allowed = func(a netip.Addr) bool { return a == netip.MustParseAddr(internet) || public(a) }
		f.dialer.Resolver = resolver(map[string][]string{"pictures.test": {"10.0.0.1"}})
		if got, err := f.Fetch(t.Context(), "http://pictures.test/a.png"); !errors.Is(err, errNotPublic) {
			t.Errorf("got %q, %v", got, err)
		}
		return
	}
	proxy := newSite(t, internet+":0", sendPNG)
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
	child.Env = append(os.Environ(), variable+"=1")
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		child.Env = append(child.Env, name+"="+proxy.URL)
	}
	child.Env = append(child.Env, "NO_PROXY=", "no_proxy=")
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if n := proxy.hits.Load(); n > 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}
