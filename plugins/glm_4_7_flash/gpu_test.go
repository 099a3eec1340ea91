//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/gputest"
)

func TestGPU(t *testing.T) { gputest.Model(t, suite) }
