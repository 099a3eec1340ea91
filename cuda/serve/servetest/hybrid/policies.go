//go:build cuda && cgo

package hybrid

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/heat"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// policies.go asks which experts a cache should keep, on recorded routings: which experts the rows of small models go to as they answer, of those
// that were trained, and of invented ones with as many experts as the published.

// Mixture is a model whose routings are recorded.
type Mixture struct {
	Plugin           servetest.Plugin
	Name             string
	Layers, Experts  int    // of the trained one: layers with experts, and experts in each
	Config           string // of the published model
	Narrow           string // what an invented one has otherwise, in JSON: as many experts, and little else
	NarrowLayers, Of int    // layers with experts and experts in each, of the invented one
}

// need is what a policy knows of an expert that was needed.
type need struct {
	last, uses int       // the pass in which it was needed last, and how often it was
	heat       heat.Heat // as the cache of cuda/serve has it
	next       int       // the pass in which it will be needed next, which only an oracle knows
}

// policy says which of the experts that are there gives way: the one of the least rank.
type policy struct {
	name string
	rank func(n *need, now int) float64
}

var policies = []policy{
	{"LRU", func(n *need, now int) float64 { return float64(n.last) }},
	{"LFU", func(n *need, now int) float64 { return float64(n.uses) }},
	{"LFRU", func(n *need, now int) float64 { return float64(n.uses) / float64(now-n.last+1) }}, // often and lately
	{"LRFU, which it has", func(n *need, now int) float64 { return float64(n.heat) }},
	{"the most possible", func(n *need, now int) float64 { return -float64(n.next) }}, // Belady's
}

var parts = []float64{0.125, 0.25, 0.5, 0.75}

// Policies counts, for caches of an eighth to three quarters of each layer's experts, the share of those that decoding needs which each policy
// has there. More room has more of them, and the answers that were recorded are the reference's.
func Policies(t *testing.T, m Mixture) {
	if !apart(t) {
		return
	}
	trained, invented := m.trained(t), m.invented(t)
	var b strings.Builder
	fmt.Fprintf(&b, "\n| %s: hits of a cache of | tiny: 1/8 | 1/4 | 1/2 | 3/4 | invented: 1/8 | 1/4 | 1/2 | 3/4 |\n|---%s|\n", m.Name, strings.Repeat("|--:", 2*len(parts)))
	for _, policy := range policies {
		fmt.Fprintf(&b, "| %s", policy.name)
		for _, from := range []struct {
			traces  [][][]int32
			experts int
		}{{trained, m.Experts}, {invented, m.Of}} {
			before := 0.0
			for _, part := range parts {
				share := hits(from.traces, from.experts, max(1, int(part*float64(from.experts))), policy)
				fmt.Fprintf(&b, " | %.0f %%", 100*share)
				if share <= before || share > 1 {
					t.Errorf("%s: a cache of %.0f %% has %.3f of the experts, and a smaller one %.3f", policy.name, 100*part, share, before)
				}
				before = share
			}
		}
		b.WriteString(" |\n")
	}
	t.Log(b.String())
	if whole() {
		write(t, b.String())
	}
}

// answers and sampled are how many are recorded, and their tokens.
const (
	answers = 6
	sampled = 160
)

// trained are the routings of the tiny model: as a checkpoint's cases are answered, and as answers are drawn behind the same prompts.
func (m Mixture) trained(t *testing.T) [][][]int32 {
	t.Helper()
	dir := m.Plugin.Checkpoints[0]
	return m.record(t, sdk.InspectRequest{Path: dir}, m.Layers, func(ask func(sdk.GenerateRequest) []int32) {
		for n, g := range servetest.Cases(t, dir) {
			servetest.SameIDs(t, g.Name+": greedy ids", ask(g.Request(t, dir)), g.GreedyIDs)
			if n < answers {
				ask(drawn(g.IDs, uint64(n)))
			}
		}
	})
}

// invented are those of a model of the published number of experts, whose weights and prompts are invented.
func (m Mixture) invented(t *testing.T) [][][]int32 {
	t.Helper()
	config, narrow := map[string]any{}, map[string]any{}
	for text, to := range map[string]*map[string]any{m.Config: &config, m.Narrow: &narrow} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	maps.Copy(config, narrow)
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return m.record(t, sdk.InspectRequest{Path: dir, Weights: "dummy"}, m.NarrowLayers, func(ask func(sdk.GenerateRequest) []int32) {
		for n := range answers {
			var ids []int32
			for i := range 32 {
				ids = append(ids, int32((n*7919+i*104729)%1000))
			}
			ask(drawn(ids, uint64(n)))
		}
	})
}

// drawn asks for tokens that are drawn.
func drawn(ids []int32, seed uint64) sdk.GenerateRequest {
	one, all := 1.0, 0
	return sdk.GenerateRequest{Tokens: ids, MaxTokens: sampled, IgnoreEOS: true, Sampling: sdk.Sampling{Seed: seed, Temperature: &one, TopP: &one, TopK: &all}}
}

// record is the experts that each pass of each layer needed while f asked.
func (m Mixture) record(t *testing.T, req sdk.InspectRequest, layers int, f func(ask func(sdk.GenerateRequest) []int32)) (traces [][][]int32) {
	t.Helper()
	d := open(t, false)
	host := Machines[0].Use(d, 0, false)
	traces = make([][][]int32, layers)
	n := 0
	host.Routed = func(index []int32) {
		traces[n%layers] = append(traces[n%layers], slices.Clone(index))
		n++
	}
	p := m.Plugin
	p.Family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU}
	req.Context, req.MaxSequences, req.StepTokens = 1024, 1, 64
	c := p.Loaded(t, sdk.LoadRequest{InspectRequest: req, PrefixCache: -1})
	f(func(req sdk.GenerateRequest) []int32 { return servetest.IDs(servetest.Tokens(t, c, req, nil)) })
	if n%layers != 0 {
		t.Fatalf("%d routings of passes through %d layers with experts", n, layers)
	}
	return traces
}

// hits is the share of the experts that decoding passes needed which a cache of some of each layer's had.
func hits(traces [][][]int32, experts, room int, p policy) float64 {
	had, needed := 0, 0
	for _, passes := range traces {
		of, is, there := make([]need, experts), make([]bool, experts), []int32{}
		after := following(passes, experts)
		one := len(slices.MinFunc(passes, func(a, b []int32) int { return cmp.Compare(len(a), len(b)) })) // experts of one row
		for now, pass := range passes {
			decoded := len(pass) == one // a prompt's rows need most experts and say nothing of decoding
			for i, e := range pass {
				if decoded {
					if needed++; is[e] {
						had++
					}
				}
				n := &of[e]
				if n.uses == 0 || n.last != now {
					n.heat, n.uses = n.heat.Needed(uint64(now+1)), n.uses+1
				}
				n.last, n.next = now, after[now][i]
				if is[e] {
					continue
				}
				is[e] = true
				if len(there) < room {
					there = append(there, e)
					continue
				}
				at := leastOf(there, func(e int32) float64 { return p.rank(&of[e], now) })
				is[there[at]], there[at] = false, e
			}
		}
	}
	if needed == 0 {
		return 0
	}
	return float64(had) / float64(needed)
}

// leastOf is where the expert of the least rank is; of equals the one of the least number.
func leastOf(list []int32, rank func(int32) float64) (at int) {
	least := math.Inf(1)
	for i, e := range list {
		if x := rank(e); x < least || x == least && e < list[at] {
			at, least = i, x
		}
	}
	return at
}

// following is the pass in which each expert that a pass needs is needed next.
func following(passes [][]int32, experts int) [][]int {
	next, list := slices.Repeat([]int{math.MaxInt}, experts), make([][]int, len(passes))
	for now, pass := range slices.Backward(passes) {
		for _, e := range pass {
			list[now] = append(list[now], next[e])
		}
		for _, e := range pass {
			next[e] = now
		}
	}
	return list
}
