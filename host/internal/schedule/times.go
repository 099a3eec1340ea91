// times.go keeps a request's times, and counts the requests that wait and that run.
package schedule

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/sdk"
)

// times of one request; zero before they come.
type times struct {
	accepted time.Time
	boarded  time.Time // the process that gave the first token
	first    time.Time // token
	newest   time.Time // token
	died     time.Time // the process, and nothing came since
	moved    bool      // a process died after the first token
}

// count shows how many requests wait for their process or in it for a place, and how many of them it works on, be it at their
// prompts. A plugin that does not say how many wait in it is taken to let none. mu is held.
func (m *model) count() {
	aboard, waiting := 0, 0
	if l := m.life; l != nil {
		aboard = len(l.aboard)
		waiting = min(l.waiting, aboard)
		m.host.cores.works(l, !l.ready || aboard+l.computing > 0)
	}
	m.status.Running, m.status.Waiting = aboard-waiting, m.flying-aboard+waiting
	metrics, id := m.host.o.Metrics, m.entry.ID
	metrics.Running.WithLabelValues(id).Set(float64(m.status.Running))
	metrics.Waiting.WithLabelValues(id).Set(float64(m.status.Waiting))
}

// computes notes a call to l that computes, and in done its end.
func (m *model) computes(l *life) (done func()) {
	add := func(by int) {
		m.mu.Lock()
		defer m.mu.Unlock()
		l.computing += by
		m.count()
	}
	add(1)
	return func() { add(-1) }
}

// measure keeps the times between the events.
func (f *flight) measure(e sdk.Event) {
	m, now := f.model.host.o.Metrics, time.Now()
	id := f.model.entry.ID
	if !f.died.IsZero() {
		pause := now.Sub(f.died)
		m.ResumeSeconds.WithLabelValues(id).Observe(pause.Seconds())
		f.model.log.Info("an answer goes on after a pause", "request", f.req.ID, "pause", pause.Round(time.Millisecond))
		f.tellResume(now)
		f.died = time.Time{}
	}
	if e.Token == nil {
		return
	}
	m.Generated.WithLabelValues(id).Inc()
	f.model.paced(now)
	if f.newest.IsZero() {
		m.FirstToken.WithLabelValues(id).Observe(now.Sub(f.accepted).Seconds())
		f.first = now
	} else {
		m.InterToken.WithLabelValues(id).Observe(now.Sub(f.newest).Seconds())
	}
	f.newest = now
}

// tellResume has the request's trace show a pause: from the death to what came next.
func (f *flight) tellResume(now time.Time) {
	if f.span == nil || !f.span.IsRecording() {
		return
	}
	tracer := f.span.TracerProvider().Tracer("github.com/inference-pio/inference-pio/host/internal/schedule")
	_, span := tracer.Start(trace.ContextWithSpan(context.Background(), f.span), "resume", trace.WithTimestamp(f.died),
		trace.WithAttributes(attribute.Int("pio.tokens", len(f.ids))))
	span.End(trace.WithTimestamp(now))
}

// paced counts a token.
func (m *model) paced(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pace.add(now)
}

// phases splits the time of an answer that has ended. What its last process says of a wait there counts if it gave the first token.
func (f *flight) phases() (queued, prefill, decode time.Duration) {
	if f.first.IsZero() {
		return 0, 0, 0
	}
	inside := f.first.Sub(f.boarded)
	wait := min(f.finish.Queued, inside)
	if f.moved {
		wait = 0
	}
	return f.boarded.Sub(f.accepted) + wait, inside - wait, f.newest.Sub(f.first)
}

// account closes the request's books.
func (f *flight) account(err error) {
	metrics, id := f.model.host.o.Metrics, f.model.entry.ID
	metrics.EndToEnd.WithLabelValues(id).Observe(time.Since(f.accepted).Seconds())
	if err != nil {
		metrics.Failures.WithLabelValues(id, failureLabel(err)).Inc()
		return
	}
	queued, prefill, decode := f.phases()
	metrics.QueueTime.WithLabelValues(id).Observe(queued.Seconds())
	metrics.PrefillTime.WithLabelValues(id).Observe(prefill.Seconds())
	metrics.DecodeTime.WithLabelValues(id).Observe(decode.Seconds())
	metrics.Success.WithLabelValues(id, string(f.finish.Reason)).Inc()
	metrics.PromptTokens.WithLabelValues(id).Add(float64(f.finish.PromptTokens))
}
