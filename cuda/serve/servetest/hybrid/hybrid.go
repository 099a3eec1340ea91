//go:build cuda && cgo

package hybrid

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// hybrid.go is a model on a machine, and one point of a table.

// Model is what is run.
type Model struct {
	Name     string
	Family   serve.Family
	Config   string  // config.json of the published model
	Quantize string  // "q8", or as published
	Machines []int   // of Machines
	Tenths   []int   // of the GPU; nil: all of them
	Tokens   int     // of an answer, of which the last 32 count; 0: 64. Caches of experts fill meanwhile
	Experts  int     // layers that have experts
	Layers   int     // of the model; 0: all
	Skew     float64 // of those, see Skew
	AtOnce   bool    // who asks does so right behind the load; else when the model was idle for a while
	Slow     float64 // of the host, from a load on: see imagined.Host; 0: it is as fast as it says
}

// positions, prompt and the tokens of an answer; the first ones, during which caches fill and graphs are captured, do not count.
const (
	positions  = 2048
	prompt     = 100
	tokens     = 64
	settled    = 32
	allowedOff = 0.15 // that a plan may be off by

	allowedAtOnce = 0.1 // of AtOnce: a model that took for registered what is not yet was off by 0.11 and 0.14
)

// idle is how long nobody asks a model that was loaded. Meanwhile pages of its experts are registered, for which a load does not wait.
const idle = time.Minute

// Skew is how unevenly rows are sent to experts: a cache that keeps the 64 of 512 experts of a layer that were used last was measured to have 67 %
// of those that are needed, one of 128 to have 81 % (llama.cpp, pull request 27861), which is share^0.19 and share^0.15.
const Skew = 0.17

// apart runs a test in a process of its own, whose driver is in virtual time. go test knows what it depends on, since the library is looked for here.
func apart(t *testing.T, environment ...string) bool {
	t.Helper()
	sim.Library(t, sim.Options{})
	return sim.Apart(t, environment...)
}

// open has the driver be the machines, in virtual time. Where work is only counted nothing is computed.
func open(t testing.TB, count bool) *sim.Driver {
	t.Helper()
	var memory []string
	control := "time virtual"
	if count {
		control += ";count on"
	}
	for _, m := range Machines {
		memory = append(memory, fmt.Sprint(m.Memory))
	}
	return drive(t, strings.Join(memory, " "), control)
}

// drive has the driver be such devices, told what to do.
func drive(t testing.TB, devices, control string) *sim.Driver {
	t.Helper()
	library := sim.Library(t, sim.Options{})
	for name, value := range map[string]string{driver.EnvLibrary: library, "PIO_SIM_DEVICES": devices, "PIO_SIM_CONTROL": control} {
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
	Budget           int64   // of the GPU
	Seconds          float64 // of a decoded token
	Planned          float64 // what the plan says of it beforehand
	Bound            float64 // what bytes alone would take
	Peak             int64   // most bytes that the driver had given out
	Layers, Streamed int     // on the GPU
	Hits, Expected   float64 // share of the experts needed in those steps that were on the GPU, and what the plan says of it
	Staged           float64 // part of what is fetched again and again that went through pinned memory in those steps
	Why              []string
}

// run has a model answer on a machine with a budget of its GPU.
func (m Model) run(t testing.TB, d *sim.Driver, device int, budget int64) Point {
	t.Helper()
	p := Point{Budget: budget}
	table, steps := m.with(t, d, device, budget, func(c *client.Client) {
		if !m.AtOnce {
			d.Set(d.Now() + idle)
		}
		servetest.Tokens(t, c, m.request(), nil)
	})
	p.Peak = d.Peak(device)
	p.measured(t, steps)
	m.planned(t, &p, table)
	p.Bound = bound(Machines[device], table, budget, m.Skew)
	return p
}

// with loads a model on a machine, has f do something with it, and gives its table and the seconds of its steps.
func (m Model) with(t testing.TB, d *sim.Driver, device int, budget int64, f func(*client.Client)) (table sdk.LayerTable, steps []serve.Stepped) {
	t.Helper()
	machine := Machines[device]
	host := machine.Use(d, device, true)
	d.Routing(m.Experts, m.Skew, 1)
	family := m.Family
	family.Imagined = &serve.Imagined{Clock: host, CPU: host.CPU, Counted: true, Stepped: func(s serve.Stepped) { steps = append(steps, s) }}
	c, stop, err := sdktest.InProcess(serve.New(family))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	d.Peak(device)
	table = m.load(t, c, budgets(device, budget))
	host.Slow(m.Slow)
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
		InspectRequest: sdk.InspectRequest{Path: dir, Context: positions, MaxSequences: 1, StepTokens: 128, Weights: "dummy", Quantize: m.Quantize, Numerics: sdk.NumericsFast,
			Layers: m.Layers},
		Devices: budgets, Threads: 1, PrefixCache: -1, StepTime: -1,
	}, func(sdk.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (m Model) tokens() int { return cmp.Or(m.Tokens, tokens) }

// request is a prompt of some ids, and an answer.
func (m Model) request() sdk.GenerateRequest {
	req := servetest.Greedy(m.tokens())
	for i := range prompt {
		req.Tokens = append(req.Tokens, int32(1000+i))
	}
	req.IgnoreEOS = true
	return req
}

// measured is the mean of the last steps.
func (p *Point) measured(t testing.TB, steps []serve.Stepped) {
	t.Helper()
	if len(steps) <= settled {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps[len(steps)-settled:] {
		p.Seconds += s.Seconds / settled
		p.Staged += s.Staged / settled
	}
	first, last := steps[len(steps)-settled-1], steps[len(steps)-1]
	if n := last.Hits - first.Hits + last.Misses - first.Misses; n > 0 {
		p.Hits = float64(last.Hits-first.Hits) / float64(n)
	}
}

// planned asks what a host asks before it loads, and how long a pass through that takes, by how unevenly experts are drawn and how many of them were registered.
func (m Model) planned(t testing.TB, p *Point, table sdk.LayerTable) {
	t.Helper()
	in := plan.InputOf(table, plan.Fit{Positions: table.CachePositions}, []sdk.DeviceBudget{{Name: "cpu", Bytes: 1 << 40}, {Name: table.Devices[1].Name, Bytes: p.Budget}})
	in.Devices[1].Staged = p.Staged
	made, err := plan.Make(in)
	if err != nil {
		t.Fatal(err)
	}
	in.Skew = m.Skew
	in.Rows, in.Depth = 1, prompt+m.tokens()-settled/2
	p.Planned, p.Why = plan.Time(in, made, in.Rows, in.Depth), made.Why
	if anew, err := plan.Make(in); err != nil {
		t.Fatal(err)
	} else {
		p.Expected = anew.Caches[len(anew.Caches)-1].Hits
	}
	for _, where := range table.Plan {
		if strings.HasPrefix(where.Module, "layers.") && strings.Count(where.Module, ".") == 1 && where.Device != "cpu" {
			p.Layers++
			if where.Streamed {
				p.Streamed++
			}
		}
	}
}

// bound is the time in which the weights that a token needs can be read, and in no time of anything else: what the GPU has room for by the GPU,
// the rest by the CPU where it lies. The GPU has what every token reads first, and then the experts that were used last, by it and the CPU at once.
func bound(m imagined.Machine, table sdk.LayerTable, budget int64, skew float64) (seconds float64) {
	var dense, experts, active float64
	for _, row := range table.Modules {
		switch expert := strings.Contains(row.ID, ".experts."); {
		case expert:
			experts, active = experts+float64(row.DeviceBytes), active+float64(row.ActiveBytesToken)
		case row.ActiveBytesToken*16 >= row.WeightBytes: // no table of which a row is looked up
			dense += float64(row.ActiveBytesToken)
		}
	}
	there := min(1, float64(budget)/dense)
	seconds = dense * (there/m.Read + (1-there)/m.HostRead)
	if experts > 0 {
		share, once := min(1, max(0, float64(budget)-dense)/experts), active/experts
		hits := math.Pow(max(share, once), skew) * min(1, share/once)
		seconds += active * max(hits/m.Read, (1-hits)/m.HostRead)
	}
	return seconds
}
