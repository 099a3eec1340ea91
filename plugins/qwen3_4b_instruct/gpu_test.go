//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/gputest"
)

// TestGPU runs the model on a GPU, which is the software driver's unless PIO_GPU_HARDWARE is set.
func TestGPU(t *testing.T) {
	s := suite
	s.On = gputest.Open
	s.OnDevice(t)
}
