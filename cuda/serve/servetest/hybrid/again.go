//go:build cuda && cgo

package hybrid

import (
	"runtime/debug"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// again.go holds that virtual time is a function of what is asked of the machine, to the last digit: of no goroutine's turn, no address, no order of
// a map, and not of what the process has done before.

// Again has a model answer with half of what it has a use for of a GPU, then others answer, and then it again while the collector never rests: each step
// takes what it took, and finds the same experts.
func Again(t *testing.T, m Model) {
	if !apart(t) {
		return
	}
	d := open(t, true)
	device, other := m.Machines[0], m.Machines[1]
	half := m.wants(t, d, device) / 2
	want := m.steps(t, d, device, half)
	m.steps(t, d, other, half/3)
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	same(t, m.steps(t, d, device, half), want)
	last := want[len(want)-1]
	t.Logf("%d steps; %d experts were there and %d were not", len(want), last.Hits, last.Misses)
	if m.Experts > 0 && (last.Hits == 0 || last.Misses == 0) {
		t.Errorf("%d experts were there and %d were not: the test shows little", last.Hits, last.Misses)
	}
}

// steps are those of an answer.
func (m Model) steps(t testing.TB, d *sim.Driver, device int, budget int64) []serve.Stepped {
	t.Helper()
	_, steps := m.with(t, d, device, budget, func(c *client.Client) { servetest.Tokens(t, c, m.request(), nil) })
	return steps
}

func same(t testing.TB, got, want []serve.Stepped) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d steps, and again %d", len(want), len(got))
		return
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("step %d is %+v, and again %+v", i, want[i], got[i])
			return
		}
	}
}
