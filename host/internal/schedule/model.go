// model.go is the state of one model that its supervisor and its requests share. Everything behind mu; whoever waits for
// a change takes the channel changed, which is closed at the next one.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
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
	ruled    map[string]bool    // devices whose budget an operator has ordered: the arbiter leaves them alone
	hungry   bool               // it waits because memory lacked
	hopeless bool               // in quarantine: for what does not pass by itself
	life     *life              // nil between two processes
	asking   chan struct{}      // holds one token while a question that is suspected is asked; see ask.go
	suspects []*flight          // in the order of their turns; see blame.go
	patience int                // deaths near a request before it is suspected
	flying   int                // requests that have not ended
	flights  uint64             // accepted so far
	poke     chan struct{}      // has room for one: the wait for the next start is to end
	readied  int                // the last of its starts after which it was ready
	trouble  int                // deaths and failed starts since a process last gave a token
	demand   demand
	pace     pace
	surveyed bool           // of the supervisor
	outline  sdk.LayerTable // what it is expected to be when it is loaded; no modules: unknown
	reported time.Time      // when the newest report came
}

// life is one process from its handshake to its end.
type life struct {
	Process
	orders *orders
	ready  bool            // loaded, and not about to be ended
	nice   int             // what its process was told
	hold   context.Context // of the calls of its requests; ends when the host ends the process
	letGo  context.CancelCauseFunc

	aboard    map[*flight]bool       // requests that were handed to the process and have not ended
	tokens    int                    // that it has given
	waiting   int                    // of those aboard, as its newest report says
	pulse     pulse                  // when it last showed that its work advances
	accused   int                    // questions under way that are suspected; see ask.go
	guiltless bool                   // it died, and nobody on board was suspected; valid after buried
	doom      atomic.Pointer[string] // why the host killed it, nil if it did not

	counted  telemetry.Counts // of its newest report; this and the next are of the goroutine that reads the reports
	stranger bool             // it was told that they have devices that are not the entry's
	lost     chan struct{}    // closed by the first request that finds the process gone
	buried   chan struct{}    // closed when the aboard have been told what the death means for them
	exit     process.Exit     // valid after buried
	once     sync.Once        // of lost

	weights   string     // by their name; after Load
	computing int        // calls under way that compute and are no requests: of sequences, for vectors
	outdated  chan error // gets why the host is to replace the process
	outdating sync.Once
}

func newLife(p Process) *life {
	l := &life{Process: p, aboard: map[*flight]bool{}, lost: make(chan struct{}), buried: make(chan struct{}), outdated: make(chan error, 1)}
	l.hold, l.letGo = context.WithCancelCause(context.Background())
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

// moves says whether a call failed because the host ends the process, or has buried it: it is to be made of the next one.
func (l *life) moves(err error) bool { return err != nil && l.hold.Err() != nil }

// errReplaced is why the calls of a process end that the host ends.
var errReplaced = errors.New("the host ends the process")

// died says whether a call failed because the process died by itself. Once that is buried the calls are let go, too.
func (l *life) died(err error) bool {
	return err != nil && context.Cause(l.hold) != errReplaced && (errors.Is(err, client.ErrGone) || l.hold.Err() != nil)
}

func newModel(h *Host, entry config.Model, devices []sdk.DeviceBudget) *model {
	state, given := StateStarting, devices
	if entry.OnDemand {
		state, devices = StateUnloaded, vacated(given, nil)
	}
	return &model{
		patience: firstPatience,
		asking:   make(chan struct{}, 1),
		demand:   newDemand(entry),
		host:     h, entry: entry, will: newWill(), given: given, devices: devices, log: h.o.Log.With("model", entry.ID), changed: make(chan struct{}), poke: make(chan struct{}, 1),
		status: Status{ID: entry.ID, Aliases: entry.Aliases, State: state, Since: time.Now()},
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
	s := m.shown()
	metrics.Ready.WithLabelValues(m.entry.ID).Set(flag(s.Ready()))
	metrics.Quarantined.WithLabelValues(m.entry.ID).Set(flag(s.State == StateQuarantined))
}

func (m *model) snapshot() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shown()
}

// report keeps the newest report of l and returns it as far as it may be believed. Module lists stay out of what is kept: they
// answer a query, and only who asked wants them. An answer to an order that tells nothing else leaves what is kept: orders for cores are answered so,
// beside the plugin.
func (m *model) report(l *life, r sdk.Report) sdk.Report {
	r = m.believe(l, r)
	if bare(r) {
		return r
	}
	id, metrics := m.entry.ID, m.host.o.Metrics
	metrics.CacheUsage.WithLabelValues(id).Set(r.StateUsed)
	l.counted = metrics.Grow(id, l.counted, telemetry.Counts{
		Moves: r.Moves, Prefetches: r.Prefetches, Evictions: r.Evictions, ExpertHits: r.ExpertHits, ExpertMisses: r.ExpertMisses,
		Seen: r.PicturesSeen, Reused: r.PicturesReused,
		Preemptions: r.Preemptions, PrefixQueries: r.Prefix.Queried, PrefixHits: r.Prefix.Found, PrefixThrown: r.Prefix.Thrown,
		Resumed: r.Spill.Resumed, SpillOut: r.Spill.Out, SpillBack: r.Spill.Back, SpillDropped: r.Spill.Dropped, SpillSaved: r.Spill.Saved,
	})
	metrics.SpillBudget.WithLabelValues(id).Set(float64(r.Spill.Budget))
	metrics.SpillUsed.WithLabelValues(id).Set(float64(r.Spill.Used))
	metrics.PrefixKept.WithLabelValues(id).Set(float64(r.Prefix.Kept))
	metrics.Fetched.WithLabelValues(id).Set(float64(r.Fetched))
	metrics.Registered.WithLabelValues(id).Set(float64(r.Registered))
	for _, d := range r.Devices {
		metrics.DeviceBudget.WithLabelValues(id, d.Name).Set(float64(d.Budget))
		metrics.DeviceUsed.WithLabelValues(id, d.Name).Set(float64(d.Used))
		metrics.DevicePeak.WithLabelValues(id, d.Name).Set(float64(d.Peak))
		metrics.DeviceReal.WithLabelValues(id, d.Name).Set(float64(d.Resident))
	}
	kept := r
	kept.Modules, kept.Done = nil, nil
	m.mu.Lock()
	defer m.mu.Unlock()
	l.pulse.told(r.Progress)
	l.waiting = r.Waiting
	m.count()
	m.status.Report, m.reported = kept, time.Now()
	if tellsOfOthers(r) {
		m.host.arbiter.look()
	}
	l.misses(r)
	return r
}

// order sends an order to the process there is. A budget that was accepted holds for the next process too.
func (m *model) order(ctx context.Context, o sdk.Order) (sdk.Report, error) {
	m.mu.Lock()
	l := m.life
	m.mu.Unlock()
	if l == nil {
		return sdk.Report{}, m.unavailable(time.Second)
	}
	bytes := noAllotment()
	if o.Budget != nil {
		var err error
		if bytes, err = m.allot(*o.Budget); err != nil {
			return sdk.Report{}, err
		}
	}
	limit, grace := within(ctx, o)
	ctx, cancel := context.WithTimeout(ctx, limit+grace)
	defer cancel()
	r, err := l.orders.do(ctx, o)
	if errors.Is(err, context.DeadlineExceeded) {
		err = &Unanswered{limit}
	}
	var silent *Unanswered
	switch {
	case errors.As(err, &silent), errors.Is(err, context.Canceled):
		bytes.silent()
		return r, fmt.Errorf("model %s: %w", m.entry.ID, err)
	case err != nil:
		bytes.refused()
		return r, fmt.Errorf("model %s: %w", m.entry.ID, err)
	}
	bytes.obeyed(reached(o, r))
	if o.Budget != nil {
		m.host.freed(m)
	}
	return r, nil
}

// reached is the budget that an order which was carried out has come to: one that was to be obeyed as far as that can be may have stopped early.
func reached(o sdk.Order, r sdk.Report) int64 {
	if o.Budget == nil {
		return 0
	}
	if o.Budget.AsFar {
		for _, d := range r.Devices {
			if d.Name == o.Budget.Device {
				return max(o.Budget.Bytes, d.Budget)
			}
		}
	}
	return o.Budget.Bytes
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
// been on board waits until deadline, which is nil for one that resumes: that waits as long as the model has hope.
func (m *model) board(ctx context.Context, f *flight, deadline <-chan time.Time) (*life, error) {
	return m.await(ctx, deadline, func(l *life) bool {
		may := m.mayBoard(f, l)
		if may {
			l.aboard[f] = true
			f.gained, f.joined, f.sending, f.context = 0, l.tokens, false, m.status.Table.Context
			if f.first.IsZero() {
				f.boarded = time.Now()
			}
			l.pulse.beat()
			m.count()
		}
		return may
	})
}

// await returns a ready process that suits; suits is called with mu held. Without a deadline it waits on in quarantine, if what
// led there may pass, as long as others wait for a model that loads.
func (m *model) await(ctx context.Context, deadline <-chan time.Time, suits func(*life) bool) (*life, error) {
	resumes := deadline == nil
	tell, done := waits(ctx)
	defer done()
	for {
		m.mu.Lock()
		if m.will.wish == wishRun {
			m.call()
		}
		l, changed, state, hopeless := m.life, m.changed, m.status.State, m.hopeless
		if l != nil && l.ready && m.lets(ctx) && suits(l) {
			m.mu.Unlock()
			return l, nil
		}
		m.mu.Unlock()
		switch {
		case state == StateStopped:
			return nil, m.unavailable(0)
		case state == StateQuarantined && (hopeless || !resumes):
			return nil, m.unavailable(time.Second)
		case state == StateQuarantined && deadline == nil:
			timer := time.NewTimer(m.host.Config().Server.Wait)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-changed:
		case <-tell:
			Waiting(ctx, m.snapshot())
		case <-deadline:
			return nil, m.unavailable(time.Second)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// leave takes the request off the process it was on, and off the suspects if it has ended.
func (m *model) leave(f *flight, l *life, ended bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l != nil {
		delete(l.aboard, f)
	}
	if ended {
		m.flying--
		m.dropSuspect(f)
	}
	m.count()
	m.change()
}

// laid lets the requests that were on board go on. mu is held.
func (m *model) laid(l *life) {
	m.life = nil
	m.host.cores.leave(l)
	m.host.o.Metrics.Gone(m.entry.ID)
	m.status.Silent = time.Time{}
	close(l.buried)
	m.count()
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
	l.guiltless = l.accused == 0 && !slices.ContainsFunc(m.suspects, func(f *flight) bool { return l.aboard[f] })
	m.blame(l)
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
		e.Reason = stage(s.Progress)
	case s.State == StateReady && !s.Silent.IsZero():
		e.Reason = s.silence()
	case s.State == StateUnloading, s.State == StateUnloaded, s.State == StateReady && s.giving:
		e.Reason = "it makes room for another model, and is loaded again after that"
	case s.State == StateReady:
		e.Reason = "it runs one request at a time, to find the one that its plugin dies of"
	}
	return e
}
