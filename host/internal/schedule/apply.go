// apply.go takes a changed models.toml into a host that runs.
package schedule

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// budgetTime is how long a process may take to obey a budget that another entry's coming or going has changed. It is
// restarted if it does not.
const budgetTime = 5 * time.Second

// Changes are the ids of the models that Apply started, ended and replaced, each in the order of its models.toml.
type Changes struct {
	Added, Removed, Changed []string
}

// Apply makes the host one of c. Entries that are gone finish their requests within server.drain and end; entries that
// differ do so one after the other, each starting as it is now before the next one ends; new ones start when there is room.
// The rest keeps its processes and streams. Entries are the same if their ids are. Apply returns when what is gone has ended
// and what differs is ready, or has failed to become so.
func (h *Host) Apply(c *config.Config) (Changes, error) {
	h.applying.Lock()
	defer h.applying.Unlock()
	p, err := h.plan(c)
	if err != nil {
		return Changes{}, err
	}
	h.memory.resize(BudgetOf(c, h.o.Machine()))
	var all sync.WaitGroup
	errs := make([]error, len(p.gone))
	for i, m := range p.gone {
		all.Go(func() { errs[i] = h.remove(m) })
	}
	all.Wait()
	err = errors.Join(errs...)
	for _, m := range p.kept {
		m.rebudget(p.given[m.entry.ID])
	}
	rerank(p.kept)
	for _, m := range p.changed {
		err = errors.Join(err, h.replace(m, p))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.launch(p.added...)
	return p.Changes, err
}

// plan is what a configuration changes.
type plan struct {
	Changes
	config                     *config.Config
	given                      map[string][]sdk.DeviceBudget
	gone, kept, changed, added []*model
}

var errNotRunning = errors.New("the host does not run")

// plan finds what c changes, and shows from now on the models of c, behind them those on their way out.
func (h *Host) plan(c *config.Config) (*plan, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run == nil || h.draining {
		return nil, errNotRunning
	}
	p := &plan{config: c, given: Budgets(c)}
	old := map[string]*model{}
	for _, m := range h.models {
		old[m.entry.ID] = m
	}
	var next []*model
	for _, entry := range c.Models {
		m := old[entry.ID]
		delete(old, entry.ID)
		switch {
		case m == nil:
			m = newModel(h, entry, p.given[entry.ID])
			h.o.Metrics.Touch(entry.ID)
			p.added, p.Added = append(p.added, m), append(p.Added, entry.ID)
		case m.is(entry):
			m.adopt(entry)
			p.kept = append(p.kept, m)
		default:
			p.changed, p.Changed = append(p.changed, m), append(p.Changed, entry.ID)
		}
		next = append(next, m)
	}
	for _, m := range h.models {
		if old[m.entry.ID] != nil {
			p.gone, p.Removed = append(p.gone, m), append(p.Removed, m.entry.ID)
			next = append(next, m)
		}
	}
	h.config, h.models = c, next
	return p, nil
}

// is says whether a process of the model's entry is one of the other's too.
func (m *model) is(other config.Model) bool {
	mine := m.entry
	mine.Line, other.Line = 0, 0
	mine.Aliases, other.Aliases = nil, nil
	mine.OnDemand, mine.KeepAlive, mine.Pin = other.OnDemand, other.KeepAlive, other.Pin
	return reflect.DeepEqual(mine, other)
}

// adopt takes what does not need another process.
func (m *model) adopt(entry config.Model) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status.Aliases = entry.Aliases
	m.demand.adopt(entry)
	if !entry.OnDemand {
		m.call()
	}
	m.arm()
}

// remove ends a model whose entry is gone.
func (h *Host) remove(m *model) error {
	err := m.retire(context.Background(), wishEnd, "it is no longer in models.toml", h.Config().Server.Drain)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.models = slices.DeleteFunc(slices.Clone(h.models), func(o *model) bool { return o == m })
	h.memory.forget(m)
	return err
}

// replace ends a model and starts it as its entry is now. Requests that come meanwhile wait for it.
func (h *Host) replace(m *model, p *plan) error {
	entry, _ := p.config.Model(m.entry.ID)
	next := newModel(h, entry, p.given[entry.ID])
	next.status.Reason = "its entry was changed; it waits for the end of the process there was"
	m.mu.Lock()
	if m.will.wish == wishStop { // that is no matter of models.toml
		next.will.wish, next.will.why = wishStop, m.will.why
	}
	if m.demand.called && next.demand.comes {
		next.demand.called, next.status.State = true, StateStarting
	}
	m.mu.Unlock()
	h.mu.Lock()
	h.models = slices.Clone(h.models)
	h.models[slices.Index(h.models, m)] = next
	h.mu.Unlock()
	err := m.retire(context.Background(), wishEnd, "its entry in models.toml was changed", p.config.Server.Drain)
	h.memory.forget(m)
	h.mu.Lock()
	h.launch(next)
	h.mu.Unlock()
	if settled := next.settle(context.Background(), 1); settled != nil {
		h.o.Log.Warn("the changed model is not ready", "model", entry.ID, "error", settled)
	}
	return err
}

// rebudget gives a process what it may hold from now on: by order, or where that is refused by a restart.
func (m *model) rebudget(given []sdk.DeviceBudget) {
	m.mu.Lock()
	before := m.given
	if reflect.DeepEqual(before, given) {
		m.mu.Unlock()
		return
	}
	m.given, m.devices, m.ruled = given, given, nil
	l := m.life
	if l == nil && m.isAway() {
		m.devices = vacated(given, nil)
	}
	m.mu.Unlock()
	if l == nil {
		return // the next Load has it
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*budgetTime)
	defer cancel()
	for _, d := range given {
		if d.Name == cpu {
			continue // its share stays
		}
		_, err := l.orders.do(ctx, sdk.Order{Budget: &sdk.BudgetOrder{Device: d.Name, Bytes: d.Bytes, Deadline: budgetTime}})
		if err == nil {
			continue
		}
		m.log.Warn("the model is restarted: it could not be given another budget as it runs", "device", d.Name, "bytes", d.Bytes, "error", err)
		if start, err := m.begin(true); err == nil {
			_ = m.settle(context.Background(), start) // its state tells how it went
		}
		return
	}
}
