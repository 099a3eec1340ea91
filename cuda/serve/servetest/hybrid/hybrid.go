//go:build cuda && cgo

// Package hybrid has a plugin answer on machines that are imagined (cuda/kernels/sim/imagined), with less and less of their GPU: the engine,
// placement, streaming, queues and the driver's calls are those of any run, weights have the published model's sizes, and nothing is computed.
// What a token takes there stands beside what the plan said and beside what no code could do better.
package hybrid

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim/imagined"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
	sdktest "github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

// Model is what is run.
type Model struct {
	Name     string
	Family   serve.Family
	Config   string // config.json of the published model
	Machines []int  // of Machines
	Experts  int    // layers that have experts
	Skew     float64
}

// positions, prompt and the tokens of an answer; the first ones, during which caches fill and graphs are captured, do not count.
const (
	positions  = 2048
	prompt     = 100
	tokens     = 64
	settled    = 32
	allowedOff = 0.15 // that a plan may be off by
)

// Skew is how unevenly rows are sent to experts: a cache that keeps the 64 of 512 experts of a layer that were used last was measured to have 67 %
// of those that are needed, one of 128 to have 81 % (llama.cpp, pull request 27861), which is share^0.19 and share^0.15.
const Skew = 0.17

// open has the driver be the three machines, in virtual time.
func open(t testing.TB) *sim.Driver {
	t.Helper()
	library := sim.Library(t, sim.Options{})
	var memory []string
	for _, m := range Machines {
		memory = append(memory, fmt.Sprint(m.Memory))
	}
	for name, value := range map[string]string{driver.EnvLibrary: library, "PIO_SIM_DEVICES": strings.Join(memory, " "), "PIO_SIM_CONTROL": "time virtual;count on"} {
		if err := os.Setenv(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := driver.Probe(); err != nil {
		t.Fatal(err)
	}
	d, err := sim.Load(library)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Point is one budget's.
type Point struct {
	Budget            int64   // of the GPU
	Seconds           float64 // of a decoded token
	Planned           float64 // what the plan says of it
	Bound             float64 // what bytes alone would take
	Peak              int64   // most bytes that the driver had given out
	Layers, Streamed  int     // on the GPU
	Hits, PlannedHits float64 // share of the experts that were needed
	Why               []string
}

// run has a model answer on a machine with a budget of its GPU.
func (m Model) run(t testing.TB, d *sim.Driver, device int, budget int64) Point {
	t.Helper()
	p := Point{Budget: budget}
	table, steps := m.with(t, d, device, budget, func(c *client.Client) {
		servetest.Tokens(t, c, request(), nil)
		r := servetest.NewOrders(t, c).Query()
		if n := r.ExpertHits + r.ExpertMisses; n > 0 {
			p.Hits = float64(r.ExpertHits) / float64(n)
		}
	})
	p.Peak = d.Peak(device)
	p.measured(t, steps)
	p.planned(t, table, m.Skew)
	p.Bound = bound(Machines[device], table, budget)
	return p
}

// with loads a model on a machine, has f do something with it, and gives its table and the seconds of its steps.
func (m Model) with(t testing.TB, d *sim.Driver, device int, budget int64, f func(*client.Client)) (table sdk.LayerTable, steps []float64) {
	t.Helper()
	host := Machines[device].Use(d, device, true)
	d.Routing(m.Experts, m.Skew, 1)
	family := m.Family
	family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU, Counted: true, Stepped: func(s float64) { steps = append(steps, s) }}
	c, stop, err := sdktest.InProcess(serve.New(family))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	d.Peak(device)
	table = m.load(t, c, budgets(device, budget))
	if f != nil {
		f(c)
	}
	if err := c.Unload(context.Background()); err != nil {
		t.Error(err)
	}
	return table, steps
}

func budgets(device int, bytes int64) []sdk.DeviceBudget {
	return []sdk.DeviceBudget{{Name: "cpu", Bytes: 1 << 40}, {Name: driver.Name(device), Bytes: bytes}}
}

// load is a model with weights that have only sizes.
func (m Model) load(t testing.TB, c *client.Client, budgets []sdk.DeviceBudget) sdk.LayerTable {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(m.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := c.Load(t.Context(), sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: dir, Context: positions, MaxSequences: 1, StepTokens: 128, Weights: "dummy", Numerics: sdk.NumericsFast},
		Devices:        budgets, Threads: 1, PrefixCache: -1, StepTime: -1,
	}, func(sdk.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// request is a prompt of some ids, and an answer.
func request() sdk.GenerateRequest {
	req := servetest.Greedy(tokens)
	for i := range prompt {
		req.Tokens = append(req.Tokens, int32(1000+i))
	}
	req.IgnoreEOS = true
	return req
}

// measured is the mean of the last steps.
func (p *Point) measured(t testing.TB, steps []float64) {
	t.Helper()
	if len(steps) < settled {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps[len(steps)-settled:] {
		p.Seconds += s / settled
	}
}

// planned asks what a host asks before it loads, and what it knows of how experts are drawn once it has counted.
func (p *Point) planned(t testing.TB, table sdk.LayerTable, skew float64) {
	t.Helper()
	in := plan.InputOf(table, plan.Fit{Positions: table.CachePositions}, []sdk.DeviceBudget{{Name: "cpu", Bytes: 1 << 40}, {Name: table.Devices[1].Name, Bytes: p.Budget}})
	in.Depth, in.Skew = prompt+tokens-settled/2, skew
	made, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	p.PlannedHits = made.Caches[1].Hits
	p.Planned, p.Why = made.PerToken, made.Why
	for _, where := range table.Plan {
		if strings.HasPrefix(where.Module, "layers.") && strings.Count(where.Module, ".") == 1 && where.Device != "cpu" {
			p.Layers++
			if where.Streamed {
				p.Streamed++
			}
		}
	}
}

// bound is the time in which weights that a token needs can be read: those that the GPU has room for by the GPU, the others by the CPU
// where they lie, and in no time of anything else (facts of decoding with experts on the CPU, section 3.2 of the roofline).
func bound(m imagined.Machine, table sdk.LayerTable, budget int64) (seconds float64) {
	all, active := 0.0, 0.0
	for _, row := range table.Modules {
		all, active = all+float64(row.WeightBytes), active+float64(row.ActiveBytesToken)
		if row.ActiveBytesToken*16 < row.WeightBytes && !strings.Contains(row.ID, ".experts.") { // a table of which a row is looked up
			all -= float64(row.WeightBytes)
		}
	}
	there := min(1, float64(budget)/all)
	return active * (there/m.Read + (1-there)/m.HostRead)
}
