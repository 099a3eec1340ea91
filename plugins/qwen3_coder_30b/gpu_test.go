//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/gputest"
)

func TestGPU(t *testing.T) { gputest.Model(t, suite) }

// BenchmarkGPU and BenchmarkGPUBatches time the published model on the machine's own GPU, with invented weights; see docs/gpu.md.
func BenchmarkGPU(b *testing.B)        { gputest.Bench(b, suite, false) }
func BenchmarkGPUBatches(b *testing.B) { gputest.Bench(b, suite, true) }
