// forsake.go: a device failed under a process. The next start is made without it, and the answers under way go on there.
package schedule

import (
	"errors"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// forsakes says whether the error of a call means that its process has lost a device.
func forsakes(err error) bool { return sdk.ReasonOf(err) == sdk.ReasonDevice }

// misses has a process replaced whose report says that it has lost a device, as a call that fails of it would: nothing runs there, or it has not
// come to that yet.
func (l *life) misses(r sdk.Report) {
	for _, d := range r.Devices {
		if d.Lost != "" {
			l.outdating.Do(func() {
				l.outdated <- &sdk.Error{Reason: sdk.ReasonDevice, Field: d.Name, Message: d.Name + " is lost: " + d.Lost}
			})
		}
	}
}

// forsake leaves the lost device out of every Load from now on, and says whether there was such a one. The cpu cannot be left out.
func (m *model) forsake(err error) bool {
	var told *sdk.Error
	if !errors.As(err, &told) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(m.devices), func(d sdk.DeviceBudget) bool { return d.Name == told.Field && d.Name != cpu })
	if len(left) == len(m.devices) {
		return false
	}
	m.devices = left
	m.log.Error("a device was lost; the model is loaded anew without it, and answers go on there", "device", clip(told.Field), "error", err)
	return true
}
