//go:build cuda && cgo

package hybrid

import (
	"math"
	"testing"
)

// beside.go is what a load measures of the memory that the CPU and copies share.

// Beside loads a model on every machine. What it tells of copies beside a CPU that reads is the rule of the clock (cuda/kernels/sim/runtime/clock.cpp): a byte
// that is copied takes three of the host's memory, or one where it is copied from where it lies, and a copy has all that it asks for or half of it.
func Beside(t *testing.T, m Model, takes float64) {
	if !apart(t) {
		return
	}
	d := open(t, true)
	const few = 0.05 // of a trial of some milliseconds
	for device, machine := range Machines {
		table, _ := m.with(t, d, device, machine.Memory, nil)
		rate, got := table.Devices[1].BesideRate, table.Devices[1].BesideTakes
		want := min(machine.Link, machine.HostRead/2/takes)
		t.Logf("%s: %.2f GB/s of %.2f, each byte takes %.2f", machine.Name, rate/1e9, want/1e9, got)
		if math.Abs(rate/want-1) > few || math.Abs(got/takes-1) > few {
			t.Errorf("%s: %.2f GB/s are copied and each byte takes %.2f; it is %.2f GB/s and %g", machine.Name, rate/1e9, got, want/1e9, takes)
		}
	}
}
