package schedule

import (
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// A device fails under a process: answers go on in another that is not given the device. That of the cpu cannot be left out.
func TestAnswersGoOnWithoutALostDevice(t *testing.T) {
	for device, want := range map[string][]string{"far": {"cpu"}, "cpu": {"cpu", "far"}, "": {"cpu", "far"}} {
		inWorld(t, func(p *fakeProcess) error {
			p.refuse = func(req sdk.GenerateRequest, index int) error {
				if p.number == 1 && index == 3 {
					return &sdk.Error{Reason: sdk.ReasonDevice, Message: device + " is lost", Field: device}
				}
				return nil
			}
			return nil
		}, func(w *world) {
			w.ask(100, 9).complete(w, 100, 9)
			var given []string
			for _, d := range w.process(2).loaded.Devices {
				given = append(given, d.Name)
			}
			if len(given) != len(want) || given[0] != want[0] {
				t.Errorf("after the loss of %q the next process is given %v, not %v", device, given, want)
			}
			if s := w.Models()[0]; s.Deaths != 0 || s.Starts != 2 || s.State != StateReady {
				t.Errorf("in the end: %+v", s)
			}
		})
	}
}
