//go:build cuda && cgo

package gpu

import (
	"os"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels"
)

// imagine.go stands in for a GPU that is not there, for whoever wants to know what a model would take of it.

// What an imagined GPU has, as the largest there are: ops need the more room for their parts the more of them run at once.
const (
	imaginedMultiprocessors = 132
	imaginedShared          = 227 << 10
)

// imagined is memory that ops need as much of as on a GPU.
type imagined struct {
	cuda.Device
	plan kernels.Properties
}

// Imagine makes of a device for tests one that takes as much memory as a GPU does. Nothing is computed with it.
func Imagine(o Options, d cuda.Device) cuda.Device {
	plan := kernels.Properties{Fast: o.Fast, Multiprocessors: imaginedMultiprocessors, Shared: imaginedShared, Warpgroups: os.Getenv(EnvWarpgroups) != ""}
	return &imagined{Device: d, plan: plan}
}

// Work implements cuda.Worker.
func (d *imagined) Work(op *cuda.Op) int64 { return work(d.plan, op, func(*kernels.Plan) {}) }
