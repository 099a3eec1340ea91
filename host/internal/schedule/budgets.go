// budgets.go divides the devices' memory between the models.
package schedule

import (
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// budgets gives each model, by id, what it may hold on each of its devices: an equal share of what the device has. The
// bytes that do not divide go to the models of the highest priority. The cpu without an entry has no limit.
func budgets(c *config.Config) map[string][]sdk.DeviceBudget {
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
