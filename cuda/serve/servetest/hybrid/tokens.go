//go:build cuda && cgo

package hybrid

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// tokens.go holds what an imagined machine computes to the reference.

// few are the tokens of an answer that kernels run for, which the software driver takes a while for.
const few = 6

// Tokens has a small model compute on an imagined machine, in virtual time, with none, some and all of it on the GPU: its tokens are the
// reference's.
func Tokens(t *testing.T, p servetest.Plugin) {
	if !apart(t) {
		return
	}
	d, dir, device := open(t, false), p.Checkpoints[0], 1
	host := Machines[device].Use(d, device, false)
	p.Family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU}
	g := servetest.Cases(t, dir)[0]
	req := g.Request(t, dir)
	req.MaxTokens = min(few, len(g.GreedyIDs))
	for _, budget := range []int64{0, 6 << 20, 64 << 20} {
		d.Peak(device)
		c := p.Loaded(t, sdk.LoadRequest{
			InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: 1, StepTokens: 64},
			Devices:        []sdk.DeviceBudget{{Name: "cpu"}, {Name: driver.Name(device), Bytes: budget}}, Threads: 1, PrefixCache: -1,
		})
		servetest.SameIDs(t, "ids on an imagined machine", servetest.Ask(t, c, req).IDs, g.GreedyIDs[:req.MaxTokens])
		peak := d.Peak(device)
		t.Logf("%d bytes: at most %d", budget, peak)
		if peak > budget {
			t.Errorf("the driver had given out %d bytes at once, of %d", peak, budget)
		}
		if err := c.Unload(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
