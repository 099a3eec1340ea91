//go:build cuda && cgo

package hybrid

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// pinned.go holds that tokens do not depend on whether weights are copied from where they lie.

// pinnedWith is what the GPU of a small mixture has then: room for its layers, and for some of their experts.
const pinnedWith = 5 << 19

// Pinned has a small mixture answer while its experts come and go: where a driver registers their pages, where it does not, where it refuses after some, and
// where all are given back in the middle of an answer; in a time that is counted, and beside the driver's threads. The tokens are the reference's, and a model
// that has left leaves nothing registered.
func Pinned(t *testing.T, p servetest.Plugin) {
	for name, c := range map[string]struct {
		environment, control string
		real, gives          bool
		none                 bool // nothing is registered
	}{
		"registered":                 {},
		"registered by a real clock": {real: true, control: "time threads"},
		"by no driver":               {environment: "PIO_SIM_READ_ONLY=0", none: true},
		"refused":                    {control: "fail registered; fail registered", none: true},
		"given back":                 {gives: true},
		"given back by a real clock": {gives: true, real: true, control: "time threads"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.environment == "" {
				c.environment = "PIO_SIM_READ_ONLY=1"
			}
			if !apart(t, c.environment) {
				return
			}
			d, dir, device := open(t, false), p.Checkpoints[0], 1
			family := p
			if !c.real {
				host := Machines[device].Use(d, device, false)
				family.Family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU}
			}
			d.Control(c.control)
			const share = 1 << 40
			client := family.Loaded(t, sdk.LoadRequest{
				InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: 1, StepTokens: 64},
				Devices:        []sdk.DeviceBudget{{Name: "cpu", Bytes: share}, {Name: driver.Name(device), Bytes: pinnedWith}}, Threads: 1, PrefixCache: -1,
			})
			orders, most, before := servetest.NewOrders(t, client), uint64(0), d.Counts() // a load measures with what it registers
			g := servetest.Cases(t, dir)[0]
			req := g.Request(t, dir)
			req.MaxTokens = min(wakes, len(g.GreedyIDs))
			got := servetest.IDs(servetest.Tokens(t, client, req, func(n int) {
				most = max(most, d.Counts().Registered)
				if c.gives && n == few {
					if r := orders.Give(sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", Bytes: share / 2}}); r.Done.Error != "" {
						t.Error(r.Done.Error)
					}
				}
			}))
			servetest.SameIDs(t, "ids", got, g.GreedyIDs[:req.MaxTokens])
			counts := d.Counts()
			direct, all := counts.BytesRegistered-before.BytesRegistered, counts.BytesIn-before.BytesIn
			t.Logf("%s: %d of %d bytes were read where they lie; %d were registered, %d in the end", name, direct, all, most, counts.Registered)
			if (direct == 0) != c.none || (most == 0) != c.none {
				t.Errorf("%d bytes were read where they lie, of %d that were registered", direct, most)
			}
			if c.gives && counts.Registered > 0 {
				t.Errorf("%d bytes were not given back", counts.Registered)
			}
			if err := client.Unload(t.Context()); err != nil {
				t.Error(err)
			}
			if left := d.Counts().Registered; left > 0 {
				t.Errorf("when it has left %d bytes are registered", left)
			}
		})
	}
}
