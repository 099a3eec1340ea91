// sse.go writes an answer as server-sent events. The writer is shared by the choices' events and by a timer that keeps a
// silent connection open: a resume or a long prompt is silent for as long as it takes.
package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// events is one stream. Nothing is written before the first event, so that a failure before it can have its own status.
type events struct {
	mu       sync.Mutex
	w        http.ResponseWriter
	c        *http.ResponseController
	buf      bytes.Buffer
	every    time.Duration
	timer    *time.Timer // nil until the first event
	finished bool
	why      string // the stream is silent, if that is known
}

func newEvents(w http.ResponseWriter, every time.Duration) *events {
	return &events{w: w, c: http.NewResponseController(w), every: every}
}

// begun says whether the status has been sent.
func (s *events) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timer != nil
}

// begin sends the status and the headers.
func (s *events) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would otherwise collect the answer
	s.w.WriteHeader(http.StatusOK)
	s.timer = time.AfterFunc(s.every, s.keepAlive)
	return s.c.Flush()
}

// send writes one event with v as JSON.
func (s *events) send(v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = ""
	s.buf.Reset()
	s.buf.WriteString("data: ")
	enc := json.NewEncoder(&s.buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	s.buf.WriteByte('\n') // Encode has ended the line; an empty one ends the event
	return s.flush(s.buf.Bytes())
}

// done tells the client that the answer is complete.
func (s *events) done() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.flush([]byte("data: [DONE]\n\n"))
}

// close stops the timer: the response must not be touched after the handler returns.
func (s *events) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

func (s *events) flush(p []byte) error {
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	if s.timer != nil {
		s.timer.Reset(s.every)
	}
	return s.c.Flush()
}

func (s *events) keepAlive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.finished {
		_ = s.flush([]byte(": waiting" + s.why + "\n\n"))
	}
}

// paused tells the client why nothing comes, at once and as long as that lasts.
func (s *events) paused() {
	const why = ": the model's process has ended, the answer goes on in the next one"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.timer == nil || s.why != "" { // it has ended, has not begun, or was told for another choice
		return
	}
	s.why = why
	_ = s.flush([]byte(": waiting" + s.why + "\n\n"))
}

// errLeft is what ends an answer whose client takes no more of it.
var errLeft = newError(statusClientGone, "", "", "the client takes no more of the stream")

func (a *api) stream(w http.ResponseWriter, r *http.Request, ans *answer) {
	out := newEvents(w, a.o.KeepAlive)
	defer out.close()
	err := a.each(schedule.OnPause(r.Context(), out.paused), ans, func(i int, e sdk.Event) error {
		return a.pass(out, ans, ans.piece(i, e))
	})
	switch {
	case err != nil && !out.begun():
		a.fail(w, ans, err)
	case err != nil && r.Context().Err() != nil, errors.Is(err, errLeft): // clients do this all the time
		ans.tally.fail(errLeft)
	case err != nil:
		e := a.failure(err, ans.form, ans.req.model)
		ans.tally.fail(e)
		_ = out.send(e.body())
		a.o.Log.Warn("a stream was cut", "request", ans.id, "model", ans.req.model, "error", err)
	default:
		if ans.req.includeUsage {
			_ = out.send(ans.usage())
		}
		out.done()
	}
}

// pass writes what one event of a choice adds, if a client can see it.
func (a *api) pass(out *events, ans *answer, p piece) error {
	if !out.begun() {
		ans.finger = a.fingerprint(ans.req.model)
		if out.begin() != nil {
			return errLeft
		}
	}
	for _, part := range p.parted() {
		if v, ok := ans.form.chunk(ans, part); ok && out.send(v) != nil {
			return errLeft
		}
	}
	return nil
}
