//go:build cuda && cgo

package hybrid

import (
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
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

// wakes are the tokens of an answer while layers come, over a link of so many bytes/s.
const (
	wakes    = 30
	slowLink = 200e6
)

// wakesWith is what its GPU has then.
const wakesWith = 64 << 20

// Wakes gives a small model that ran on the CPU a GPU behind a slow link, and asks it at once; and another one that is loaded with the GPU. The first
// token comes before the last layer, layers come as the answer goes on, and all tokens are the reference's.
func Wakes(t *testing.T, p servetest.Plugin) {
	if !apart(t) {
		return
	}
	d, dir, device := open(t, false), p.Checkpoints[0], 1
	machine := Machines[device]
	machine.Link = slowLink
	host := machine.Use(d, device, false)
	var left []int // layers on the CPU behind each pass
	p.Family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU, Stepped: func(s serve.Stepped) { left = append(left, s.OnCPU) }}
	load := sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: 1, StepTokens: 64},
		Devices:        budgets(device, 0), Threads: 1, PrefixCache: -1,
	}
	c := p.Loaded(t, load)
	req := servetest.Cases(t, dir)[0].Request(t, dir)
	req.MaxTokens, req.IgnoreEOS = wakes, true
	want := servetest.IDs(servetest.Tokens(t, c, req, nil))
	orders := servetest.NewOrders(t, c)
	give(t, orders, device, wakesWith)
	come(t, "given", c, orders, &left, req, want)
	d.Peak(device)
	load.Devices = budgets(device, wakesWith)
	c = p.Loaded(t, load)
	come(t, "loaded", c, servetest.NewOrders(t, c), &left, req, want)
	if peak := d.Peak(device); peak > wakesWith {
		t.Errorf("the driver had given out %d bytes at once, of %d", peak, wakesWith)
	}
}

// come asks while layers come. Nothing else is asked meanwhile: what a report waits for between two passes has layers go over there, which would make how
// many are left a matter of this machine's threads and not of the time that is counted.
func come(t *testing.T, how string, c *client.Client, orders *servetest.Orders, left *[]int, req sdk.GenerateRequest, want []int32) {
	t.Helper()
	*left = nil
	servetest.SameIDs(t, how+": ids while layers come", servetest.IDs(servetest.Tokens(t, c, req, nil)), want)
	behind := (*left)[len(*left)-len(want):] // each token: what comes before are parts of the prompt
	t.Logf("%s: layers on the cpu behind each token: %v", how, behind)
	if behind[0] == 0 {
		t.Errorf("%s: behind the first token all layers are on the GPU", how)
	}
	if n := behind[len(behind)-1]; n != 0 {
		t.Errorf("%s: in the end %d layers are on the CPU still", how, n)
	}
	for _, m := range orders.Query().Modules {
		if strings.HasPrefix(m.ID, "layers.") && strings.Count(m.ID, ".") == 1 && m.Device == "cpu" {
			t.Errorf("%s: in the end %s is said to be on the CPU still", how, m.ID)
		}
	}
}
