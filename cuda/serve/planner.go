package serve

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// planner asks sdk/plan, with what this process knows of the model and the devices. The answer is what `piohost plan`
// predicts, because both call the same function.
func (i *instance) planner(l limits, scratch cuda.Sizes) func(budgets []int64) ([]sdk.Placement, error) {
	in := plan.Input{Modules: i.layout.Modules, Positions: l.blocks * engine.BlockSize, Sequences: l.slots()}
	in.Modules = append([]sdk.Module(nil), in.Modules...)
	for n, m := range i.bound.Modules {
		in.Modules[n].WeightBytes = weightBytes(i.devices[len(i.devices)-1], m)
	}
	return func(budgets []int64) ([]sdk.Placement, error) {
		in.Devices = in.Devices[:0]
		for n, d := range i.devices {
			rates, bytes := d.Rates(), budgets[n]
			if n == 0 && bytes > 0 { // a plan counts the CPU without weights, which are the mapped file
				bytes = max(1, bytes-i.cpu.Usage().For[cuda.ForWeights])
			}
			in.Devices = append(in.Devices, plan.Device{Name: d.Name(), Bytes: bytes, Scratch: scratch.Of(d),
				CopyRate: rates.Copy, ReadRate: rates.Read, FLOPS: rates.FLOPS})
		}
		p, err := plan.Make(in)
		if err == nil && i.place != nil {
			i.place.through.from = p.Through
		}
		return p.Placements, err
	}
}
