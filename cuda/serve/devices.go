package serve

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk"
)

// devices.go opens the devices that a model may use.

// deviceKinds are those besides the CPU that this build computes on.
func deviceKinds() []string {
	if gpu.Built {
		return []string{cuda.KindFar, cuda.KindGPU}
	}
	return []string{cuda.KindFar}
}

// openDevices makes the devices of a request; the CPU comes first whether it is named or not. A GPU that cannot be used is told and left
// out: what was to lie there is computed on the CPU.
func (f Family) openDevices(budgets []sdk.DeviceBudget, c *cpu.Device, m *far.Machine, numerics sdk.Numerics) ([]cuda.Device, error) {
	list, registered := []cuda.Device{f.Imagined.cpu(m)}, new(gpu.Registered)
	for _, b := range budgets {
		ordinal, isGPU := driver.Ordinal(b.Name)
		switch {
		case b.Name == cuda.KindCPU:
			c.SetBudget(b.Bytes)
		case b.Name == cuda.KindFar:
			list = append(list, m.Device(b.Name, ledgerBudget(1, b.Bytes), b.CopyRate, b.ReadRate))
		case isGPU:
			d, err := gpu.Open(gpu.Options{Ordinal: ordinal, Fast: numerics == sdk.NumericsFast, Budget: ledgerBudget(1, b.Bytes), Clock: f.Imagined.clock(), Registered: registered})
			if err != nil {
				slog.Warn("a GPU cannot be used; the cpu computes what was to lie on it", "device", b.Name, "error", err)
				continue
			}
			list = append(list, d)
		default:
			return nil, errors.Join(sdk.Errorf(sdk.ReasonInvalid, "device %q: there is no such device; expected \"cpu\", \"far\" or a GPU such as \"gpu.0\"", b.Name), closeDevices(list))
		}
	}
	return list, nil
}

// closeDevices closes those that were opened here, which is not the CPU.
func closeDevices(list []cuda.Device) (err error) {
	for _, d := range list {
		if c, ok := d.(io.Closer); ok && !cuda.OnHost(d) {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

// told gives the loss of a device its reason, and its name to the host, which has another process go on without it.
func told(err error) error {
	var lost *cuda.LostError
	if errors.As(err, &lost) {
		return &sdk.Error{Reason: sdk.ReasonDevice, Field: lost.Device, Message: err.Error()}
	}
	return err
}

// repack says what a file's codes are packed to: to what every device computes with where there is a GPU, in the machine or in what is to be
// measured, for all that is told of a model before it is loaded must be so still when it is.
func repack(req sdk.InspectRequest) func(weights.View) string {
	gpus := sync.OnceValue(func() bool {
		return machineGPUs() || req.Measure != nil && slices.ContainsFunc(req.Measure.Devices, func(b sdk.DeviceBudget) bool {
			_, is := driver.Ordinal(b.Name)
			return is
		})
	})
	return func(v weights.View) string {
		form, all := nn.Repack(v), nn.RepackForAll(v)
		if form != all && gpus() {
			return all
		}
		return form
	}
}

// machineGPUs says whether the driver shows a device that the kernels run on.
func machineGPUs() bool {
	found, err := driver.Devices()
	return err == nil && slices.ContainsFunc(found, func(d driver.Info) bool { return d.Major >= driver.OldestCapability })
}
