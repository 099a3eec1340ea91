package serve

import (
	"errors"
	"log/slog"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/gpu"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/sdk"
)

// measure.go tells, before anything is loaded, what a planner is told in a process that has loaded: what the model takes of each device
// besides weights and state, what its weights take there, and how fast the devices are.

// measured completes the table of an inspection that was to measure.
func (f Family) measured(o *opened, req sdk.InspectRequest, t *sdk.LayerTable) (err error) {
	c, err := cpu.Open(cpu.Options{Threads: req.Measure.Threads, Numerics: string(o.numerics)})
	if err != nil {
		return sdk.Errorf(sdk.ReasonInvalid, "%w", err)
	}
	defer c.Close()
	devices, err := f.imagine(req.Measure.Devices, c, f.machine(c), o.numerics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDevices(devices)) }()
	l, err := limitsOf(req, t.Context)
	if err != nil {
		return err
	}
	z, err := o.measure(l, devices[1:]...)
	if err != nil {
		return err
	}
	return o.tell(t, l, devices, z, req.Measure.Devices[0], f.Imagined.clock(), true)
}

// tell puts into a table what each device takes and can do, for activations of some sizes. Of a CPU whose rates are known they are not measured. pins says that
// weights that are fetched again and again will be registered where a driver can; that is experts.
func (o *opened) tell(t *sdk.LayerTable, l limits, devices []cuda.Device, z cuda.Sizes, known sdk.DeviceBudget, c clock.Clock, pins bool) error {
	for n, d := range devices {
		rates := cuda.Rates{Copy: known.CopyRate, Read: known.ReadRate}
		if n > 0 || known.ReadRate == 0 {
			rates = d.Rates()
		}
		t.Devices = append(t.Devices, sdk.DeviceTable{Name: d.Name(), ScratchBytes: z.Of(d), CopyRate: rates.Copy, ReadRate: rates.Read, FLOPS: rates.FLOPS})
	}
	for i, m := range o.bound.Modules {
		t.Modules[i].DeviceBytes = weightBytes(devices[len(devices)-1], m)
	}
	op, err := o.tellOps(t, l, devices, c)
	if err == nil {
		o.tellReads(t, devices, c, op, known.ReadRate > 0, pins && o.shape.Experts > 0)
	}
	return err
}

// imagine is openDevices, but for GPUs whose rates are told: those need not be there.
func (f Family) imagine(budgets []sdk.DeviceBudget, c *cpu.Device, m *far.Machine, numerics sdk.Numerics) (list []cuda.Device, err error) {
	list = []cuda.Device{f.Imagined.cpu(m)}
	for _, b := range budgets {
		if ordinal, isGPU := driver.Ordinal(b.Name); isGPU && b.ReadRate > 0 {
			o := gpu.Options{Ordinal: ordinal, Fast: numerics == sdk.NumericsFast}
			list = append(list, gpu.Imagine(o, far.New(b.Name, 0, b.CopyRate, b.ReadRate, c)))
			continue
		}
		if b.Name == cuda.KindCPU {
			continue
		}
		found, err := f.openDevices([]sdk.DeviceBudget{b}, c, m, numerics)
		if err != nil {
			return nil, errors.Join(err, closeDevices(list))
		}
		if len(found) == 1 {
			slog.Info("the device is left out of what is told", "device", b.Name)
		}
		list = append(list, found[1:]...)
	}
	return list, nil
}
