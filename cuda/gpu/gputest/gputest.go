//go:build cuda && cgo

// gputest.go opens GPUs, and runs a model's tests on them.

package gputest

import (
	"os"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels/rounded"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// EnvHardware has tests use the machine's own driver and GPU where it is set.
const EnvHardware = "PIO_GPU_HARDWARE"

// Driver sees to it that a driver is there: it is called before anything else asks for one.
func Driver(t testing.TB) {
	t.Helper()
	if os.Getenv(EnvHardware) == "" {
		if err := os.Setenv(driver.EnvLibrary, sim.Library(t, sim.Options{})); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getenv(driver.EnvLibrary) != "" && os.Getenv(gpu.EnvPatience) == "" { // the software driver's kernels take as long as this machine needs for them
		if err := os.Setenv(gpu.EnvPatience, "24h"); err != nil {
			t.Fatal(err)
		}
	}
	if err := driver.Probe(); err != nil {
		t.Fatal(err)
	}
}

// Open gives the first GPU until the test ends, by which all of its memory must have been given back.
func Open(t testing.TB, numerics string) cuda.Device {
	t.Helper()
	Driver(t)
	d, err := gpu.Open(gpu.Options{Fast: numerics == cpu.Fast})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// EnvWhole has Model run everything that a suite has, which the software driver takes minutes for.
const EnvWhole = "PIO_GPU_WHOLE"

// Model runs a suite on the first GPU, or where Suite.On says: the least of it, on hardware the unusual shapes that are there as well,
// or with EnvWhole all, and fast numerics against the same roundings in plain Go.
func Model(t *testing.T, s nntest.Suite) {
	if s.On == nil {
		s.On = Open
	}
	t.Run("Asked", func(t *testing.T) { asked(t, s) })
	if os.Getenv(EnvWhole) == "" {
		s.BrieflyOnDevice(t)
		if _, err := os.Stat("testdata/shapes"); err == nil && os.Getenv(EnvHardware) != "" && s.Shapes > 0 {
			t.Run("Shapes", s.UnusualShapes)
		}
		return
	}
	t.Run("Compared", func(t *testing.T) {
		for _, dir := range s.Checkpoints {
			c := s.Compare(t, dir)
			t.Logf("gpu-sim: %s, exact: %d of %d cases equal, the worst layer is %s, %.1e of its largest, of %.1e that are allowed", dir, c.Equal, c.Cases, c.Worst, c.Apart, nntest.Bound)
			if c.Equal < c.Cases || !(c.Apart <= nntest.Bound) {
				t.Errorf("%s differs from the reference", dir)
			}
		}
	})
	s.OnDevice(t)
	t.Run("Rounded", func(t *testing.T) { s.Rounded(t, Rounded) })
	t.Run("Warpgroups", func(t *testing.T) { Warpgroups(t, s) })
}

// Warpgroups runs the least of a suite with products of many rows by Hopper's own instructions.
func Warpgroups(t *testing.T, s nntest.Suite) {
	t.Setenv(gpu.EnvWarpgroups, "1")
	open := s.On
	if open == nil {
		open = Open
	}
	s.On = func(t testing.TB, numerics string) cuda.Device {
		d := open(t, numerics)
		if !d.(*gpu.Device).Properties().Warpgroups {
			t.Skip("capability: a Hopper")
		}
		return d
	}
	s.BrieflyOnDevice(t)
}

// EnvSmall has Bench take tiny shapes, for the software driver.
const EnvSmall = "PIO_GPU_SMALL"

// Bench times the published model as a whole on the machine's own GPU: single tokens and prompts, or tokens of several sequences at once.
func Bench(b *testing.B, s nntest.Suite, batches bool) {
	if os.Getenv(EnvRoofline) != "" {
		roofline(b, s, batches)
		return
	}
	if os.Getenv(EnvHardware) == "" {
		b.Skip("capability: a GPU: nothing of the software driver's is timed")
	}
	x := nntest.Whole{Batches: []int{1}, Context: 1024, Prompt: 2048, Small: os.Getenv(EnvSmall) != ""}
	if batches {
		x.Batches, x.Prompt = []int{8, 64}, 0
	}
	if x.Small {
		x.Context, x.Prompt = 64, min(x.Prompt, 32)
	}
	s.On = Open
	s.BenchWhole(b, x)
}

// Rounded is the device that rounds as fast numerics do, for Suite.Rounded.
func Rounded(t testing.TB) nntest.Taught {
	t.Helper()
	c := cpu.New(0)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return rounded.New(c)
}
