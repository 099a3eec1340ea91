// away.go is what a model that is away has of the devices besides the cpu: nothing, and those that are there have the use of it. Before it is
// loaded it claims its share as one that works, and the arbiter has the others give way first.
package schedule

import (
	"context"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// claimTime is how long a model waits for the others to give way. It is loaded with what there is then.
const claimTime = budgetTime + 2*orderGrace

// vacated are budgets of which nothing is left on devices besides the cpu, but where an operator has ruled.
func vacated(list []sdk.DeviceBudget, ruled map[string]bool) []sdk.DeviceBudget {
	list = slices.Clone(list)
	for i := range list {
		if list[i].Name != cpu && !ruled[list[i].Name] {
			list[i].Bytes = 0
		}
	}
	return list
}

// vacate gives the shares of a model back that has no process.
func (m *model) vacate() {
	m.mu.Lock()
	m.devices = vacated(m.devices, m.ruled)
	m.mu.Unlock()
	m.host.arbiter.look()
}

// isAway says that nothing of the model is there, nor comes. mu is held.
func (m *model) isAway() bool {
	return m.status.State == StateUnloaded || m.status.State == StateStopped
}

// reclaim waits until a model that has given its shares back has new ones, or the others keep them.
func (m *model) reclaim(ctx context.Context) {
	if !m.lacks() {
		return
	}
	done := m.host.arbiter.claim(m)
	defer m.host.arbiter.unclaim(m)
	timer := time.NewTimer(claimTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lacks says whether the model has nothing of a device that it may use.
func (m *model) lacks() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.devices, func(b sdk.DeviceBudget) bool { return b.Name != cpu && b.Bytes == 0 && !m.ruled[b.Name] })
}

// expected notes what an inspection says of the model, with the cache that it will have.
func (m *model) expected(t sdk.LayerTable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outline = t
}

// expects is what the model has use for on devices when it is loaded, and its largest layer: as it was the last time, or as an inspection says,
// or what it was given at first. mu is held.
func (m *model) expects() (wanted, largest int64) {
	for _, t := range []sdk.LayerTable{m.status.Table, m.outline} {
		if wanted, largest = sdkplan.Takes(t); wanted > 0 {
			return wanted, largest
		}
	}
	for _, b := range m.given {
		if b.Name != cpu {
			wanted += b.Bytes
		}
	}
	return wanted, 0
}

// grant gives a model that is about to be loaded a share.
func (m *model) grant(device string, bytes int64) {
	order := sdk.BudgetOrder{Device: device, Bytes: bytes}
	if a, err := m.allot(order); err == nil { // else somebody was quicker, and the next look divides what there is
		a.obeyed(bytes)
		m.log.Info("the model has a share of a device again", "device", device, "bytes", sdkplan.Size(bytes))
	}
}

// claim has a model count as one that works although it is not loaded yet. What it gives is closed when the model has what it can have.
func (a *arbiter) claim(m *model) <-chan struct{} {
	a.mu.Lock()
	done := make(chan struct{})
	a.claims[m] = done
	a.mu.Unlock()
	a.look()
	return done
}

func (a *arbiter) unclaim(m *model) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.claims, m)
}

// claimed says whether a model waits for its shares.
func (a *arbiter) claimed(m *model) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.claims[m] != nil
}

// admit tells those of some models that wait for their shares that they have them. They keep what they have until they are loaded.
func (a *arbiter) admit(models []*model, stakes []stake) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, m := range models {
		if done := a.claims[m]; done != nil && stakes[i].coming {
			close(done)
			delete(a.claims, m)
		}
	}
}
