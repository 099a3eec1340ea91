// squeeze.go answers to a machine that runs short of memory: other programs take it, or its cgroup's limit is lowered. Before the system kills
// somebody the models give up what they can do without, then idle ones leave, the least recently used first, until they are asked for again;
// and when there has been enough for a while they have their budgets back.
package schedule

import (
	"context"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

const (
	// squeezeEvery is how often the machine is looked at while something may happen. What is to be done follows at once.
	squeezeEvery = 200 * time.Millisecond
	// squeezeCalm is how seldom it is looked at when nothing can happen before.
	squeezeCalm = time.Second
	// squeezeTime is how long a model may take to give something up: the rest of a layer.
	squeezeTime = 2 * time.Second
	// squeezeRest is how long after something was given up it shows in what the machine has.
	squeezeRest = 300 * time.Millisecond
	// squeezeEase is how long there must have been enough before somebody has his budget back.
	squeezeEase = 10 * time.Second
	// stalledMost is the part of the time that processes may stand still for lack of memory.
	stalledMost = .25
)

// marks are what is to be available of a machine: below low something is given up until there is high. Between the two nothing happens. Both are
// parts of the reserve that models are never given.
func marks(m machine.Memory) (low, high int64) {
	reserve := m.Total - m.Usable()
	return reserve / 4, reserve / 2
}

// lacking is how many bytes the models, which are promised so many, are to give up; 0 also where the system does not tell.
func lacking(s machine.Strain, promised int64) int64 {
	low, high := marks(s.Memory)
	switch {
	case s.Available < low:
		return high - s.Available
	case stalled(s, promised) > stalledMost:
		return high - low
	}
	return 0
}

// plenty says whether there is enough to give something back.
func plenty(s machine.Strain, promised int64) bool {
	_, high := marks(s.Memory)
	return s.Available >= high+high/2 && stalled(s, promised) < stalledMost/4
}

// stalled is the part of the time for which the models' memory may be the reason. The pages of mapped weights count as available, so that only
// stalls tell when these are dropped and read again. Where there is enough even without all that models may have, somebody else reads large files,
// and waits for the pages of those that were read before.
func stalled(s machine.Strain, promised int64) float64 {
	if _, high := marks(s.Memory); s.Available-promised >= high {
		return 0
	}
	return s.Stalled
}

// Watch looks at a machine's memory, as a machine.Watch does.
type Watch interface {
	Look(now time.Time) machine.Strain
	// Changes sends when a limit was changed, until ctx ends. nil: nobody tells.
	Changes(ctx context.Context) <-chan struct{}
	// Lasts is for how long so many bytes last at least.
	Lasts(bytes int64) time.Duration
}

// squeezer is the goroutine's state.
type squeezer struct {
	host    *Host
	watch   Watch
	changes <-chan struct{} // of limits; nil: nobody tells of them

	strained bool
	enough   time.Time      // since when there is enough again; zero: there is not
	emptied  map[*life]bool // processes that have nothing more to give up
	told     bool           // that nobody has
	done     chan struct{}  // of the squeeze under way; nil: there is none
	rest     time.Time      // until when no other one begins
}

// run looks until ctx ends.
func (q *squeezer) run(ctx context.Context) {
	q.changes = q.watch.Changes(ctx)
	next := time.NewTimer(squeezeEvery)
	defer next.Stop()
	for {
		select {
		case now := <-next.C:
			next.Reset(q.see(ctx, now))
		case <-q.changes:
			next.Reset(q.see(ctx, time.Now()))
		case <-q.done:
			q.done, q.rest = nil, time.Now().Add(squeezeRest)
		case <-ctx.Done():
			if q.done != nil {
				<-q.done
			}
			return
		}
	}
}

// see looks at the machine, begins what is to be done, and says when to look again.
func (q *squeezer) see(ctx context.Context, now time.Time) (next time.Duration) {
	s := q.watch.Look(now)
	if s.Total > 0 {
		q.weigh(ctx, now, s)
	}
	return q.pause(s)
}

// pause is for how long nobody need look: memory does not run short before, a limit that is lowered is told, and no model stands still for pages.
func (q *squeezer) pause(s machine.Strain) time.Duration {
	if q.changes == nil || q.strained || q.host.works() {
		return squeezeEvery
	}
	_, high := marks(s.Memory)
	return min(squeezeCalm, max(squeezeEvery, q.watch.Lasts(s.Available-high)))
}

// works says whether a request is under way.
func (h *Host) works() bool {
	h.mu.Lock()
	models := slices.Clone(h.models)
	h.mu.Unlock()
	return slices.ContainsFunc(models, func(m *model) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.will.admitted > 0
	})
}

// weigh begins what is to be done.
func (q *squeezer) weigh(ctx context.Context, now time.Time, s machine.Strain) {
	h := q.host
	if h.memory.rebase(BudgetOf(h.Config(), s.Memory)) {
		h.freed(nil)
	}
	promised := h.memory.promised()
	lack := max(lacking(s, promised), h.memory.over())
	_, high := marks(s.Memory)
	switch {
	case lack > 0:
		if !q.strained {
			h.o.Log.Warn("the machine runs short of memory; the models give way", "available", sdkplan.Size(s.Available), "of", sdkplan.Size(s.Total),
				"from", s.From, "stalled", s.Stalled, "lacking", sdkplan.Size(lack))
		}
		q.strained, q.enough = true, time.Time{}
		h.memory.strain(s.Available - high)
		if q.done == nil && !now.Before(q.rest) {
			shares := lacking(s, promised) == 0
			q.begin(func() { q.squeeze(ctx, lack, shares) })
		}
	case !q.strained:
	case !plenty(s, promised):
		q.enough = time.Time{}
		h.memory.strain(s.Available - high)
	case q.enough.IsZero():
		q.enough = now
	case now.Sub(q.enough) >= squeezeEase && q.done == nil:
		q.ease(ctx, s)
	}
}

func (q *squeezer) begin(f func()) {
	done := make(chan struct{})
	q.done = done
	go func() {
		defer close(done)
		f()
	}()
}

// squeeze has models give up so many bytes: first what each can do without, in the order in which they would leave; then one of them leaves.
// shares says that they lack of what is promised, which is perhaps not used.
func (q *squeezer) squeeze(ctx context.Context, lack int64, shares bool) {
	list := q.host.loaded(nil)
	for _, m := range q.host.givers(list) {
		if lack -= q.give(ctx, m, lack, shares); lack <= 0 {
			return
		}
	}
	if going := idle(list, lack); len(going) > 0 {
		going[0].model.cede()
		return
	}
	if !q.told {
		q.told = true
		q.host.o.Log.Warn("memory is short and no model has anything more to give up: each is in use or pinned", "lacking", sdkplan.Size(lack))
	}
}

// give has a model give up what it can of so many bytes, and says how much that was.
func (q *squeezer) give(ctx context.Context, m *model, lack int64, shares bool) int64 {
	l, has := m.usedOn(cpu)
	share, _, _ := q.host.memory.held(m)
	if shares {
		has = share
	}
	if l == nil || has == 0 || q.emptied[l] {
		return 0
	}
	limited, cancel := context.WithTimeout(ctx, squeezeTime)
	defer cancel()
	target := max(0, has-lack)
	r, err := m.order(limited, sdk.Order{Budget: &sdk.BudgetOrder{Device: cpu, Bytes: target, Deadline: squeezeTime, AsFar: true}})
	if err != nil {
		q.emptied[l] = true
		m.log.Info("the model gives nothing up", "error", err)
		return 0
	}
	left := usedIn(r, cpu)
	if shares {
		left, _, _ = q.host.memory.held(m)
	}
	q.emptied[l] = left > target
	if left < has {
		m.log.Info("memory is short: the model has given some up", "device", cpu, "bytes", sdkplan.Size(has-left), "left", sdkplan.Size(left))
	}
	return max(0, has-left)
}

// ease gives one model its share back. When all have theirs the strain is over.
func (q *squeezer) ease(ctx context.Context, s machine.Strain) {
	h := q.host
	h.memory.strain(s.Total)
	m, whole := h.memory.squeezedLast()
	if m == nil {
		q.strained, q.told = false, false
		clear(q.emptied)
		h.memory.relax()
		h.o.Log.Info("the machine has memory again", "available", sdkplan.Size(s.Available), "of", sdkplan.Size(s.Total))
		h.freed(nil)
		return
	}
	q.begin(func() {
		limited, cancel := context.WithTimeout(ctx, squeezeTime)
		defer cancel()
		if l, _ := m.usedOn(cpu); l != nil {
			if _, err := m.order(limited, sdk.Order{Budget: &sdk.BudgetOrder{Device: cpu, Bytes: whole, Deadline: squeezeTime}}); err == nil {
				m.log.Info("the model has its share of memory again", "device", cpu, "bytes", sdkplan.Size(whole))
			}
		}
		h.memory.unsqueeze(m)
	})
}

// givers are those that may have something to give up: those that may leave, in that order, and then the pinned.
func (h *Host) givers(list []roomer) (models []*model) {
	for _, r := range list {
		models = append(models, r.model)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.models {
		if !slices.Contains(models, m) {
			models = append(models, m)
		}
	}
	return models
}

// usedOn is what the process of a model that is loaded says it uses of a device; no process if none is.
func (m *model) usedOn(device string) (*life, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life == nil || !m.life.ready {
		return nil, 0
	}
	return m.life, usedIn(m.status.Report, device)
}

func usedIn(r sdk.Report, device string) int64 {
	for _, d := range r.Devices {
		if d.Name == device {
			return d.Used
		}
	}
	return 0
}

// cede has a model leave that nobody uses, since the machine runs short of memory.
func (m *model) cede() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.will.admitted == 0 && !m.comesUp() {
		m.demand.scarce = true
		m.dismiss("the machine runs short of memory; it comes back when it is asked for")
	}
}
