package schedule

import (
	"strings"
	"testing"
	"testing/synctest"

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

// A device fails while nothing runs, and the process reports it: the next one is there, without the device, before anybody asks.
func TestALostDeviceIsReportedWhileNothingRuns(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		lost := sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu"}, {Name: "far", Lost: "it fell off the bus"}}}
		for range 2 { // it says so as long as it is there
			w.process(1).reports <- lost
		}
		synctest.Wait()
		if s := w.Models()[0]; s.Deaths != 0 || s.Starts != 2 || s.State != StateReady {
			t.Errorf("nobody asks: %+v", s)
		}
		if given := w.process(2).loaded.Devices; len(given) != 1 || given[0].Name != "cpu" {
			t.Errorf("the next process is given %+v", given)
		}
		if text := w.log.String(); !strings.Contains(text, "a device was lost") || !strings.Contains(text, "it fell off the bus") {
			t.Errorf("the log does not say so:\n%s", text)
		}
		w.ask(100, 9).complete(w, 100, 9)
		if s := w.Models()[0]; s.Starts != 2 {
			t.Errorf("in the end: %+v", s)
		}
	})
}
