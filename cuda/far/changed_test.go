package far_test

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// changed_test.go changes an activation that is still on its way to the CPU.

// TestAnActivationIsChangedAfterItHasArrived: a copy that arrives later would undo the change.
func TestAnActivationIsChangedAfterItHasArrived(t *testing.T) {
	for _, pace := range paces() {
		c := cpu.New(1)
		machine := far.NewMachine(c, pace)
		there := &cuda.Module{ID: "there"}
		there.Settle(1)
		s := cuda.NewStep([]cuda.Device{machine.CPU(), machine.Device("far", 1<<20, 0, 0)}, nil, nil)
		for dev := range 2 {
			must(t, s.Reserve(dev, cuda.Sizes{Step: 4096}))
		}
		s.Begin()
		x := s.InputF32([]float32{1, 2, 3, 4})
		s.EnterModule(there)
		sum := s.Add(x, x)
		s.EnterModule(nil)
		here := s.RowsToHost(sum)
		s.Copy(here, x)
		if err := s.End(); err != nil || here.F32()[1] != 2 {
			t.Errorf("%v: %v, %v", pace, here.F32(), err)
		}
		for _, err := range machine.Faults() {
			t.Errorf("%v: %v", pace, err)
		}
		s.Release(0)
		s.Release(1)
		s.Close()
		c.Close()
	}
}
