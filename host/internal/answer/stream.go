// stream.go writes an answer as a stream. The writer is shared by the choices' events and by a timer that keeps a
// silent connection open: a resume or a long prompt is silent for as long as it takes.
package answer

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// events is one stream. Nothing is written before the first event, so that a failure before it can have its own status; but for a client
// whose model is on its way, which would hear nothing for as long as it is loaded.
type events struct {
	mu       sync.Mutex
	w        http.ResponseWriter
	c        *http.ResponseController
	buf      bytes.Buffer
	every    time.Duration
	timer    *time.Timer // nil until the first event
	framing  Framing
	opened   bool      // what comes before the first piece is written
	told     time.Time // when the client last heard what its model waits for
	finished bool
	why      string // the stream is silent, if that is known
}

func newEvents(w http.ResponseWriter, framing Framing, every time.Duration) *events {
	return &events{w: w, framing: framing, c: http.NewResponseController(w), every: every}
}

// begun says whether the status has been sent.
func (s *events) begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timer != nil
}

// open says whether nobody has asked so before: then what comes before the first piece is to be written.
func (s *events) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.opened
	s.opened = true
	return first
}

// begin sends the status and the headers.
func (s *events) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.beginLocked()
}

func (s *events) beginLocked() error {
	h := s.w.Header()
	h.Set("Content-Type", s.framing.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would otherwise collect the answer
	s.w.WriteHeader(http.StatusOK)
	s.timer = time.AfterFunc(s.every, s.keepAlive)
	return s.c.Flush()
}

// send writes one event.
func (s *events) send(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = ""
	s.buf.Reset()
	if err := s.framing.write(&s.buf, e); err != nil {
		return err
	}
	return s.flush(s.buf.Bytes())
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
	if !s.finished && s.framing.comments {
		_ = s.flush([]byte(": waiting" + s.why + "\n\n"))
	}
}

// paused tells the client why nothing comes, at once and as long as that lasts.
func (s *events) paused() {
	const why = ": the model's process has ended, the answer goes on in the next one"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.timer == nil || !s.framing.comments || s.why != "" { // it has ended, has not begun, or was told for another choice
		return
	}
	s.why = why
	_ = s.flush([]byte(": waiting" + s.why + "\n\n"))
}

// tellEvery is how far apart a client hears what its model waits for: often enough for whoever watches, and for proxies, which cut what is
// silent for a minute or so.
const tellEvery = 5 * time.Second

// coming tells the client that its model is on its way, where the framing has words for it; that begins the stream. ping are events that the
// protocol has for such a time.
func (s *events) coming(text string, ping []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.opened || !s.framing.comments || !s.told.IsZero() && time.Since(s.told) < tellEvery {
		return
	}
	if s.timer == nil && s.beginLocked() != nil {
		return // the client is gone, which its request will notice
	}
	s.told = time.Now()
	s.buf.Reset()
	s.buf.WriteString(": " + oneLine.Replace(text) + "\n\n")
	for _, e := range ping {
		if s.framing.write(&s.buf, e) != nil {
			return
		}
	}
	_ = s.flush(s.buf.Bytes())
}

// oneLine keeps what others have written, such as the name of a plugin's stage, from ending a comment.
var oneLine = strings.NewReplacer("\n", " ", "\r", " ")

// comingTo is what is said of a model that a request waits for.
func comingTo(m schedule.Status) string {
	if p := m.Progress; m.State == schedule.StateLoading && 0 < p.Done && p.Done < p.Total {
		return fmt.Sprintf("loading %s, %.0f %%", m.ID, 100*float64(p.Done)/float64(p.Total))
	}
	return m.Coming()
}

// ErrLeft is what ends an answer whose client takes no more of it.
var ErrLeft = problem.New(problem.StatusClientGone, "", "", "the client takes no more of the stream")

func (s *Service) stream(w http.ResponseWriter, r *http.Request, p Protocol, out Writer, a *Answer) {
	to := newEvents(w, out.Framing(), s.KeepAlive)
	defer to.close()
	paused := func() {
		trace.SpanFromContext(r.Context()).AddEvent("the model's process has ended; the answer goes on in the next one")
		to.paused()
	}
	var ping []Event
	if p, ok := out.(Pinger); ok {
		ping = p.Ping()
	}
	ctx := schedule.OnWait(schedule.OnPause(r.Context(), paused), func(m schedule.Status) { to.coming(comingTo(m), ping) })
	err := s.each(ctx, a, func(i int, e sdk.Event) error {
		return s.pass(to, out, a, a.piece(i, e))
	})
	switch {
	case err != nil && !to.begun():
		s.fail(w, p, a, err)
	case err != nil && r.Context().Err() != nil, errors.Is(err, ErrLeft): // clients do this all the time
		a.Tally.Fail(ErrLeft)
	case err != nil:
		e := s.Failure(err, p.PromptField(), a.Request.Model)
		a.Tally.Fail(e)
		if to.open() { // which it was not yet: clients know an answer by its beginning
			_ = to.sendAll(out.Begin(a))
		}
		_ = to.sendAll(out.Fail(a, e))
		s.Log.Warn("a stream was cut", "request", a.ID, "model", a.Request.Model, "error", err)
	default:
		_ = to.sendAll(out.End(a))
	}
}

// pass writes what one event of a choice adds, if a client can see it.
func (s *Service) pass(to *events, out Writer, a *Answer, p Piece) error {
	if to.open() {
		a.Fingerprint = s.fingerprint(a.Request.Model)
		if !to.begun() && to.begin() != nil || to.sendAll(out.Begin(a)) != nil {
			return ErrLeft
		}
	}
	for _, part := range p.parted() {
		if to.sendAll(out.Piece(a, part)) != nil {
			return ErrLeft
		}
	}
	return nil
}

func (s *events) sendAll(list []Event) error {
	for _, e := range list {
		if err := s.send(e); err != nil {
			return err
		}
	}
	return nil
}
