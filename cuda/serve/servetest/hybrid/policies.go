//go:build cuda && cgo

package hybrid

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// policies.go asks which experts a cache should keep, on the routings of small models that were trained: which experts their rows go to as
// they answer.

// policy says which of the experts that are there gives way: the one of the least rank.
type policy struct {
	name string
	rank func(last, uses, now int) float64 // the pass in which it was needed last, how often it was needed, and the pass now
}

var policies = []policy{
	{"LRU", func(last, uses, now int) float64 { return float64(last) }},
	{"LFU", func(last, uses, now int) float64 { return float64(uses) }},
	{"LFRU", func(last, uses, now int) float64 { return float64(uses) / float64(now-last+1) }}, // often and lately
}

// Policies counts, for caches of an eighth to three quarters of each layer's experts, the share of those that decoding needs which each policy
// has there. More room has more of them, and the answers that were recorded are the reference's.
func Policies(t *testing.T, p servetest.Plugin, layers, experts int, name string) {
	if !apart(t) {
		return
	}
	traces := record(t, p, layers)
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s: hits of a cache of | 1/8 | 1/4 | 1/2 | 3/4 |\n|---|--:|--:|--:|--:|\n", name)
	for _, policy := range policies {
		fmt.Fprintf(&b, "| %s", policy.name)
		before := 0.0
		for _, part := range []float64{0.125, 0.25, 0.5, 0.75} {
			share := hits(traces, experts, max(1, int(part*float64(experts))), policy)
			fmt.Fprintf(&b, " | %.0f %%", 100*share)
			if share <= before || share > 1 {
				t.Errorf("%s: a cache of %.0f %% has %.3f of the experts, and a smaller one %.3f", policy.name, 100*part, share, before)
			}
			before = share
		}
		b.WriteString(" |\n")
	}
	t.Log(b.String())
	if whole() {
		write(t, b.String())
	}
}

// record is the experts that each pass of each layer needed, as a checkpoint's cases were answered.
func record(t *testing.T, p servetest.Plugin, layers int) (traces [][][]int32) {
	t.Helper()
	d := open(t, false)
	host := Machines[0].Use(d, 0, false)
	traces = make([][][]int32, layers)
	n := 0
	host.Routed = func(index []int32) {
		traces[n%layers] = append(traces[n%layers], slices.Clone(index))
		n++
	}
	p.Family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU}
	dir := p.Checkpoints[0]
	c := p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Context: 1024, MaxSequences: 1, StepTokens: 64}, PrefixCache: -1})
	for _, g := range servetest.Cases(t, dir) {
		servetest.SameIDs(t, g.Name+": greedy ids", servetest.Ask(t, c, g.Request(t, dir)).IDs, g.GreedyIDs)
	}
	return traces
}

// hits is the share of the experts that decoding passes needed which a cache of some of each layer's had.
func hits(traces [][][]int32, experts, room int, p policy) float64 {
	had, needed := 0, 0
	for _, passes := range traces {
		last, uses, there := make([]int, experts), make([]int, experts), map[int32]bool{}
		one := len(slices.MinFunc(passes, func(a, b []int32) int { return cmp.Compare(len(a), len(b)) })) // experts of one row
		for now, pass := range passes {
			decoded := len(pass) == one // a prompt's rows need most experts and say nothing of decoding
			for _, e := range pass {
				if decoded {
					if needed++; there[e] {
						had++
					}
				}
				last[e], uses[e] = now, uses[e]+1
				if there[e] {
					continue
				}
				if len(there) >= room {
					var all []int32
					for e := range there {
						all = append(all, e)
					}
					delete(there, slices.MinFunc(all, func(a, b int32) int {
						return cmp.Or(cmp.Compare(p.rank(last[a], uses[a], now), p.rank(last[b], uses[b], now)), cmp.Compare(a, b))
					}))
				}
				there[e] = true
			}
		}
	}
	if needed == 0 {
		return 0
	}
	return float64(had) / float64(needed)
}
