//go:build cuda && cgo

package hybrid

import (
	"math"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// slow.go is a host that takes longer than a load has measured: what passes take tells, and the plan follows.

// slowTokens are enough for passes to be measured, layers to move, and the last ones to count.
const slowTokens = 192

// Slow has a model answer with three tenths of a laptop's GPU, whose host takes ever more times what its load has measured. What was expected is off by as much,
// until passes have been measured; then it is right again, and layers lie where a plan puts them that knows: beside the link a CPU that is
// slow enough is left, and layers are streamed.
func Slow(t *testing.T, m Model) {
	if !apart(t) {
		return
	}
	d := open(t, true)
	m.Tokens = slowTokens
	for _, c := range []struct {
		slow     float64
		streamed bool
	}{{2, false}, {8, true}} {
		m.Slow = c.slow
		p, moves := m.slowly(t, d)
		off, without := p.Seconds/p.Planned-1, p.Seconds/p.Bound-1
		t.Logf("%g times: %.1f tok/s, planned %.1f (%+.0f %%), without measuring %+.0f %%; %d layers on the GPU, %d streamed, %d moves", c.slow, 1/p.Seconds, 1/p.Planned,
			100*off, 100*without, p.Layers, p.Streamed, moves)
		if math.Abs(off) > allowedOff {
			t.Errorf("%g times: after measuring a token takes %.3g s, and %.3g was expected", c.slow, p.Seconds, p.Planned)
		}
		if without < allowedOff {
			t.Errorf("%g times: without measuring %.3g s was expected of %.3g: the test shows nothing", c.slow, p.Bound, p.Seconds)
		}
		if (p.Streamed > 0) != c.streamed {
			t.Errorf("%g times: %d layers are streamed", c.slow, p.Streamed)
		}
		if most := uint64(2 * (p.Layers + p.Streamed)); moves > most {
			t.Errorf("%g times: %d moves, at most %d of which are those of a load and of one other plan", c.slow, moves, most)
		}
		if p.Peak > p.Budget {
			t.Errorf("%g times: the driver had given out %d bytes at once, of %d", c.slow, p.Peak, p.Budget)
		}
	}
}

// slowly is a point whose plan is that of whoever knows what the plugin has measured, and whose bound is what was planned without.
func (m Model) slowly(t testing.TB, d *sim.Driver) (p Point, moves uint64) {
	t.Helper()
	const device = 0
	p.Budget = 3 * m.wants(t, d, device) / 10
	var r sdk.Report
	table, steps := m.with(t, d, device, p.Budget, func(c *client.Client) {
		servetest.Tokens(t, c, m.request(), nil)
		r = servetest.NewOrders(t, c).Query()
	})
	p.Peak, moves = d.Peak(device), r.Moves
	p.measured(t, steps)
	in := plan.InputOf(table, plan.Fit{Positions: table.CachePositions}, []sdk.DeviceBudget{{Name: "cpu", Bytes: 1 << 40}, {Name: table.Devices[1].Name, Bytes: p.Budget}})
	made, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	p.Bound = plan.Time(in, made, 1, prompt+m.tokens()-settled/2)
	for i := range in.Devices {
		in.Devices[i].Slower, in.Devices[i].CopyRate = r.Devices[i].Slower, r.Devices[i].CopyRate
	}
	if made, err = plan.Make(in); err != nil {
		t.Fatal(err)
	}
	p.Planned, p.Why = plan.Time(in, made, 1, prompt+m.tokens()-settled/2), made.Why
	if is := r.Devices[0].Slower; math.Abs(is/m.Slow-1) > allowedOff {
		t.Errorf("the CPU takes %g times what it says; %g times is reported", m.Slow, is)
	}
	at := map[string]string{}
	for _, module := range r.Modules {
		at[module.ID] = module.Device
	}
	for _, where := range made.Placements {
		if at[where.Module] != where.Device {
			t.Errorf("%s is on %s; a plan that knows puts it on %s", where.Module, at[where.Module], where.Device)
		}
		if strings.HasPrefix(where.Module, "layers.") && where.Device != "cpu" {
			p.Layers++
			if where.Streamed {
				p.Streamed++
			}
		}
	}
	return p, moves
}
