// control.go is what an operator wants of a model: that it stops, starts or restarts, or is taken out. The wish is written
// down and the turn under way is ended; the supervisor does the rest.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// wish is what is wanted of a model.
type wish int

const (
	wishRun  wish = iota
	wishStop      // until it is told to start
	wishEnd       // its entry is gone from models.toml
)

// will is what is wanted of a model, and what is under way on account of it.
type will struct {
	wish wish
	why  string // it is stopped

	leaving   wish // what it will be when those that were admitted have finished; wishRun: nothing is under way
	since     time.Time
	orders    int // so far: a drain that another order has overtaken gives up
	admitted  int // requests that have not ended
	interrupt context.CancelCauseFunc
}

var (
	errOrder     = errors.New("an operator's order") // why a turn ends
	errOvertaken = errors.New("another order came before this one was carried out")
)

func newWill() will { return will{interrupt: func(error) {}} }

// turn is a context for what the supervisor does next, which an order ends, what is wanted of it, and why.
func (m *model) turn(ctx context.Context) (context.Context, wish, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.will.interrupt(nil) // the last one is over
	ctx, m.will.interrupt = context.WithCancelCause(ctx)
	return ctx, m.will.wish, m.will.why
}

// wants ends the turn under way for another one. mu is held.
func (m *model) wants(w wish) {
	m.will.wish, m.will.leaving, m.trouble = w, wishRun, 0
	if w == wishRun {
		m.will.why = ""
	}
	m.will.interrupt(errOrder)
	m.gauges()
	m.change()
}

// admit counts a request in, unless the model is on its way out, and has the model loaded. ticket is for release.
func (m *model) admit() (ticket uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.will.wish != wishRun || m.will.leaving != wishRun {
		s := m.shown()
		return 0, &Unavailable{Model: s.ID, State: s.State, Reason: s.Reason}
	}
	return m.enter(), nil
}

// release counts a request off that ticket was given for.
func (m *model) release(ctx context.Context, ticket uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept(ctx)
	m.exit(ticket)
}

// shown is the status as the outside sees it. mu is held.
func (m *model) shown() Status {
	s := m.status
	if m.life != nil {
		s.Cores = m.host.cores.share(m.life)
	}
	d := &m.demand
	s.OnDemand, s.Pinned, s.Used, s.giving, s.Rate = d.comes, d.pinned, d.used, d.giving, m.pace.rate(time.Now())
	s.Share, _, _ = m.host.memory.held(m)
	if s.State == StateReady && m.will.admitted == 0 && d.now >= 0 {
		s.Until = d.used.Add(d.now)
	}
	if m.will.leaving != wishRun || m.will.wish != wishRun && s.State != StateStopped {
		s.State, s.Reason, s.Since = StateDraining, m.will.why, m.will.since
	}
	return s
}

// begin makes the model run: at once if it waits or is stopped, and anew if again says so. It returns the number of the
// start to wait for.
func (m *model) begin(again bool) (start int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.will.wish == wishEnd || m.will.leaving == wishEnd {
		s := m.shown()
		return 0, &Unavailable{Model: s.ID, State: s.State, Reason: s.Reason}
	}
	m.will.orders++
	waits := m.status.State == StateRestarting || m.status.State == StateQuarantined || !m.demand.called
	if again || waits || m.will.wish != wishRun {
		m.demand.called = true
		m.wants(wishRun)
		return m.status.Starts + 1, nil
	}
	m.will.leaving = wishRun // a drain is overtaken; what runs goes on
	m.gauges()
	m.change()
	return m.status.Starts, nil
}

// retire refuses new requests, gives those that were admitted until limit, and ends the process; the rest have no next one. It returns
// when no process is left. The end of ctx ends only the waiting.
func (m *model) retire(ctx context.Context, w wish, why string, limit time.Duration) error {
	m.mu.Lock()
	if w != wishEnd && (m.will.wish == wishEnd || m.will.leaving == wishEnd) {
		m.mu.Unlock()
		return errOvertaken
	}
	m.will.orders++
	mine := m.will.orders
	m.will.leaving, m.will.why, m.will.since = w, why, time.Now()
	m.gauges()
	m.change()
	m.mu.Unlock()
	done := make(chan error, 1)
	go func() { done <- m.drain(mine, limit) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drain is the part of retire that goes on when whoever gave the order has left.
func (m *model) drain(mine int, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	_ = m.until(ctx, func() bool { return m.will.admitted == 0 || m.will.orders != mine }) // out of time: they are cut
	m.mu.Lock()
	if m.will.orders != mine {
		m.mu.Unlock()
		return errOvertaken
	}
	if m.will.admitted > 0 {
		m.log.Warn("requests are cut: they did not finish in time", "requests", m.will.admitted, "limit", limit)
	}
	m.wants(m.will.leaving)
	m.mu.Unlock()
	err := m.until(context.Background(), func() bool { return m.status.State == StateStopped || m.will.orders != mine })
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && m.will.orders != mine {
		return errOvertaken
	}
	return err
}

// settle waits until the start-th start or a later one has come to an end: ready, even if it has left again by now, or given up for now.
func (m *model) settle(ctx context.Context, start int) error {
	ready := false
	err := m.until(ctx, func() bool {
		s := m.status
		ready = m.readied >= start
		return ready || s.State == StateQuarantined && s.Starts >= start || m.will.wish != wishRun || s.State == StateUnloaded && !m.demand.called
	})
	if err != nil || ready {
		return err
	}
	return m.unavailable(0)
}

// until waits for a change after which done holds; done is called with mu held.
func (m *model) until(ctx context.Context, done func() bool) error {
	for {
		m.mu.Lock()
		ready, changed := done(), m.changed
		m.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-m.host.stop:
			return fmt.Errorf("model %s: %w", m.entry.ID, errCut)
		}
	}
}

// StartModel ends a model's wait for its next start, or the time for which it was stopped, and returns when it is ready. A
// model that is ready already is left alone. If it does not become ready the error is an *Unavailable.
func (h *Host) StartModel(ctx context.Context, name string) error { return h.begin(ctx, name, false) }

// RestartModel gives a model a new process: of the binary that lies there and is locked now. The requests on board go on in
// it. It returns as StartModel does.
func (h *Host) RestartModel(ctx context.Context, name string) error { return h.begin(ctx, name, true) }

func (h *Host) begin(ctx context.Context, name string, again bool) error {
	m, err := h.find(name)
	if err != nil {
		return err
	}
	start, err := m.begin(again)
	if err != nil {
		return err
	}
	m.log.Info("an operator starts the model", "anew", again)
	return m.settle(ctx, start)
}

// StopModel lets a model's requests finish within server.drain, then ends its process, and returns when it is gone. The model
// stays stopped until StartModel or RestartModel, or the end of the host.
func (h *Host) StopModel(ctx context.Context, name string) error {
	m, err := h.find(name)
	if err != nil {
		return err
	}
	m.log.Info("an operator stops the model")
	why := fmt.Sprintf("an operator stopped it; `piohost start %s` starts it again", m.entry.ID)
	return m.retire(ctx, wishStop, why, h.Config().Server.Drain)
}
