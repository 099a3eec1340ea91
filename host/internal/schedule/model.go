// model.go is the state of one model that its supervisor and its requests share. Everything behind mu; whoever waits for
// a change takes the channel changed, which is closed at the next one.
package schedule

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
)

type model struct {
	host  *Host
	entry config.Model
	log   *slog.Logger

	mu       sync.Mutex
	changed  chan struct{}
	status   Status
	will     will
	given    []sdk.DeviceBudget // by the division of the devices' memory
	devices  []sdk.DeviceBudget // what the next Load is given: that, or what an operator ordered since
	hungry   bool               // it waits because memory lacked
	life     *life              // nil between two processes
	suspects []*flight          // oldest first; while there are any, one request runs at a time
	flights  uint64             // accepted so far
	poke     chan struct{}      // has room for one: the wait for the next start is to end
	trouble  int                // deaths and failed starts since a request last finished
}

// life is one process from its handshake to its end.
type life struct {
	Process
	orders *orders
	ready  bool            // loaded, and not about to be ended
	hold   context.Context // of the calls of its requests; ends when the host ends the process
	letGo  context.CancelFunc

	aboard map[*flight]bool // requests that were handed to the process and have not ended
	lost   chan struct{}    // closed by the first request that finds the process gone
	buried chan struct{}    // closed when the aboard have been told what the death means for them
	exit   process.Exit     // valid after buried
	once   sync.Once        // of lost
}

func newLife(p Process) *life {
	l := &life{Process: p, aboard: map[*flight]bool{}, lost: make(chan struct{}), buried: make(chan struct{})}
	l.hold, l.letGo = context.WithCancel(context.Background())
	return l
}

// join is a context for a call of the process: it ends with ctx, or when the host ends the process.
func (l *life) join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.hold, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// moves says whether a call failed because the host ends the process: it is to be made of the next one.
func (l *life) moves(err error) bool { return err != nil && l.hold.Err() != nil }

func newModel(h *Host, entry config.Model, devices []sdk.DeviceBudget) *model {
	return &model{
		host: h, entry: entry, will: newWill(), given: devices, devices: devices, log: h.o.Log.With("model", entry.ID), changed: make(chan struct{}), poke: make(chan struct{}, 1),
		status: Status{ID: entry.ID, Aliases: entry.Aliases, State: StateStarting, Since: time.Now()},
	}
}

// change wakes everyone who waits for a change. mu is held.
func (m *model) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// set changes the status and tells the host's listener. Only the supervisor calls it.
func (m *model) set(f func(*Status)) {
	m.mu.Lock()
	before := m.status.State
	f(&m.status)
	if m.status.State != before {
		m.status.Since = time.Now()
		m.gauges()
		m.change()
	}
	m.mu.Unlock()
	m.host.o.Notify(m.snapshot())
}

// gauges shows the state. mu is held.
func (m *model) gauges() {
	metrics := m.host.o.Metrics
	flag := func(on bool) float64 {
		if on {
			return 1
		}
		return 0
	}
	state := m.shown().State
	metrics.Ready.WithLabelValues(m.entry.ID).Set(flag(state == StateReady))
	metrics.Quarantined.WithLabelValues(m.entry.ID).Set(flag(state == StateQuarantined))
}

func (m *model) snapshot() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shown()
}

// report keeps the newest report. Module lists stay out: they answer a query, and only who asked wants them.
func (m *model) report(r sdk.Report) {
	id, metrics := m.entry.ID, m.host.o.Metrics
	metrics.CacheUsage.WithLabelValues(id).Set(r.StateUsed)
	metrics.Moves.WithLabelValues(id).Set(float64(r.Moves))
	metrics.Prefetches.WithLabelValues(id).Set(float64(r.Prefetches))
	metrics.ExpertHits.WithLabelValues(id).Set(float64(r.ExpertHits))
	metrics.ExpertMisses.WithLabelValues(id).Set(float64(r.ExpertMisses))
	metrics.Evictions.WithLabelValues(id).Set(float64(r.Evictions))
	metrics.Seen.WithLabelValues(id).Set(float64(r.PicturesSeen))
	metrics.Reused.WithLabelValues(id).Set(float64(r.PicturesReused))
	for _, d := range r.Devices {
		metrics.DeviceBudget.WithLabelValues(id, d.Name).Set(float64(d.Budget))
		metrics.DeviceUsed.WithLabelValues(id, d.Name).Set(float64(d.Used))
		metrics.DevicePeak.WithLabelValues(id, d.Name).Set(float64(d.Peak))
		metrics.DeviceReal.WithLabelValues(id, d.Name).Set(float64(d.Resident))
	}
	r.Modules, r.Done = nil, nil
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Report = r
}

// order sends an order to the process there is. A budget that was accepted holds for the next process too.
func (m *model) order(ctx context.Context, o sdk.Order) (sdk.Report, error) {
	m.mu.Lock()
	l := m.life
	m.mu.Unlock()
	if l == nil {
		return sdk.Report{}, m.unavailable(time.Second)
	}
	r, err := l.orders.do(ctx, o)
	if err != nil {
		return r, fmt.Errorf("model %s: %w", m.entry.ID, err)
	}
	if o.Budget != nil {
		m.remember(*o.Budget)
	}
	return r, nil
}

func (m *model) remember(b sdk.BudgetOrder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.devices = slices.Clone(m.devices) // a Load under way reads the old one
	for i := range m.devices {
		if m.devices[i].Name == b.Device {
			m.devices[i].Bytes = b.Bytes
		}
	}
}

// board hands the request to a ready process as soon as it may board, and returns that process. A request that has never
// been on board waits until deadline; one that resumes waits as long as the model has hope.
func (m *model) board(ctx context.Context, f *flight, deadline <-chan time.Time) (*life, error) {
	return m.await(ctx, deadline, func(l *life) bool {
		may := m.mayBoard(f, l)
		if may {
			l.aboard[f] = true
		}
		return may
	})
}

// await returns a ready process that suits; suits is called with mu held.
func (m *model) await(ctx context.Context, deadline <-chan time.Time, suits func(*life) bool) (*life, error) {
	for {
		m.mu.Lock()
		l, changed, state := m.life, m.changed, m.status.State
		if l != nil && l.ready && suits(l) {
			m.mu.Unlock()
			return l, nil
		}
		m.mu.Unlock()
		switch state {
		case StateQuarantined:
			return nil, m.unavailable(time.Second)
		case StateStopped:
			return nil, m.unavailable(0)
		}
		select {
		case <-changed:
		case <-deadline:
			return nil, m.unavailable(time.Second)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// mayBoard says whether f may run in l now: together with others as long as nobody is suspected, alone if it is the oldest
// suspect. mu is held.
func (m *model) mayBoard(f *flight, l *life) bool {
	if len(m.suspects) == 0 {
		return true
	}
	return m.suspects[0] == f && len(l.aboard) == 0
}

// leave takes the request off the process it was on, and off the suspects if it has ended.
func (m *model) leave(f *flight, l *life, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l != nil {
		delete(l.aboard, f)
	}
	if ended {
		m.suspects = slices.DeleteFunc(m.suspects, func(s *flight) bool { return s == f })
	}
	m.change()
}

// finished notes that the process has done what it is for.
func (m *model) finished() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trouble = 0
}

// laid lets the requests that were on board go on. mu is held.
func (m *model) laid(l *life) {
	m.life = nil
	close(l.buried)
	m.change()
}

// ended is the end of a life that the host itself has ended: nobody is to blame.
func (m *model) ended(l *life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.exit = l.Exit()
	m.laid(l)
}

// bury ends a life: it draws the consequences of the death for the requests on board, lets them go on, and says how many
// they were.
func (m *model) bury(l *life) (aboard int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.exit = l.Exit()
	for f := range l.aboard {
		f.deaths++
		if len(l.aboard) == 1 {
			f.strikes++
			m.host.o.Metrics.Strikes.WithLabelValues(m.entry.ID).Inc()
		}
		if f.deaths >= 2 && !slices.Contains(m.suspects, f) {
			m.suspects = append(m.suspects, f)
		}
	}
	slices.SortFunc(m.suspects, func(a, b *flight) int { return cmp.Compare(a.number, b.number) })
	m.status.Deaths++
	m.laid(l)
	return len(l.aboard)
}

// unavailable is the error of a request that cannot be served as the model stands.
func (m *model) unavailable(retry time.Duration) error {
	s := m.snapshot()
	e := &Unavailable{Model: s.ID, State: s.State, Reason: s.Reason, RetryAfter: retry}
	switch {
	case s.State == StateRestarting, s.State == StateQuarantined:
		e.RetryAfter = max(retry, time.Until(s.Retry))
	case s.State == StateLoading && s.Progress.Total > 0:
		e.Reason = fmt.Sprintf("%s, %d of %d MB", s.Progress.Stage, s.Progress.Done/1e6, s.Progress.Total/1e6)
	case s.State == StateReady:
		e.Reason = "it runs one request at a time, to find the one that its plugin dies of"
	}
	return e
}
