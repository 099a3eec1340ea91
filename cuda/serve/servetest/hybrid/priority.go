//go:build cuda && cgo

package hybrid

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim/imagined"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
	sdktest "github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

// priority.go has three models share a GPU that has room for one and a half, and times the one that has priority.

// leastOfSpeed is the part of its speed alone that the one with priority keeps.
const leastOfSpeed = 0.9

// sharers are who shares the GPU; the first has priority. The others share the CPU as well, so that its ops take each of them twice as long.
const (
	sharers     = 3
	othersSlow  = sharers - 1
	shareLinger = 20 * time.Second
	shareKeep   = 1. / 32
)

// Priority has three models answer at once where there is room for one and a half, with the shares that the host gives them. The one that has priority takes
// for a token what it takes alone, within a tenth, even if the GPU did nothing for it while it computes for the others, which is more than is
// true: as kernels of several streams do not slow each other down in virtual time, what the others' take is measured and counted against it.
// Without priority it would be slower than that.
func Priority(t *testing.T, m Model) {
	if !apart(t) {
		return
	}
	d := open(t, true)
	for _, device := range m.Machines {
		t.Run(Machines[device].Name, func(t *testing.T) {
			whole, _ := m.with(t, d, device, Machines[device].Memory, nil)
			room := takes(whole).Wanted + takes(whole).Scratch[0]
			room += room / 2
			alone := m.run(t, d, device, divide(room, whole, 1, 0)[0])
			equal := m.run(t, d, device, divide(room, whole, sharers, 0)[0])
			shares := divide(room, whole, sharers, 1)
			got := m.share(t, d, device, shares)
			worst := got.seconds / (1 - got.busy)
			t.Logf("shares %v of %d: alone %.2f ms a token, with two others %.2f; these compute %.1f %% of the time on the GPU: at most %.2f; without priority %.2f", shares, room,
				1e3*alone.Seconds, 1e3*got.seconds, 100*got.busy, 1e3*worst, 1e3*equal.Seconds)
			if worst > alone.Seconds/leastOfSpeed {
				t.Errorf("with priority a token takes up to %.3g s beside two others, and %.3g alone", worst, alone.Seconds)
			}
			if equal.Seconds < alone.Seconds/leastOfSpeed {
				t.Errorf("without priority a token takes %.3g s, and %.3g alone: the test shows nothing", equal.Seconds, alone.Seconds)
			}
			if got.busy == 0 {
				t.Error("the others compute nothing on the GPU: the test shows little")
			}
			if got.peak > room {
				t.Errorf("the driver had given out %d bytes at once, of %d", got.peak, room)
			}
		})
	}
}

// takes is a model as the host's arbiter sees it, while it works.
func takes(table sdk.LayerTable) plan.Tenant {
	wanted, largest := plan.Takes(table)
	return plan.Tenant{May: []bool{true}, Wanted: wanted, Largest: largest, Scratch: []int64{plan.ScratchOn(table, table.Devices[1].Name)}, Busy: true}
}

// divide is what each of n models that work at once has of a GPU, the first with a priority.
func divide(room int64, table sdk.LayerTable, n, priority int) (shares []int64) {
	list := make([]plan.Tenant, n)
	for i := range list {
		list[i] = takes(table)
		list[i].Name = fmt.Sprint(i)
	}
	list[0].Priority = priority
	for _, s := range plan.Divide([]int64{room}, list, plan.Rules{Linger: shareLinger, Keep: shareKeep}).Shares {
		shares = append(shares, s[0])
	}
	return shares
}

// shared is how the first of several fares beside the others.
type shared struct {
	seconds float64 // of a token
	busy    float64 // part of the time in which the GPU computes for the others
	peak    int64   // most bytes that the driver had given out
}

// share has models with such shares of a GPU loaded at once, and has them answer beside each other: the others first, and then the first from the
// time on at which they began, so that of the link it has what they have left.
func (m Model) share(t testing.TB, d *sim.Driver, device int, shares []int64) (got shared) {
	t.Helper()
	var hosts []*imagined.Host
	for range shares { // each begins the time anew, so that none may follow a load
		hosts = append(hosts, Machines[device].Use(d, device, true))
	}
	clients, steps := make([]*client.Client, len(shares)), make([][]serve.Stepped, len(shares))
	d.Peak(device)
	for i, bytes := range shares {
		host, family := hosts[i], m.Family
		family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU, Counted: true, Stepped: func(s serve.Stepped) { steps[i] = append(steps[i], s) }}
		c, stop, err := sdktest.InProcess(serve.New(family))
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		m.load(t, c, budgets(device, bytes))
		if i > 0 {
			host.Slow(othersSlow)
		}
		servetest.Tokens(t, c, m.request(), nil) // what is to come comes
		clients[i] = c
	}
	began := d.Now()
	for i := len(clients) - 1; i >= 0; i-- {
		steps[i] = nil
		d.Set(began)
		d.Kernels()
		servetest.Tokens(t, clients[i], m.request(), nil)
		if i > 0 {
			computes := 0.0
			for _, k := range d.Kernels() {
				computes += k.Time.Seconds()
			}
			got.busy += computes / (d.Now() - began).Seconds()
		}
	}
	var p Point
	p.measured(t, steps[0])
	got.seconds, got.peak = p.Seconds, d.Peak(device)
	for _, c := range clients {
		if err := c.Unload(context.Background()); err != nil {
			t.Error(err)
		}
	}
	return got
}
