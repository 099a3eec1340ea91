//go:build cuda && cgo

package hybrid

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// scenes.go is what happens while a GPU is given more: how well the link is used, and how long a client waits.

// leastOfLink is the part of the link's time that layers that come must use.
const leastOfLink = 0.9

// Comes has the GPU given to a model that ran without it, all at once, as when another model leaves: its layers come while it answers, and the first
// token does not wait for the last of them.
func Comes(t *testing.T, m Model) {
	if !apart(t) {
		return
	}
	d := open(t, true)
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s | comes in, ms | of the link | first token, ms | tokens until all is there | loaded anew: first token, ms |\n|---|--:|--:|--:|--:|--:|\n", m.Name)
	for _, device := range m.Machines {
		t.Run(Machines[device].Name, func(t *testing.T) {
			all := m.wants(t, d, device)
			var share, ms, first float64
			var after int
			_, steps := m.with(t, d, device, 0, func(c *client.Client) {
				servetest.Tokens(t, c, m.request(), nil)
				give(t, servetest.NewOrders(t, c), device, all)
				d.Link(device)
				servetest.Tokens(t, c, m.request(), nil)
				s, took := d.Link(device)
				share, ms = s, took.Seconds()*1e3
			})
			steps = steps[len(steps)-m.tokens():]
			first = steps[0].Seconds * 1e3
			for sum := 0.0; after < len(steps) && sum < ms/1e3; after++ {
				sum += steps[after].Seconds
			}
			t.Logf("%s: %.0f ms, %.2f of the link, first token %.1f ms, %d tokens", Machines[device].Name, ms, share, first, after)
			if share < leastOfLink {
				t.Errorf("layers use the link %.0f %% of the time that they take to come", 100*share)
			}
			if first >= ms {
				t.Errorf("the first token comes after %.1f ms, and the last layer after %.1f", first, ms)
			}
			loaded, anew := m.anew(t, d, device, all)
			t.Logf("loaded anew: ready after %.1f ms, first token after %.1f", loaded, anew)
			if anew-loaded >= ms {
				t.Errorf("the first token of a model that is loaded comes %.1f ms after it is ready; its last layer takes %.1f", anew-loaded, ms)
			}
			fmt.Fprintf(&b, "| %s | %s | %.0f %% | %s | %d | %s |\n", Machines[device].Name, short(ms), 100*share, short(first), after, short(anew))
		})
	}
	if whole() && !t.Failed() {
		write(t, b.String())
	}
}

// anew is the ms from the beginning of a load until the model is ready, and to the first token of who asks it at once.
func (m Model) anew(t testing.TB, d *sim.Driver, device int, budget int64) (loaded, ms float64) {
	t.Helper()
	m.with(t, d, device, budget, func(c *client.Client) {
		loaded = d.Now().Seconds() * 1e3
		req := m.request()
		req.MaxTokens = 1
		servetest.Tokens(t, c, req, nil)
		ms = d.Now().Seconds() * 1e3
	})
	return loaded, ms
}

// give has a plugin have so many bytes of a GPU.
func give(t testing.TB, o *servetest.Orders, device int, bytes int64) {
	t.Helper()
	if r := o.Give(sdk.Order{Budget: &sdk.BudgetOrder{Device: budgets(device, 0)[1].Name, Bytes: bytes}}); r.Done.Error != "" {
		t.Fatal(r.Done.Error)
	}
}
