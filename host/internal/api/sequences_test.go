package api

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/answer/answertest"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// send makes a request without a body.
func send(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func told(w *httptest.ResponseRecorder) string {
	return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
}

// words are float32 as the answer has them.
func words(list ...float32) string {
	var b []byte
	for _, x := range list {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestSequences(t *testing.T) {
	f := answertest.New()
	f.Logits = []float32{0.5, 3, -1, 3}
	h := New(f, Options{})
	step := func(got *httptest.ResponseRecorder, want string) {
		t.Helper()
		answertest.EqualLines(t, []string{told(got)}, []string{want})
	}
	step(answertest.Post(h, "/v1/sequences", `{"model": "small"}`), `200 {"id":"seq-0","object":"sequence","model":"tiny","expires_in":90}`)
	step(answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [7, 8]}`),
		`200 {"length":2,"vocab":4,"replayed":false,"rows":["`+words(8.5, 11, 7, 11)+`"]}`)
	step(answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [0, 1], "rows": [1, 0, 1], "encoding": "base64"}`),
		`200 {"length":4,"vocab":4,"replayed":false,"rows":["`+words(1.5, 4, 0, 4)+`","`+words(0.5, 3, -1, 3)+`","`+words(1.5, 4, 0, 4)+`"]}`)
	step(send(h, http.MethodPost, "/v1/sequences/seq-0/fork"), `200 {"id":"seq-1","object":"sequence","model":"tiny","expires_in":90}`)
	f.Replayed = true
	step(answertest.Post(h, "/v1/sequences/seq-1/forward", `{"tokens": [9], "rows": []}`), `200 {"length":5,"vocab":4,"replayed":true,"rows":[]}`)
	f.Replayed = false
	step(answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [0], "top": 2}`),
		`200 {"length":5,"vocab":4,"replayed":false,"rows":[[{"id":1,"logit":3,"logprob":`+likelihood(3)+`},{"id":3,"logit":3,"logprob":`+likelihood(3)+`}]]}`)
	step(send(h, http.MethodDelete, "/v1/sequences/seq-0"), `200 {"deleted":true,"id":"seq-0","object":"sequence"}`)
	step(send(h, http.MethodDelete, "/v1/sequences/seq-0"), `404 {"error":{"message":"there is no such sequence","type":"invalid_request_error","param":null,"code":"not_found"}}`)
}

// likelihood is of a logit among those of TestSequences.
func likelihood(x float64) string {
	return fmt.Sprint(x - 3 - math.Log(math.Exp(-2.5)+2+math.Exp(-4)))
}

func TestWhatASequenceIsNotAsked(t *testing.T) {
	f := answertest.New()
	f.Logits = []float32{1, 2}
	f.Status[0].Table.VocabSize = 2
	h := New(f, Options{})
	answertest.Post(h, "/v1/sequences", `{"model": "tiny"}`)
	for _, c := range []struct {
		path, body  string
		status      int
		param, text string
	}{
		{"", `{"model": "none"}`, 404, "model", `the model "none" does not exist`},
		{"/seq-9/forward", `{"tokens": [1]}`, 404, "", "no such sequence"},
		{"/seq-9/fork", `{}`, 404, "", "no such sequence"},
		{"/seq-0/forward", `{}`, 400, "tokens", "tokens is missing; expected a list of token ids"},
		{"/seq-0/forward", `{"tokens": []}`, 400, "tokens", "expected a list of at least one token id"},
		{"/seq-0/forward", `{"tokens": "Hi"}`, 400, "tokens", "expected a list of at least one token id"},
		{"/seq-0/forward", `{"tokens": [1, -1]}`, 400, "tokens", "no token id at place 1"},
		{"/seq-0/forward", `{"tokens": [1], "rows": [1]}`, 400, "rows", "rows has 1"},
		{"/seq-0/forward", `{"tokens": [1], "rows": [-1]}`, 400, "rows", "at place 0 is -1; expected an integer of at least 0"},
		{"/seq-0/forward", `{"tokens": [1], "rows": 0}`, 400, "rows", "expected a list of indices into tokens"},
		{"/seq-0/forward", `{"tokens": [1], "encoding": "float"}`, 400, "encoding", `expected "base64"`},
		{"/seq-0/forward", `{"tokens": [1], "encoding": "base64", "top": 3}`, 400, "top", "top and encoding are both given"},
		{"/seq-0/forward", `{"tokens": [1], "top": 0}`, 400, "top", "an integer from 1 to 1000"},
		{"/seq-0/forward", `{"tokens": [1], "top": 1000, "rows": [` + strings.Repeat("0,", 300) + `0]}`, 400, "top", "top is 1000 for each of 301 rows; expected at most 262144 together"},
		{"/seq-0/forward", `{"tokens": [` + strings.Repeat("1,", 2048) + `1]}`, 400, "tokens", "This model's maximum context length is 2048 tokens. However, the sequence would have 2049"},
	} {
		w := answertest.Post(h, "/v1/sequences"+c.path, c.body)
		if e := errorOf(t, w); w.Code != c.status || deref(e.Param) != c.param || !strings.Contains(e.Message, c.text) {
			t.Errorf("%s %.60s: %d, param %q: %s; want %d, %q, %q", c.path, c.body, w.Code, deref(e.Param), e.Message, c.status, c.param, c.text)
		}
	}
	none := New(f, Options{MaxRequests: 1})
	slow := newGate()
	f.Answer = slow.answer
	busy := ask(none, "/v1/completions", `{"model": "tiny", "prompt": "a"}`)
	<-slow.began
	refusedWith(t, "a fork", send(none, http.MethodPost, "/v1/sequences/seq-0/fork"), 503, "overloaded", "server.max_requests")
	close(slow.open)
	<-busy
	if w := send(h, http.MethodGet, "/v1/sequences/seq-0"); w.Code != 405 || w.Header().Get("Allow") != "DELETE, OPTIONS" {
		t.Errorf("%d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestLogitsThatJSONHasNotGot(t *testing.T) {
	low, nan, inf := float32(math.Inf(-1)), float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		want   string
	}{
		{[]float32{low, 0}, `200 {"length":1,"vocab":2,"replayed":false,"rows":[[{"id":1,"logit":0,"logprob":0},{"id":0,"logit":-9999,"logprob":-9999}]]}`},
		{[]float32{0, nan}, "500"},
		{[]float32{inf, 0}, "500"},
		{[]float32{low, low}, "500"},
	} {
		f := answertest.New()
		f.Logits = c.logits
		h := New(f, Options{})
		answertest.Post(h, "/v1/sequences", `{"model": "tiny"}`)
		if got := told(answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [0], "top": 5}`)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%v: %s", c.logits, got)
		}
		if got := told(answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [0]}`)); !strings.Contains(got, `"rows":["`+words(c.logits...)+`"]`) {
			t.Errorf("%v: %s", c.logits, got) // as they are
		}
	}
}

func TestAPluginWithoutLogitsIsNamed(t *testing.T) {
	err := &sdk.Error{Reason: sdk.ReasonUnimplemented, Field: "model", Message: `the plugin of the model "tiny" does not have the capability "forward"`}
	e := problem.From(err, "")
	if e.Status != 400 || e.Code != "not_supported" || e.Field != "model" {
		t.Errorf("%+v", e)
	}
}

// Answers hold room while they are sent: what is beyond waits, and is told to come again.
func TestLargeAnswersAreBoundedTogether(t *testing.T) {
	f := answertest.New()
	f.Logits = make([]float32, 1<<17)
	f.Status[0].Table.VocabSize = 1 << 17
	h := New(f, Options{MaxBodies: 1 << 20, MaxBody: 1 << 20})
	answertest.Post(h, "/v1/sequences", `{"model": "tiny"}`)
	slow := &reluctant{ResponseRecorder: httptest.NewRecorder(), begun: make(chan struct{}), goOn: make(chan struct{})}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		r := httptest.NewRequest(http.MethodPost, "/v1/sequences/seq-0/forward", strings.NewReader(`{"tokens": [0]}`))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(slow, r)
	}()
	<-slow.begun
	refusedWith(t, "a second one", answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [0]}`), 503, "overloaded", "server.max_bodies")
	close(slow.goOn)
	<-sent
	if w := answertest.Post(h, "/v1/sequences/seq-0/forward", `{"tokens": [0]}`); w.Code != 200 {
		t.Errorf("after it was sent: %d %.200s", w.Code, w.Body)
	}
}

// reluctant is a client that reads nothing for a while.
type reluctant struct {
	*httptest.ResponseRecorder
	begun, goOn chan struct{}
	waited      bool
}

func (r *reluctant) Write(b []byte) (int, error) {
	if !r.waited {
		r.waited = true
		close(r.begun)
		<-r.goOn
	}
	return r.ResponseRecorder.Write(b)
}

var _ Backend = (*schedule.Host)(nil)
