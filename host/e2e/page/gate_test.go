package page

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// gate stands before a host and lets the events of chats through one by one, so that a test sees what a person sees of a slow model.
type gate struct {
	url string
	let chan struct{} // one for each event
}

func newGate(t *testing.T, host string) *gate {
	t.Helper()
	target, err := url.Parse(host)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{let: make(chan struct{}, 1000)}
	server := httptest.NewServer(&httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // as the page's origin has it
		},
		ModifyResponse: func(r *http.Response) error {
			if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
				r.Body = &gated{r.Body, bufio.NewReader(r.Body), nil, g, r.Request}
			}
			return nil
		},
	})
	t.Cleanup(server.CloseClientConnections)
	g.url = server.URL
	return g
}

// more lets n events through.
func (g *gate) more(n int) {
	for range n {
		g.let <- struct{}{}
	}
}

// gated is the body of a stream.
type gated struct {
	io.Closer
	lines *bufio.Reader
	rest  []byte
	gate  *gate
	ask   *http.Request
}

func (b *gated) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		line, err := b.lines.ReadBytes('\n')
		if err != nil {
			return 0, err
		}
		if strings.HasPrefix(string(line), "data:") {
			select {
			case <-b.gate.let:
			case <-b.ask.Context().Done():
				return 0, b.ask.Context().Err()
			}
		}
		b.rest = line
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
