// Package gpu is NVIDIA's GPUs as devices of package cuda.
//
// A device is a GPU's primary context, the kernels of package kernels in it, and memory with a budget. A queue is a stream. What is added
// to a queue is kept as a list, which goes to the driver as a whole, in one call: when somebody waits, or when it has become long. A list
// that comes again byte by byte, as those of a model's steps do while it decodes, becomes a graph of the driver's and is launched as one.
// For that what a step brings from the host goes through pinned memory whose addresses repeat as well.
//
// The package is built with the tag cuda; without it there are no GPUs, which Open says. With it a binary starts and works on a machine
// without a driver, too: the driver is looked for when a GPU is first asked for.
package gpu

import (
	"time"

	"github.com/inference-pio/inference-pio/cuda/clock"
)

// Options are what a GPU computes with.
type Options struct {
	Ordinal int         // of the driver
	Fast    bool        // rows of activations are rounded to bf16 where they are multiplied
	Budget  int64       // bytes; 0: no limit but the GPU's memory
	Clock   clock.Clock // of the host; nil: this machine's

	// Registered is shared by all GPUs that copy the same memory; nil: everything goes through pinned memory.
	Registered *Registered

	// Patience is how long one step's kernels may take before the device is given up; 0 is EnvPatience or Patience. A software driver needs more.
	Patience time.Duration
}

// EnvWarpgroups has Hopper GPUs multiply many rows with weights in bf16 by instructions of their own where it is set. It is off otherwise, until a
// Hopper has shown that it is right and quicker (make gpu-check, part warpgroups).
const EnvWarpgroups = "PIO_GPU_WARPGROUPS"

// Patience is less than hosts wait for a process that does not move.
const Patience = time.Minute

// EnvPatience is another Patience, as Go writes durations.
const EnvPatience = "PIO_GPU_PATIENCE"
