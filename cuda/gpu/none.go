//go:build !cuda || !cgo

package gpu

import (
	"errors"

	"github.com/inference-pio/inference-pio/cuda"
)

// ErrNotBuilt says that this binary has no back end for GPUs.
var ErrNotBuilt = errors.New(`this binary was built without GPUs: build it with "make build", or as "piohost plugin env" says`)

// Built says whether this binary has the back end.
const Built = false

// Registered is none.
type Registered struct{}

// Device is none.
type Device struct{ cuda.Device }

// Open says that there are no GPUs.
func Open(Options) (*Device, error) { return nil, ErrNotBuilt }

// Close does nothing.
func (*Device) Close() error { return nil }

// Imagine is d: without the kernels nobody knows what room they need besides.
func Imagine(_ Options, d cuda.Device) cuda.Device { return d }
