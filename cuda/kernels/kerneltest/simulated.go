//go:build !cuda

package kerneltest

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// simulated.go is for builds without GPUs, which have no hardware to run on.

func onHardware() bool { return false }

func openHardware(testing.TB, bool) *Machine { return nil }

func (m *Machine) hardware(*cuda.Op) error { return nil }
