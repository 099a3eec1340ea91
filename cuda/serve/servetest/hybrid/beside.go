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
	const (
		few    = 0.05 // of a trial of some milliseconds
		staged = 3    // what a byte takes through pinned memory
	)
	for device, machine := range Machines {
		table, _ := m.with(t, d, device, machine.Memory, nil)
		hold := func(what string, rate, got, takes float64) {
			want := min(machine.Link, machine.HostRead/2/takes)
			t.Logf("%s, %s: %.2f GB/s of %.2f, each byte takes %.2f", machine.Name, what, rate/1e9, want/1e9, got)
			if math.Abs(rate/want-1) > few || math.Abs(got/takes-1) > few {
				t.Errorf("%s, %s: %.2f GB/s are copied and each byte takes %.2f; it is %.2f GB/s and %g", machine.Name, what, rate/1e9, got, want/1e9, takes)
			}
		}
		gpu := table.Devices[1]
		hold("in the end", gpu.BesideRate, gpu.BesideTakes, takes)
		if takes < staged {
			hold("through pinned memory", gpu.StagedRate, gpu.StagedTakes, staged)
		} else if gpu.StagedRate != 0 {
			t.Errorf("%s: of copies that all go through pinned memory %g GB/s are told besides", machine.Name, gpu.StagedRate/1e9)
		}
		if read := table.Devices[0].ReadRate; math.Abs(read/machine.HostRead-1) > few {
			t.Errorf("%s: the CPU is told to read %g GB/s; it is %g", machine.Name, read/1e9, machine.HostRead/1e9)
		}
	}
}
