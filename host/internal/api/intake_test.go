package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/sdk"
)

// completion is a body of some size.
func completion(size int) string {
	const around = `{"model":"tiny","prompt":""}`
	return strings.TrimSuffix(around, `"}`) + strings.Repeat("a", size-len(around)) + `"}`
}

// gate is an answer that begins when it is let.
type gate struct{ began, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}, 1000), make(chan struct{})} }

// answer says what it has read, and goes on when it may.
func (g *gate) answer(ctx context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := send(answertest.Start(1)); err != nil {
		return err
	}
	g.began <- struct{}{}
	select {
	case <-g.open:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return answertest.Script(send, answertest.Token(0, 1, "a"), sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop, PromptTokens: 1, CompletionTokens: 1}})
}

// ask posts in the background.
func ask(h http.Handler, path, body string) <-chan *httptest.ResponseRecorder {
	done := make(chan *httptest.ResponseRecorder, 1)
	go func() { done <- answertest.Post(h, path, body) }()
	return done
}

func refusedWith(t *testing.T, what string, w *httptest.ResponseRecorder, status int, code, key string) {
	t.Helper()
	e := errorOf(t, w)
	if w.Code != status || deref(e.Code) != code || w.Header().Get("Retry-After") == "" || !strings.Contains(e.Message, key) {
		t.Errorf("%s: status %d, Retry-After %q, code %s: %s; want %d, %s, and the key %s", what, w.Code, w.Header().Get("Retry-After"), deref(e.Code), e.Message, status, code, key)
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := answertest.New(), newGate()
		f.Answer = g.answer
		h := New(f, Options{MaxRequests: 2, Operator: &operator{}})
		first, second := ask(h, "/v1/completions", completion(100)), ask(h, "/v1/chat/completions", chatWith(`"n": 2`))
		synctest.Wait()
		for _, path := range []string{"/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"} {
			refusedWith(t, path, answertest.Post(h, path, completion(100)), 503, "overloaded", "server.max_requests")
		}
		for _, path := range []string{"/healthz", "/readyz", "/v1/models", "/admin/placement/tiny"} {
			if w := from(h, "GET", path, "localhost", ""); w.Code != 200 {
				t.Errorf("%s while there is no room: status %d", path, w.Code)
			}
		}
		if w := answertest.Post(h, "/admin/move/tiny", `{"module":"layers.2","device":"far"}`); w.Code != 200 {
			t.Errorf("an order while there is no room: %s", w.Body)
		}
		close(g.open)
		if a, b := <-first, <-second; a.Code != 200 || b.Code != 200 {
			t.Errorf("%.500s\n%.500s", a.Body, b.Body)
		}
		if w := answertest.Post(h, "/v1/completions", completion(100)); w.Code != 200 {
			t.Errorf("after the others have ended: %s", w.Body)
		}
	})
}

func TestTheQueueOfAModelIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := answertest.New(), newGate()
		f.Answer = g.answer
		h := New(f, Options{MaxQueue: 3})
		one := ask(h, "/v1/completions", completion(100))
		synctest.Wait()
		two := ask(h, "/v1/chat/completions", chatWith(`"n": 64`)) // of which one finds room
		synctest.Wait()
		refusedWith(t, "the queue", answertest.Post(h, "/v1/completions", `{"model":"small","prompt":"a"}`), 429, "queue_full", "server.max_queue")
		close(g.open)
		if a, b := <-one, <-two; a.Code != 200 || b.Code != 200 {
			t.Errorf("%.500s\n%.500s", a.Body, b.Body)
		}
		if w := answertest.Post(h, "/v1/completions", completion(100)); w.Code != 200 {
			t.Errorf("after they have begun: %s", w.Body)
		}
	})
}

// An answer that has had its first token is not in the queue any more.
func TestARunningAnswerIsNotInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, end := answertest.New(), make(chan struct{})
		f.Answer = func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
			if err := answertest.Script(send, answertest.Start(1), answertest.Token(0, 1, "a")); err != nil {
				return err
			}
			<-end
			return send(sdk.Event{Finish: &sdk.Finish{Reason: sdk.FinishStop}})
		}
		h := New(f, Options{MaxQueue: 1})
		var all []<-chan *httptest.ResponseRecorder
		for range 5 {
			all = append(all, ask(h, "/v1/completions", completion(100)))
			synctest.Wait()
		}
		close(end)
		for _, done := range all {
			if w := <-done; w.Code != 200 {
				t.Errorf("%s", w.Body)
			}
		}
	})
}

// Large bodies wait for each other, small ones for nobody; who has waited too long is told to come again.
func TestBodiesWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := answertest.New(), newGate()
		f.Answer = g.answer
		h := New(f, Options{MaxBody: 1 << 20, MaxBodies: 3 << 20, Wait: time.Minute})
		var running []<-chan *httptest.ResponseRecorder
		for range 2 { // twice its size while it is read, then once
			running = append(running, ask(h, "/v1/completions", completion(1<<20)))
			synctest.Wait()
		}
		if len(g.began) != 2 {
			t.Fatalf("%d of two that have room began", len(g.began))
		}
		late := time.Now()
		third := ask(h, "/v1/completions", completion(1<<20))
		synctest.Wait()
		running = append(running, ask(h, "/v1/completions", completion(60<<10)))
		synctest.Wait()
		if len(g.began) != 3 {
			t.Errorf("%d began; expected the small one beside two large ones", len(g.began))
		}
		refusedWith(t, "who has waited", <-third, 503, "overloaded", "server.max_bodies")
		if waited := time.Since(late); waited != time.Minute {
			t.Errorf("waited for %v", waited)
		}
		fourth := ask(h, "/v1/completions", completion(1<<20))
		synctest.Wait()
		close(g.open)
		for _, done := range append(running, fourth) {
			if w := <-done; w.Code != 200 {
				t.Errorf("%s", w.Body)
			}
		}
		if w := answertest.Post(h, "/v1/completions", completion(1<<20)); w.Code != 200 { // room was given back
			t.Errorf("%s", w.Body)
		}
	})
}

// A body without a length is read too, up to the limit.
func TestBodiesOfUnknownLength(t *testing.T) {
	h := New(answertest.New(), Options{MaxBody: 1 << 20})
	for _, c := range []struct{ size, want int }{{200, 200}, {body.Small, 200}, {body.Small + 1, 200}, {1 << 20, 200}, {1<<20 + 1, 413}, {3 << 20, 413}} {
		r := httptest.NewRequest("POST", "/v1/completions", io.MultiReader(strings.NewReader(completion(c.size)))) // which hides it
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if r.ContentLength != -1 || w.Code != c.want {
			t.Errorf("%d bytes (length %d): status %d", c.size, r.ContentLength, w.Code)
		}
		if w := answertest.Post(h, "/v1/completions", completion(c.size)); w.Code != c.want {
			t.Errorf("%d bytes: status %d", c.size, w.Code)
		}
	}
}

// What is long in a body, or many, or deep, costs little more than the body.
func TestABodyIsInMemoryOnce(t *testing.T) {
	const size = 4 << 20
	fill := func(head, item, tail string) string {
		return head + strings.Repeat(item, (size-len(head)-len(tail))/len(item)) + tail
	}
	h := New(answertest.New(), Options{})
	for name, c := range map[string]struct {
		path, body string
		status     int
		most       float64 // times the body
	}{
		"a long message":       {"chat/completions", fill(`{"model":"tiny","messages":[{"role":"user","content":"`, "word ", `"}]}`), 200, 1.5},
		"a long text":          {"completions", fill(`{"model":"tiny","prompt":"`, "word ", `"}`), 200, 2.5},
		"many ids":             {"completions", fill(`{"model":"tiny","prompt":[1`, ",1", `]}`), 400, 3.5},
		"many messages":        {"chat/completions", fill(`{"model":"tiny","messages":[{}`, ",{}", `]}`), 400, 1.5},
		"many tools":           {"chat/completions", fill(`{"model":"tiny","messages":[{"role":"user","content":"a"}],"tools":[{}`, ",{}", `]}`), 400, 1.5},
		"many stops":           {"completions", fill(`{"model":"tiny","prompt":"a","stop":["b"`, `,"b"`, `]}`), 400, 1.5},
		"many biases":          {"completions", fill(`{"model":"tiny","prompt":"a","logit_bias":{"1":1`, `,"1":1`, `}}`), 400, 1.5},
		"many prompts":         {"completions", fill(`{"model":"tiny","prompt":["a"`, `,"a"`, `]}`), 400, 1.5},
		"many fields":          {"completions", fill(`{"model":"tiny","prompt":"a"`, `,"`, `":1}`), 400, 1.5},
		"a long unknown field": {"completions", fill(`{"model":"tiny","prompt":"a","zzz":[1`, ",1", `]}`), 200, 1.5},
		"a long refused field": {"completions", fill(`{"model":"tiny","prompt":"a","best_of":[1`, ",1", `]}`), 400, 1.5},
		"deep nesting":         {"chat/completions", fill(`{"model":"tiny","messages":`, "[", `}`), 400, 1.5},
		"deep, and valid":      {"chat/completions", `{"model":"tiny","messages":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, 400, 3},
		"a long reason":        {"chat/completions", fill(`{"model":"tiny","messages":[{"role":"assistant","reasoning_content":"`, "word ", `"}]}`), 200, 1.5},
		"a picture":            {"chat/completions", fill(`{"model":"tiny","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo`, "AAAA", `"}}]}]}`), 200, 3},
	} {
		body := bytes.NewReader([]byte(c.body))
		r := httptest.NewRequest("POST", "/v1/"+c.path, body)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.ServeHTTP(w, r)
		runtime.ReadMemStats(&after)
		if w.Code != c.status {
			t.Errorf("%s: status %d: %.200s", name, w.Code, w.Body)
		}
		times := float64(after.TotalAlloc-before.TotalAlloc) / float64(max(len(c.body), 1<<20))
		t.Logf("%s: %.2f times the body", name, times)
		if times > c.most {
			t.Errorf("%s: %.2f times the body; expected at most %g", name, times, c.most)
		}
	}
}

// The first prompt that fills the context is refused here: that ids do not fit needs no tokenizer to say.
func TestIDsThatDoNotFitAreNotSent(t *testing.T) {
	for n, want := range map[int]int{2047: 200, 2048: 400} {
		f := answertest.New()
		w := answertest.Post(New(f, Options{}), "/v1/completions", fmt.Sprintf(`{"model":"tiny","prompt":[1%s]}`, strings.Repeat(",1", n-1)))
		if w.Code != want || len(f.Seen) > 0 != (want == 200) {
			t.Errorf("%d ids: status %d, %d requests to the plugin", n, w.Code, len(f.Seen))
		}
		if e := w.Body.String(); want == 400 && (!strings.Contains(e, `"param":"prompt"`) || !strings.Contains(e, "context_length_exceeded")) {
			t.Error(e)
		}
	}
	if w := answertest.Post(New(answertest.New(), Options{}), "/detokenize", fmt.Sprintf(`{"tokens":[1%s]}`, strings.Repeat(",1", 4000))); w.Code != 200 {
		t.Errorf("more ids than positions, to be spelled: status %d", w.Code)
	}
}
