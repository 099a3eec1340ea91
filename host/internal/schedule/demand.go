// demand.go is when a model is in memory: from the start, or from its first request on; until nobody has asked for it for a while, or
// another needs the room. What a model that is away will take is found out once, so that it is known before it is loaded.
//
// To be called, to be idle and to leave are one decision under the model's mu: a request that comes while its model leaves waits for
// the next process, as after a restart.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// demand is under the model's mu.
type demand struct {
	keep   time.Duration // of its entry: it leaves after so long without a request; less than 0: not by itself
	now    time.Duration // that, or what a request has said since the model was loaded
	pinned bool          // it makes no room for others
	comes  bool          // it may be away, and comes when it is called
	pushes bool          // it has others leave if it does not fit: not so one that is loaded at the start and was never away

	called  bool // it is to be in memory
	scarce  bool // it leaves since the machine runs short of memory
	leaving bool // its process is to end, and its share to be given back
	why     string
	used    time.Time   // when a request last came or ended
	timer   *time.Timer // of its leave; nil: it has never been idle

	tickets uint64 // of the newest request
	giving  bool   // it makes room: requests behind the mark wait, and when those before it have ended it leaves
	mark    uint64
	owed    int // requests before the mark that have not ended
}

var errAway = errors.New("nobody needs the model now") // why a turn ends

func newDemand(entry config.Model) demand {
	d := demand{comes: entry.OnDemand, pushes: entry.OnDemand, called: !entry.OnDemand}
	d.adopt(entry)
	return d
}

// adopt takes what an entry says of it.
func (d *demand) adopt(entry config.Model) {
	d.keep, d.pinned = entry.KeepAlive, entry.Pin
	switch {
	case entry.KeepAlive == 0:
		d.keep = -1
	case entry.KeepAlive < 0:
		d.keep = 0
	}
	d.now = d.keep
	d.comes = d.comes || entry.OnDemand || d.keep >= 0
}

// call has the model loaded. mu is held.
func (m *model) call() {
	if !m.demand.called {
		m.demand.called = true
		m.change()
	}
}

type ticketKey struct{}

// enter counts a request in and gives it a number. mu is held.
func (m *model) enter() uint64 {
	m.will.admitted++
	m.demand.tickets++
	m.demand.used = time.Now()
	m.call()
	return m.demand.tickets
}

// exit counts a request off. mu is held.
func (m *model) exit(ticket uint64) {
	m.will.admitted--
	m.demand.used = time.Now()
	if m.demand.giving && ticket <= m.demand.mark {
		m.demand.owed--
	}
	m.mayLeave()
	m.arm()
	m.change()
}

// lets says whether a request may board although its model makes room. mu is held.
func (m *model) lets(ctx context.Context) bool {
	ticket, _ := ctx.Value(ticketKey{}).(uint64)
	return !m.demand.giving || ticket != 0 && ticket <= m.demand.mark
}

// arm sets the time at which an idle model leaves. mu is held.
func (m *model) arm() {
	d := &m.demand
	switch {
	case m.will.admitted > 0 || d.now < 0:
		if d.timer != nil {
			d.timer.Stop()
		}
	case d.timer == nil:
		d.timer = time.AfterFunc(d.now, m.expire)
	default:
		d.timer.Reset(d.now)
	}
}

// expire has the model leave if nobody has asked for it since the time was set.
func (m *model) expire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := &m.demand
	if m.will.admitted == 0 && d.now >= 0 && time.Since(d.used) >= d.now && !m.comesUp() { // who is loaded has its time from then on
		why := "nobody uses it any more"
		if d.now > 0 {
			why = fmt.Sprintf("nobody has asked for it for %v", d.now)
		}
		m.dismiss(why)
	}
}

// dismiss ends the turn under way for one without a process. mu is held.
func (m *model) dismiss(why string) {
	d := &m.demand
	if !d.called || d.leaving || m.will.wish != wishRun {
		return
	}
	d.called, d.leaving, d.comes, d.pushes, d.why = false, true, true, true, why
	m.will.interrupt(errAway)
	m.change()
}

// give asks the model to leave when those who have asked it so far have their answers. It does if nothing runs.
func (m *model) give() {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := &m.demand
	if !d.giving {
		d.giving, d.mark, d.owed = true, d.tickets, m.will.admitted
	}
	m.mayLeave()
}

// stay takes that back, unless it leaves already.
func (m *model) stay() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.demand.giving && !m.demand.leaving {
		m.demand.giving = false
		m.change()
	}
}

// mayLeave has a model that makes room leave once it can. mu is held.
func (m *model) mayLeave() {
	if d := &m.demand; d.giving && d.owed == 0 && !m.comesUp() {
		m.dismiss("it made room for another model")
	}
}

// comesUp says that the model is on its way into memory. mu is held.
func (m *model) comesUp() bool {
	return m.status.State == StateStarting || m.status.State == StateLoading
}

// settled is what follows a load: an idle model has its time from now on. mu is held.
func (m *model) settled() {
	if m.will.admitted == 0 {
		m.demand.used = time.Now()
	}
	m.mayLeave()
	m.arm()
}

// away is the part of the supervisor for a model that is not called: first it finds out what the model will take.
func (m *model) away(turn context.Context) {
	if !m.surveyed {
		m.surveyed = true
		if err := m.survey(turn); err != nil && turn.Err() == nil {
			m.log.Warn("the model would not be loaded if somebody asked for it now", "error", err)
			m.set(func(s *Status) { s.Reason = err.Error() })
		}
	}
	for {
		m.mu.Lock()
		called, changed := m.demand.called, m.changed
		m.mu.Unlock()
		if called {
			return
		}
		select {
		case <-changed:
		case <-turn.Done():
			return
		}
	}
}

// leaves says whether the model is to leave.
func (m *model) leaves() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.demand.leaving
}

func (m *model) isCalled() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.demand.called
}

// unloaded is the end of a leave: the share goes back.
func (m *model) unloaded() {
	m.mu.Lock()
	forAnother, scarce := m.demand.giving, m.demand.scarce
	m.mu.Unlock()
	if m.host.memory.leave(m, scarce) && !forAnother { // who waits for the room takes it
		m.host.freed(m)
	}
	m.set(func(s *Status) {
		d := &m.demand
		s.State, s.Reason, s.PID, s.Retry, s.Report, s.Progress = StateUnloaded, d.why, 0, time.Time{}, sdk.Report{}, sdk.Progress{}
		d.leaving, d.giving, d.scarce, d.owed, d.now = false, false, false, 0, d.keep
		m.hopeless = false
	})
	m.vacate()
	m.log.Info("the model was unloaded", "why", m.snapshot().Reason)
}

// survey asks a process of the model's plugin what the checkpoint takes, and ends it.
func (m *model) survey(ctx context.Context) error {
	slot := turn{all: m.host.surveys}
	if err := slot.take(ctx); err != nil {
		return err
	}
	defer slot.yield()
	p, err := m.host.o.Start(ctx, m.entry)
	if err != nil {
		return err
	}
	l := newLife(p)
	defer l.letGo(nil)
	defer m.end(l)
	d, err := l.Describe(ctx)
	if err != nil {
		return fmt.Errorf("its plugin does not describe itself: %w", err)
	}
	in, err := m.inspect(ctx, l)
	if err != nil {
		return err
	}
	need := sdkplan.NeedOf(in.Table, m.entry.Inspect()).WithSpill(m.entry.Spill())
	m.host.memory.know(m, need)
	m.set(func(s *Status) { s.Description, s.Path = d, l.Path() })
	if !need.Known() {
		return nil
	}
	m.log.Info("what the model takes when it is loaded", "least", sdkplan.Size(need.Least()), "wanted", sdkplan.Size(need.Wanted()))
	return m.host.memory.tooLarge(need)
}

type keepKey struct{}

// KeepAlive is a context for a request after which its model stays for so long without another, until it is unloaded; less than 0: it
// does not leave by itself, 0: it leaves when nobody uses it any more.
func KeepAlive(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, keepKey{}, d)
}

// kept takes what a request has said of it. mu is held.
func (m *model) kept(ctx context.Context) {
	if d, ok := ctx.Value(keepKey{}).(time.Duration); ok {
		m.demand.now = d
		m.demand.comes = m.demand.comes || d >= 0
	}
}

// Load has the model with that id or alias loaded, and returns when it is; errors are those of Generate.
func (h *Host) Load(ctx context.Context, name string) error {
	return h.serve(ctx, name, func(ctx context.Context, m *model) error {
		timer := time.NewTimer(h.Config().Server.Wait)
		defer timer.Stop()
		_, err := m.await(ctx, timer.C, func(*life) bool { return true })
		return err
	})
}

// Unload has the model leave as soon as those who have asked it so far have their answers. It comes again when it is asked for.
func (h *Host) Unload(name string) error {
	m, err := h.find(name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.demand.now, m.demand.comes = 0, true; m.will.admitted == 0 {
		m.dismiss("it was told to leave")
	}
	return nil
}
