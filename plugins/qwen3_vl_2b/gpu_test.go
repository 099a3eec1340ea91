//go:build cuda

package main

import (
	"cmp"
	"math"
	"os"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/gputest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// TestGPU runs the model, its tower as well, on a GPU, which is the software driver's unless PIO_GPU_HARDWARE is set.
func TestGPU(t *testing.T) {
	opened := map[string]cuda.Device{}
	open := func(numerics string) cuda.Device { // the same for the tower and the layers, which share its memory; another by Hopper's own instructions
		key := cmp.Or(numerics, cpu.Exact) + os.Getenv(gpu.EnvWarpgroups)
		if opened[key] == nil {
			opened[key] = gputest.Open(t, numerics)
		}
		return opened[key]
	}
	now, alone := open(cpu.Exact), tower
	tower = func(t testing.TB) []cuda.Device { return append(alone(t), now) }
	defer func() { tower = alone }()
	s := suite
	s.On = func(_ testing.TB, numerics string) cuda.Device {
		now = open(numerics)
		return now
	}
	gputest.Model(t, s)
	if os.Getenv(gputest.EnvWhole) != "" {
		t.Run("RoundedTower", func(t *testing.T) { roundedTower(t, open(cpu.Fast), open(cpu.Exact)) })
	}
}

// roundedTower compares what the tower sees in fast numerics with what it sees where the same numbers are rounded, and sees that they are rounded.
func roundedTower(t *testing.T, gpu, exact cuda.Device) {
	c := full(t)
	features := func(d cuda.Device) [][]float32 {
		m, b := bind(t, read(t, tiny, "config.json"), 0, checkpoint(t, tiny))
		if err := m.ReadPreprocessor(read(t, tiny, "preprocessor_config.json")); err != nil {
			t.Fatal(err)
		}
		s := suite
		s.On = func(testing.TB, string) cuda.Device { return d }
		s.Runner(t, m, b, nntest.Limits{Rows: 16, Sequences: 1, Positions: 64}) // which brings the weights there
		seen, _ := seeOn(t, m, lookAt(t, m, read(t, tiny, c.Images[0])), newCPU(t), d)
		return seen
	}
	got, want, not := features(gpu), features(gputest.Rounded(t)), features(exact)
	worst, least := 0.0, math.Inf(1)
	for i := range want {
		worst = max(worst, golden.Compare(got[i], want[i]).Rel)
		least = min(least, golden.Compare(got[i], not[i]).Rel)
	}
	t.Logf("gpu-sim: %s, fast: what the tower sees is %.1e of its largest from the same roundings, of %.1e that are allowed", tiny, worst, nntest.RoundingBound)
	if !(worst <= nntest.RoundingBound) || len(want) == 0 {
		t.Errorf("%d features of the tower differ", len(want))
	}
	if least < 1e-5 {
		t.Errorf("nothing is rounded: %.1e from exact numerics", least)
	}
}

// BenchmarkGPU and BenchmarkGPUBatches time the published model on the machine's own GPU, with invented weights; see docs/gpu.md.
func BenchmarkGPU(b *testing.B)        { gputest.Bench(b, suite, false) }
func BenchmarkGPUBatches(b *testing.B) { gputest.Bench(b, suite, true) }
