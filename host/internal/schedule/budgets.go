// budgets.go divides the memory of the devices besides the cpu between the models; memory.go has the cpu's.
package schedule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// Budgets gives each model, by id, what it may hold on each of its devices: an equal share of what the device has. The
// bytes that do not divide go to the models of the highest priority. What it may hold on the cpu is put in when it loads.
func Budgets(c *config.Config) map[string][]sdk.DeviceBudget {
	device := map[string]config.Device{}
	for _, d := range c.Devices {
		device[d.Name] = d
	}
	users := map[string][]config.Model{}
	for _, m := range c.Models {
		for _, name := range m.Devices {
			users[name] = append(users[name], m)
		}
	}
	for _, list := range users {
		slices.SortStableFunc(list, func(a, b config.Model) int { return b.Priority - a.Priority })
	}
	given := map[string][]sdk.DeviceBudget{}
	for _, m := range c.Models {
		for _, name := range m.Devices {
			if name == cpu {
				given[m.ID] = append(given[m.ID], sdk.DeviceBudget{Name: cpu})
				continue
			}
			d := device[name]
			n := int64(len(users[name]))
			rank := int64(slices.IndexFunc(users[name], func(u config.Model) bool { return u.ID == m.ID }))
			share := d.Memory / n
			if rank < d.Memory%n {
				share++
			}
			given[m.ID] = append(given[m.ID], sdk.DeviceBudget{Name: name, Bytes: share, CopyRate: d.Copy, ReadRate: d.Read})
		}
	}
	return given
}

const cpu = "cpu"

// WithCPU puts a share of the cpu's memory into budgets.
func WithCPU(list []sdk.DeviceBudget, share int64) []sdk.DeviceBudget {
	list = slices.Clone(list)
	for i := range list {
		if list[i].Name == cpu {
			list[i].Bytes = share
		}
	}
	return list
}

// computable leaves out the GPUs of a plugin that computes on none, and names them.
func computable(list []sdk.DeviceBudget, d sdk.Description) (left []sdk.DeviceBudget, without string) {
	if slices.Contains(d.Devices, "cuda") {
		return list, ""
	}
	var names []string
	left = slices.DeleteFunc(slices.Clone(list), func(b sdk.DeviceBudget) bool {
		if config.IsGPU(b.Name) {
			names = append(names, b.Name)
			return true
		}
		return false
	})
	return left, strings.Join(names, ", ")
}

// allotment is what is to be done with bytes that an order was for, when its outcome is known.
type allotment struct {
	obeyed  func(bytes int64) // so far
	refused func()
	silent  func() // no answer came in time, but it may be obeyed still: the larger number counts
}

func noAllotment() allotment { return allotment{func(int64) {}, func() {}, func() {}} }

// allot sets aside what an order for a budget asks for, or says that it is not there: the budgets of all models together never
// exceed a device. What an order gives back is free when it was obeyed, not before.
func (m *model) allot(b sdk.BudgetOrder) (allotment, error) {
	done := noAllotment()
	if b.Device == cpu && b.AsFar {
		done.obeyed = func(bytes int64) { m.host.memory.squeezed(m, bytes) }
		return done, nil
	}
	if b.Device == cpu {
		before, undo, err := m.host.memory.reshare(m, b.Bytes)
		if done.refused = undo; b.Bytes < before {
			done.silent = undo
		}
		return done, err
	}
	m.host.allotting.Lock()
	defer m.host.allotting.Unlock()
	before, has := m.budget(b.Device)
	if !has {
		return done, nil // the plugin says that it has no such device
	}
	if most := m.host.left(b.Device, m); b.Bytes > before && b.Bytes > most {
		return done, fmt.Errorf("%d bytes of %s are more than there is for model %s beside the others; the most that works is %d", b.Bytes, b.Device, m.entry.ID, most)
	}
	if b.Bytes < before {
		done.obeyed = func(bytes int64) { m.remember(sdk.BudgetOrder{Device: b.Device, Bytes: bytes}) }
		return done, nil
	}
	m.remember(b)
	done.refused = func() { m.remember(sdk.BudgetOrder{Device: b.Device, Bytes: before}) }
	return done, nil
}

// budget is what the next Load is given of a device.
func (m *model) budget(device string) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.devices {
		if d.Name == device {
			return d.Bytes, true
		}
	}
	return 0, false
}

// left is what of a device the others do not have.
func (h *Host) left(device string, but *model) int64 {
	h.mu.Lock()
	models, left := slices.Clone(h.models), int64(0)
	for _, d := range h.config.Devices {
		if d.Name == device {
			left = h.arbiter.limit(device, d.Memory)
		}
	}
	h.mu.Unlock()
	for _, m := range models {
		if m != but {
			n, _ := m.budget(device)
			left -= n
		}
	}
	return left
}
