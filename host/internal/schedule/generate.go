// generate.go is the way of one request: it boards a process, and when that dies, the next one, until it has its finish.
package schedule

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// flight is one request on its way. What a resume needs is written by its own goroutine; deaths and strikes belong to the
// model, under its mu.
type flight struct {
	model *model
	req   sdk.GenerateRequest
	send  func(sdk.Event) error

	number uint64 // order of acceptance
	conduct
	sending bool // the client is being sent an event: it is not the plugin that is waited for

	context int    // positions of the model
	weights string // that the answer was begun with
	text    int    // bytes received beyond what the tokens explain; see hold.go
	start   *sdk.Start
	ids     []int32
	finish  *sdk.Finish
	sendErr error      // of the receiver: ends the request, whatever the plugin says
	span    trace.Span // that the request is part of; it does nothing if there is none

	times
}

func (m *model) generate(ctx context.Context, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	f := &flight{model: m, req: req, send: send, span: trace.SpanFromContext(ctx), times: times{accepted: time.Now()}}
	if r := req.Resume; r != nil { // whoever asks has had a start, and what came then
		f.start, f.ids = &sdk.Start{Prompt: r.Prompt, InReasoning: r.InReasoning}, slices.Clone(r.Generated)
	}
	m.mu.Lock()
	m.flights++
	m.flying++
	f.number = m.flights
	m.count()
	m.mu.Unlock()
	err := f.fly(ctx)
	m.leave(f, nil, true)
	f.account(err)
	return err
}

// fly takes the request through as many processes as it needs.
func (f *flight) fly(ctx context.Context) error {
	timer := time.NewTimer(f.model.host.Config().Server.Wait)
	defer timer.Stop()
	deadline := timer.C
	for {
		l, err := f.model.board(ctx, f, deadline)
		if err != nil {
			return err
		}
		if err := f.tie(l); err != nil {
			f.model.leave(f, l, false)
			return err
		}
		deadline = nil // whoever has been on board waits for the next process as long as there is hope
		call, done := l.join(ctx)
		err = l.Generate(call, f.resume(), func(e sdk.Event) error { return f.receive(l, e) })
		done()
		if outdates(err) && f.sendErr == nil && ctx.Err() == nil {
			told := err
			if err = f.model.outdate(ctx, l, told); err == nil && f.begun() && !forsakes(told) {
				err = told
			}
			if err != nil {
				f.model.leave(f, l, false)
				return err
			}
			continue
		}
		switch {
		case f.finish != nil, f.sendErr != nil, ctx.Err() != nil, !l.moves(err) && !errors.Is(err, client.ErrGone):
			f.model.leave(f, l, false)
			return f.verdict(ctx, err)
		}
		if err := f.mourn(ctx, l); err != nil {
			return err
		}
	}
}

// verdict is the error of a request that ended in a living process.
func (f *flight) verdict(ctx context.Context, err error) error {
	switch {
	case f.sendErr != nil:
		return f.sendErr
	case f.finish != nil:
		return nil // if the process died after the finish, it does not matter
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		return sdk.Errorf(sdk.ReasonInternal, "the plugin ended the answer without a finish")
	}
	return err
}

// mourn waits until the death of l has been understood, and fails if this request is to blame.
func (f *flight) mourn(ctx context.Context, l *life) error {
	if f.died.IsZero() { // a process that dies before it says anything makes the pause longer
		f.died = time.Now()
	}
	f.moved = !f.first.IsZero()
	if err := f.model.gone(ctx, l); err != nil {
		f.model.leave(f, l, false)
		return err
	}
	f.model.mu.Lock()
	c := f.conduct
	f.model.mu.Unlock()
	if c.guilty() {
		return sdk.Errorf(sdk.ReasonInternal, "the plugin died %d times of this request, the last time after %d tokens: it %s",
			maxStrikes, len(f.ids), l.end())
	}
	prompt := 0
	if f.start != nil {
		prompt = len(f.start.Prompt)
	}
	f.model.log.Info("a request goes on in the next process", "request", f.req.ID, "prompt", prompt, "tokens", len(f.ids), "deaths", c.deaths, "strikes", c.strikes)
	f.model.host.o.Metrics.Resumes.WithLabelValues(f.model.entry.ID).Inc()
	Paused(ctx)
	return nil
}

// resume is the request as the next process gets it: the original one if nothing was heard of it yet.
func (f *flight) resume() sdk.GenerateRequest {
	req := f.req
	if f.start != nil {
		req.Resume = &sdk.Resume{Prompt: f.start.Prompt, Generated: f.ids, InReasoning: f.start.InReasoning}
	}
	return req
}

// receive notes what a resume needs and passes the event of l on. What the receiver has already had, or was not asked for, is a
// plugin's mistake and must not reach it.
func (f *flight) receive(l *life, e sdk.Event) error {
	if err := f.hold(e); err != nil {
		f.model.log.Warn("an answer was ended: its plugin broke its contract", "request", f.req.ID, "error", err)
		return err
	}
	switch {
	case e.Start != nil:
		f.start = e.Start
	case e.Token != nil:
		f.ids = append(f.ids, e.Token.ID)
	case e.Finish != nil:
		f.finish = e.Finish
	}
	f.model.heard(f, l, e)
	f.measure(e)
	f.sendErr = f.send(e)
	f.model.sent(f, l)
	return f.sendErr
}

// failureLabel is the reason of a failed request as a metric's label.
func failureLabel(err error) string {
	var gone *Unavailable
	var told *sdk.Error
	switch {
	case errors.As(err, &gone):
		return "unavailable"
	case errors.As(err, &told):
		if told.Reason.Known() { // a plugin may invent others, and each would be a series of its own
			return strings.ToLower(string(told.Reason))
		}
		return "other"
	case errors.Is(err, context.Canceled), errors.Is(err, errCut):
		return "cancelled"
	}
	return "other"
}
