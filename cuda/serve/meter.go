package serve

import (
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// meter.go has plans follow what passes take: some passes are measured, the time of the CPU apart from the rest, and so is every large copy of
// weights. What comes of it is reported, and where another plan has turned out to be quicker, that is followed (sdk/plan, measured.go).

const (
	meteredEvery = 8       // passes at first, and sampleEvery later
	meteredRows  = 16      // of a pass at most: prompts read each weight once for many rows
	meteredBytes = 1 << 20 // of a copy at least: a shorter one is mostly latency
	stagedKeep   = 1. / 16 // of what is fetched again and again: if less has been registered since, what there was to expect is so still
)

// meter measures the passes of one model. All its methods may be called of none, which measures nothing.
type meter struct {
	clock clock.Clock
	known func() plan.Input // what there is without measuring, with the budgets of now

	// Of the goroutine that runs steps:
	on          bool // the running pass is measured
	rows, depth int
	cpu         time.Duration // in which the CPU has computed in it
	before      moved
	places      []*place        // of the modules, in the order of the input
	list        []sdk.Placement // of the places, used again
	staged      float64         // plan.Device.Staged, when it had come to be otherwise last

	mu       sync.Mutex
	measured plan.Measured
}

// moved is what has been counted at the beginning of a pass.
type moved struct{ hits, misses, again, sent, waits, prefetches uint64 }

func (c *counts) now() moved {
	return moved{c.hits.Load(), c.misses.Load(), c.again.Load(), c.sent.Load(), c.waits.Load(), c.prefetches.Load()}
}

// newMeter is nil where there is nothing to learn: no device besides the CPU, or one whose rates its owner has told, unless the machine is one that learns
// nevertheless, or that nobody can measure.
func newMeter(devices []cuda.Device, m *Imagined, known func() plan.Input) *meter {
	if len(devices) < 2 {
		return nil
	}
	c := m.clock()
	for _, d := range devices[1:] {
		if d.Kind() != cuda.KindGPU && !m.learns() || played(d, c) {
			return nil
		}
	}
	return &meter{clock: c, known: known}
}

// begin opens a pass of so many rows, with so many positions before each.
func (m *meter) begin(r *residency, rows, depth int) {
	if m == nil {
		return
	}
	m.on = rows <= meteredRows && (r.passes%sampleEvery == 0 || r.passes < sampleEvery && r.passes%meteredEvery == 0)
	m.rows, m.depth, m.cpu, m.before = rows, depth, 0, r.counts.now()
}

// end closes it. The caller has the residency, and no step runs.
func (m *meter) end(r *residency) {
	if m == nil || !m.on {
		return
	}
	m.on = false
	in, now := m.known(), r.counts.now()
	pass := plan.Pass{Rows: m.rows, Depth: m.depth, CPU: m.cpu.Seconds(), Seconds: r.took, Placements: m.where(r, in), Held: r.held(),
		Brought: int(now.sent - m.before.sent), Copied: len(r.coming) > 0 || now.waits != m.before.waits || now.prefetches != m.before.prefetches}
	if hits, all := now.hits-m.before.hits, now.hits-m.before.hits+now.misses-m.before.misses; all > 0 {
		pass.Hits, pass.Again = float64(hits)/float64(all), float64(now.again-m.before.again)/float64(all)
	}
	m.mu.Lock()
	m.measured.Passed(in, pass)
	due := m.measured.Due()
	m.mu.Unlock()
	if other := m.otherwise(in.Devices[len(in.Devices)-1].Staged); due || other {
		m.rethink(r, in, pass)
	}
}

// otherwise says whether so much more goes through pinned memory, or less, than when that was planned with that a plan is to be looked for anew.
func (m *meter) otherwise(staged float64) bool {
	if math.Abs(staged-m.staged) <= stagedKeep && (staged > 0 || m.staged == 0) {
		return false
	}
	m.staged = staged
	return true
}

// rethink looks for a plan anew, and has it followed if it is better than where modules lie.
func (m *meter) rethink(r *residency, in plan.Input, pass plan.Pass) {
	in = m.correct(in)
	made, err := plan.Make(in)
	if err != nil {
		return
	}
	is := plan.Plan{Placements: pass.Placements, Caches: make([]plan.Cache, len(in.Devices)), Through: made.Through}
	for d, held := range pass.Held {
		is.Caches[d] = plan.Cache{Experts: held + r.roomFor(d), Of: r.expertsOf(d)}
	}
	r.bringWorth(in, plan.Caches(in, is, pass.Rows, pass.Depth))
	now, then := plan.Time(in, is, pass.Rows, pass.Depth), plan.Time(in, made, pass.Rows, pass.Depth)
	m.mu.Lock()
	leave := m.measured.Leave(now, then)
	m.mu.Unlock()
	if leave {
		slog.Info("layers move: passes have taken otherwise than rates said", "cpu", m.slower(0), "others", m.slower(1), "now", now, "then", then)
		r.journal.because(r.clock.Now(), "passes have taken otherwise than rates said")
		r.follow()
	}
}

// roomFor is how many more experts of its layers a device will have when nothing is free there.
func (r *residency) roomFor(dev int) int {
	if dev == 0 { // which computes them where they lie
		return 0
	}
	lacks := r.expertsOf(dev) - r.caches[dev].n
	p, u := r.lacking(dev), r.usage(dev)
	if p == nil || u.Budget == 0 {
		return lacks
	}
	return int(min(int64(lacks), max(0, u.Budget-u.Used)/weightBytes(r.devices[dev], p.m)))
}

// where is where the modules of an input are computed.
func (m *meter) where(r *residency, in plan.Input) []sdk.Placement {
	if len(m.places) != len(in.Modules) {
		m.places = nil
		for i := range in.Modules {
			m.places = append(m.places, r.place(in.Modules[i].ID))
		}
	}
	m.list = m.list[:0]
	for _, p := range m.places {
		m.list = append(m.list, sdk.Placement{Module: p.m.ID, Device: r.devices[p.dev].Name(), Streamed: p.streamed})
	}
	return m.list
}

// held is how many experts each device has.
func (r *residency) held() []int {
	list := make([]int, len(r.devices))
	for d, c := range r.caches {
		list[d] = c.n
	}
	return list
}

// expertsOf is how many experts a device's layers have.
func (r *residency) expertsOf(dev int) (n int) {
	for i, p := range r.layers {
		if p.dev == dev {
			n += len(r.experts[i])
		}
	}
	return n
}

// correct is what there is to plan with, now that passes have been measured.
func (m *meter) correct(in plan.Input) plan.Input {
	if m == nil {
		return in
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.measured.Correct(in)
}

// copied takes a copy of weights to a device that has arrived.
func (m *meter) copied(d cuda.Device, t *transfer) {
	if m == nil || t.bytes < meteredBytes || t.took <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measured.Copied(d.Name(), d.Rates().Copy, float64(t.bytes)/t.took.Seconds())
}

// slower is how many times as long as its rates say a device takes, and 0 where nothing is measured.
func (m *meter) slower(dev int) float64 {
	if m == nil {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.measured.Slower(dev)
}

// copyRate is the bytes per second at which weights come to a device; 0 where nothing is measured.
func (m *meter) copyRate(d cuda.Device) float64 {
	if m == nil || cuda.OnHost(d) {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.measured.CopyRate(d.Name(), d.Rates().Copy)
}

// cpuOf is the CPU for steps: what it computes is timed while a pass is measured.
func (m *meter) cpuOf(d cuda.Device) cuda.Device {
	if m == nil {
		return d
	}
	return &metered{d, m}
}

type metered struct {
	cuda.Device
	meter *meter
}

// NewQueue implements cuda.Device.
func (d *metered) NewQueue() cuda.Queue { return &meteredQueue{d.Device.NewQueue(), d.meter} }

type meteredQueue struct {
	cuda.Queue
	meter *meter
}

// Run implements cuda.Queue. The CPU computes at once.
func (q *meteredQueue) Run(op *cuda.Op) {
	if !q.meter.on {
		q.Queue.Run(op)
		return
	}
	began := q.meter.clock.Now()
	q.Queue.Run(op)
	q.meter.cpu += q.meter.clock.Now() - began
}
