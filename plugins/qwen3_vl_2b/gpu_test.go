//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/gputest"
)

// TestGPU runs the model, its tower as well, on a GPU, which is the software driver's unless PIO_GPU_HARDWARE is set.
func TestGPU(t *testing.T) {
	one := gputest.Open(t, cpu.Exact)
	of := map[string]cuda.Device{"": one, cpu.Exact: one, cpu.Fast: gputest.Open(t, cpu.Fast)}
	now, alone := of[""], tower
	tower = func(t testing.TB) []cuda.Device { return append(alone(t), now) }
	defer func() { tower = alone }()
	s := suite
	s.On = func(_ testing.TB, numerics string) cuda.Device {
		now = of[numerics]
		return now
	}
	gputest.Model(t, s)
}

// BenchmarkGPU and BenchmarkGPUBatches time the published model on the machine's own GPU, with invented weights; see docs/gpu.md.
func BenchmarkGPU(b *testing.B)        { gputest.Bench(b, suite, false) }
func BenchmarkGPUBatches(b *testing.B) { gputest.Bench(b, suite, true) }
