package serve

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// TestWhoseRatesAreToldTeachesNothing unless a test has them learnt.
func TestWhoseRatesAreToldTeachesNothing(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	both := []cuda.Device{c, far.New("far", 1<<20, 4e9, 5e9, c)}
	for _, x := range []struct {
		devices []cuda.Device
		machine *Imagined
		teaches bool
	}{
		{both[:1], nil, false},
		{both, nil, false},
		{both, &Imagined{Clock: clock.Real()}, false},
		{both, &Imagined{Clock: clock.Real(), Learns: true}, true},
		{both[:1], &Imagined{Clock: clock.Real(), Learns: true}, false},
	} {
		if m := newMeter(x.devices, x.machine, nil); (m != nil) != x.teaches {
			t.Errorf("%d devices, %+v: there is a meter: %v", len(x.devices), x.machine, m != nil)
		}
	}
}
