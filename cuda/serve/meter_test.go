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

// While pages are registered a plan is looked for anew a few times, and once more when all are.
func TestPlansAreMadeAnewWhenEnoughIsRegistered(t *testing.T) {
	m, anew := new(meter), 0
	if m.otherwise(0) {
		t.Error("where nothing goes through pinned memory something is otherwise")
	}
	const steps = 1000
	for n := range steps + 1 {
		if m.otherwise(1 - float64(n)/steps) {
			anew++
		}
	}
	if most := int(1/stagedKeep) + 2; anew < most/2 || anew > most {
		t.Errorf("%d times", anew)
	}
	if m.staged != 0 || m.otherwise(0) || !m.otherwise(0.1) {
		t.Errorf("when all are registered %g is planned with", m.staged)
	}
}
