package serve

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// planner asks sdk/plan, with what this process knows of the model and the devices, and what it has measured since. The answer is what
// `piohost plan` predicts, because both call the same function.
func (i *instance) planner(l limits) func(budgets []int64) ([]sdk.Placement, error) {
	return func(budgets []int64) ([]sdk.Placement, error) {
		in := i.known(l, budgets)
		if i.place != nil {
			in = i.place.meter.correct(in)
		}
		p, err := plan.Make(in)
		if err == nil && i.place != nil {
			i.place.through.from = p.Through
			i.place.bringWorth(in, p.Caches)
			i.place.pins.want(i.place.fetched(p))
		}
		return p.Placements, err
	}
}

// known is what there is to plan with before anything is measured.
func (i *instance) known(l limits, budgets []int64) plan.Input {
	var all []sdk.DeviceBudget
	for n, d := range i.devices {
		all = append(all, sdk.DeviceBudget{Name: d.Name(), Bytes: budgets[n]})
	}
	in := plan.InputOf(i.layout, plan.Fit{Positions: l.blocks * engine.BlockSize, Weights: i.cpu.Usage().For[cuda.ForWeights]}, all)
	in.Sequences = l.slots()
	if i.place != nil {
		for n := range in.Devices[1:] {
			in.Devices[n+1].Staged = i.place.pins.staged()
		}
	}
	return in
}
