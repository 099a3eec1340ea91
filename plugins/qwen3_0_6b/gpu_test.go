//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/gputest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestGPU(t *testing.T) { gputest.Model(t, suite) }

// What is off by itself; make gpu-sim has it for every model.
func TestGPUWarpgroups(t *testing.T) { gputest.Warpgroups(t, suite) }

// More requests than the GPU's cache has room for: what gives way goes to the host's memory and comes back, and no token changes.
func TestSpillOnGPU(t *testing.T) {
	gputest.Driver(t)
	plugin.Spill(t, tiny, servetest.Spilling{Device: sdk.DeviceBudget{Name: "gpu.0", Bytes: 256 << 20}})
}

// BenchmarkGPU and BenchmarkGPUBatches time the published model on the machine's own GPU, with invented weights; see docs/gpu.md.
func BenchmarkGPU(b *testing.B)        { gputest.Bench(b, suite, false) }
func BenchmarkGPUBatches(b *testing.B) { gputest.Bench(b, suite, true) }
