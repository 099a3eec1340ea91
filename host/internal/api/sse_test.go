package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/sdk"
)

// endless sends tokens until nobody takes them, and says why it ended.
func endless(ended chan<- error) func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
	return func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		err := send(answertest.Start(1))
		for i := 0; err == nil; i++ {
			err = send(answertest.Token(i, 1, strings.Repeat("x", 1<<16)))
		}
		ended <- err
		return err
	}
}

// within fails the test rather than wait for ever for what should come.
func within[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing after 30 s of waiting for " + what)
	}
	panic("unreachable")
}

// A client that stops reading, and stays connected, does not hold its answer: the stream ends, and what it had is free.
func TestAClientThatStopsReadingIsLetGo(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/completions"} {
		f, ended := answertest.New(), make(chan error, 1)
		f.Answer = endless(ended)
		server := httptest.NewServer(New(f, Options{Patience: 50 * time.Millisecond}))
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		body := map[string]string{"/v1/completions": `{"model":"tiny","stream":true,"prompt":"a"}`, "/v1/chat/completions": chatBody + `,"stream":true}`}[path]
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
		if err := within(t, "the end of the stream", ended); !errors.Is(err, answer.ErrLeft) {
			t.Errorf("%s ended with %v", path, err)
		}
		c.Close()
		server.Close()
	}
}

// The same of an answer that is sent whole.
func TestAWholeAnswerIsNotWrittenForEver(t *testing.T) {
	f, done := answertest.New(), make(chan struct{})
	f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
		return answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, strings.Repeat("x", 64<<20)), sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
	}
	h := New(f, Options{Patience: 50 * time.Millisecond})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		close(done)
	}))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(chatBody)+1, chatBody+"}")
	within(t, "the end of the handler", done)
}

// aging is a connection whose deadlines have passed once it was made old.
type aging struct {
	net.Conn
	mu       sync.Mutex
	deadline time.Time
}

func (a *aging) SetWriteDeadline(t time.Time) error {
	a.mu.Lock()
	a.deadline = t
	a.mu.Unlock()
	return a.Conn.SetWriteDeadline(t)
}

func (a *aging) Write(b []byte) (int, error) {
	a.mu.Lock()
	old := !a.deadline.IsZero() && a.deadline.Before(time.Now())
	a.mu.Unlock()
	if old {
		return 0, os.ErrDeadlineExceeded
	}
	return a.Conn.Write(b)
}

type agingListener struct {
	net.Listener
	made chan *aging
}

func (l agingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	a := &aging{Conn: c}
	l.made <- a
	return a, nil
}

// The deadline of a stream stays with its connection, on which the next request comes as late as it likes.
func TestTheNextRequestOnAConnectionHasItsOwnTime(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan *aging, 2)
	guard := &Guard{Address: l.Addr(), Origins: []string{"https://app.example"}}
	server := &http.Server{Handler: New(answertest.New(), Options{Guard: guard})}
	go server.Serve(agingListener{l, made})
	defer server.Close()
	base := "http://" + l.Addr().String()
	var conn *aging
	for _, c := range []struct{ method, path, body, origin string }{
		{"GET", "/healthz", "", ""}, {"POST", "/v1/completions", `{"model":"tiny","prompt":"a"}`, ""}, {"GET", "/nowhere", "", ""},
		{"GET", "/v1/models", "", "https://evil.example"}, {"OPTIONS", "/v1/models", "", "https://app.example"},
		{"POST", "/v1/completions", `{"model":"tiny","prompt":"a","stream":true}`, ""},
	} {
		resp, err := http.Post(base+"/v1/chat/completions", "application/json", strings.NewReader(chatBody+`,"stream":true}`))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if conn == nil {
			conn = <-made
		}
		_ = conn.SetWriteDeadline(time.Unix(1, 0)) // much later
		r, _ := http.NewRequest(c.method, base+c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Access-Control-Request-Method", "GET")
		}
		resp, err = http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", c.method, c.path, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
		resp.Body.Close()
		if len(made) > 0 {
			t.Fatalf("%s %s: it came on a connection of its own, which shows nothing", c.method, c.path)
		}
	}
}

// When one choice fails, nothing more of the others is shown: the error is the last that a client hears.
func TestNoChoiceGoesOnAfterAnotherHasFailed(t *testing.T) {
	f, failed := answertest.New(), make(chan struct{})
	var went error
	f.Answer = func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error {
		if g.Choice == 1 {
			return sdk.Errorf(sdk.ReasonMemory, "no room")
		}
		if err := answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "first")); err != nil {
			return err
		}
		<-ctx.Done() // of the failure
		close(failed)
		went = send(answertest.Token(1, 1, "second"))
		return went
	}
	w := answertest.Post(New(f, Options{}), "/v1/chat/completions", chatWith(`"n": 2, "stream": true`))
	<-failed
	if body := w.Body.String(); went == nil || strings.Contains(body, "second") || !strings.HasSuffix(body, `"code":"out_of_memory"}}`+"\n\n") {
		t.Errorf("%v\n%s", went, body)
	}
}
