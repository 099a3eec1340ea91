package schedule

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
)

// Options of a Host.
type Options struct {
	Config *config.Config
	// Start chooses the plugin for an entry, starts its process and returns when it has shaken hands.
	Start func(ctx context.Context, m config.Model) (Process, error)
	// Mark is a text that changes when what a start of the entry depends on does: checkpoint, plugin, lock. It is taken before
	// each start, and every other second while the next one is waited for. nil: nothing is known to change.
	Mark    func(m config.Model) string
	Log     *slog.Logger       // nil: silent
	Metrics *telemetry.Metrics // nil: its own
	// Machine says how much memory there is for models where no [[device]] does. nil: machine.Read.
	Machine func() machine.Memory
	// Watch looks at the machine's memory while the host runs. nil: nobody does, and nothing is given up when it runs short.
	Watch Watch
	// Cores is how many of the machine's there are for models now. nil: as many as this process may use.
	Cores func() int
	// Notify is told of every change of a model's state and of its progress while loading, in order for each model. It
	// must not block and must not call the Host.
	Notify func(Status)
}

// Host has all models. Its methods may be called concurrently.
type Host struct {
	o Options

	stop     chan struct{} // closed when the processes are to end
	stopOnce sync.Once
	cut      context.Context // ends when requests still running are to fail
	cutNow   context.CancelFunc

	applying sync.Mutex     // held by the one Apply under way
	running  sync.WaitGroup // the supervisors, and Run itself

	memory    *memory
	cores     *coreKeeper
	arbiter   *arbiter
	sequences *sequences
	allotting sync.Mutex // held while an order's bytes of another device are set aside

	making  chan struct{} // has room for one: the model that has others leave
	surveys chan struct{} // has room for those that are asked what they will take

	mu       sync.Mutex
	config   *config.Config
	models   []*model        // in the order of models.toml
	run      context.Context // of the supervisors; nil before Run and after it
	draining bool
	flights  int
	idle     chan struct{} // non-nil while Drain waits; closed when flights is 0
}

// maxSurveys bounds how many plugins run at once only to be asked.
const maxSurveys = 2

// errCut is the cause of a request's end when a drain has run out of time.
var errCut = errors.New("the host is closing")

// New makes a host; nothing runs before Run.
func New(o Options) *Host {
	if o.Log == nil {
		o.Log = telemetry.Discard()
	}
	if o.Metrics == nil {
		o.Metrics = telemetry.New("")
	}
	if o.Mark == nil {
		o.Mark = func(config.Model) string { return "" }
	}
	if o.Machine == nil {
		o.Machine = machine.Read
	}
	if o.Cores == nil {
		o.Cores = func() int { return runtime.GOMAXPROCS(0) } // obeys affinity and a cgroup's share, also when that changes
	}
	if o.Notify == nil {
		o.Notify = func(Status) {}
	}
	h := &Host{o: o, config: o.Config, stop: make(chan struct{}), memory: newMemory(BudgetOf(o.Config, o.Machine()), o.Log), sequences: newSequences(),
		making: make(chan struct{}, 1), surveys: make(chan struct{}, maxSurveys)}
	h.arbiter = newArbiter(h)
	h.cores = newCoreKeeper(o.Cores, o.Metrics, h.arbiter.look)
	h.cut, h.cutNow = context.WithCancel(context.Background())
	given := Budgets(o.Config)
	for _, entry := range o.Config.Models {
		h.models = append(h.models, newModel(h, entry, given[entry.ID]))
		o.Metrics.Touch(entry.ID)
	}
	return h
}

// Run supervises the models until Close or the end of ctx; when it returns, no process is left.
func (h *Host) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, h.halt)()
	h.memory.announce(h.o.Machine().Available)
	h.mu.Lock()
	h.run = ctx
	h.launch(h.models...)
	h.running.Go(func() { h.arbiter.run(ctx) })
	if h.o.Watch != nil {
		q := &squeezer{host: h, watch: h.o.Watch, emptied: map[*life]bool{}}
		h.running.Go(func() { q.run(ctx) })
	}
	h.mu.Unlock()
	<-h.stop
	h.mu.Lock()
	h.run = nil // no model is launched any more
	h.mu.Unlock()
	cancel()
	h.running.Wait()
	h.cutNow()
}

// launch starts models' supervisors if the host runs. Those that are launched together divide memory together. mu is held.
func (h *Host) launch(models ...*model) {
	ctx := h.run
	if ctx == nil {
		return
	}
	for _, m := range models {
		if !m.pushes() {
			h.memory.expect(m)
		}
	}
	for _, m := range models {
		h.running.Go(func() { m.supervise(ctx) })
	}
}

// Config is the configuration that holds now.
func (h *Host) Config() *config.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.config
}

// weightCache is where plugins are to keep weights from their next load on.
func (h *Host) weightCache() sdk.WeightCache { return h.Config().Weights.Kept() }

// Models says how every model stands, in the order of models.toml.
func (h *Host) Models() []Status {
	h.mu.Lock()
	models := slices.Clone(h.models)
	h.mu.Unlock()
	list := make([]Status, len(models))
	for i, m := range models {
		list[i] = m.snapshot()
	}
	return list
}

// Generate produces one answer of the model with that id or alias, across as many lives of its process as it takes.
// send is called from one goroutine at a time and gets every event once; its error ends the answer and is returned.
// Other errors are *UnknownModel, *Unavailable, the plugin's *sdk.Error, or the context's.
func (h *Host) Generate(ctx context.Context, name string, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	return h.serve(ctx, name, func(ctx context.Context, m *model) error { return m.generate(ctx, req, send) })
}

// serve runs one request to a model: none is admitted while the host drains, and each ends when the drain has run out of time.
func (h *Host) serve(ctx context.Context, name string, run func(context.Context, *model) error) error {
	m, err := h.find(name)
	if err != nil {
		return err
	}
	return h.hand(ctx, m, run)
}

// hand is serve for a model that is known.
func (h *Host) hand(ctx context.Context, m *model, run func(context.Context, *model) error) error {
	if !h.takeOff() {
		return m.draining()
	}
	defer h.land()
	ticket, err := m.admit()
	if err != nil {
		return err
	}
	defer m.release(ctx, ticket)
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, ticketKey{}, ticket))
	defer cancel(nil)
	defer context.AfterFunc(h.cut, func() { cancel(errCut) })()
	err = run(ctx, m)
	if err != nil && (errors.Is(context.Cause(ctx), errCut) || h.cut.Err() != nil && ctx.Err() == nil) { // its end may be seen before the cut is
		return m.draining()
	}
	return err
}

// Order has a model's process carry out an order, and returns the report that says so. The order's ID is set here.
func (h *Host) Order(ctx context.Context, name string, o sdk.Order) (sdk.Report, error) {
	m, err := h.find(name)
	if err != nil {
		return sdk.Report{}, err
	}
	r, err := m.order(ctx, o)
	if err == nil && o.Budget != nil {
		m.rule(o.Budget.Device)
	}
	return r, err
}

// Draining says whether Drain or Close was called.
func (h *Host) Draining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.draining
}

// Close admits no request any more, lets those on their way finish until ctx ends, fails the rest, and ends the
// processes. Run returns soon after.
func (h *Host) Close(ctx context.Context) {
	select {
	case <-h.drain():
	case <-ctx.Done():
		h.o.Log.Warn("requests are cut: they did not finish in time")
	}
	h.cutNow()
	h.halt()
}

// halt ends the processes.
func (h *Host) halt() { h.stopOnce.Do(func() { close(h.stop) }) }

// drain refuses new requests and returns a channel that is closed when the last one on its way has ended.
func (h *Host) drain() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
	if h.idle == nil {
		h.idle = make(chan struct{})
		if h.flights == 0 {
			close(h.idle)
		}
	}
	return h.idle
}

func (h *Host) takeOff() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return false
	}
	h.flights++
	return true
}

func (h *Host) land() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flights--
	if h.flights == 0 && h.idle != nil {
		close(h.idle)
	}
}

func (h *Host) find(name string) (*model, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := &UnknownModel{Name: name}
	for _, m := range h.models {
		if m.snapshot().Is(name) {
			return m, nil
		}
		e.Known = append(e.Known, m.entry.ID)
	}
	return nil, e
}

func (m *model) draining() error {
	return &Unavailable{Model: m.entry.ID, State: StateDraining, Reason: "the host is shutting down", RetryAfter: 5 * time.Second}
}
