//go:build cuda && cgo

package gputest

import (
	"os"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// asked counts what decoding asks of the driver when all of a model lies on the GPU: from the third step of a shape on each is one graph, and
// the host waits once, for what it is to choose from.
func asked(t *testing.T, s nntest.Suite) {
	if os.Getenv(EnvHardware) != "" {
		t.Skip("capability: the machine's own driver counts nothing")
	}
	const steps = 12
	var before, after sim.Counts
	var waits uint64
	var device *gpu.Device
	on := s.On
	s.On = func(t testing.TB, numerics string) cuda.Device {
		d := on(t, numerics)
		device = d.(*gpu.Device)
		return d
	}
	s.Decoding(t, s.Checkpoints[0], steps, func(begin bool) {
		d, err := sim.Load(os.Getenv(driver.EnvLibrary))
		if err != nil {
			t.Fatal(err)
		}
		if begin {
			before, waits = d.Counts(), device.Waits()
		} else {
			after, waits = d.Counts(), device.Waits()-waits
		}
	})
	graphs, kernels := after.Graphs-before.Graphs, after.Kernels-before.Kernels
	each := func(n uint64) float64 { return float64(n) / steps }
	t.Logf("gpu-sim: %s: a token takes %.0f kernels, %.1f launches of graphs, %.1f waits of the host, %.0f bytes to the device and %.0f from it", s.Checkpoints[0],
		each(kernels), each(graphs), each(waits), each(after.BytesIn-before.BytesIn), each(after.BytesOut-before.BytesOut))
	if waits != steps {
		t.Errorf("%d waits in %d steps", waits, steps)
	}
	if graphs < steps-1 {
		t.Errorf("%d launches of graphs in %d steps", graphs, steps)
	}
}
