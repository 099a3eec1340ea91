// Package forecast says what a host would do with its models on a machine before anything is loaded: which memory each would have, where its
// modules would lie, how fast it would be at best, and what would have to give for more. It calls what the host and the plugins call, so
// that what it says of the machine at hand is what then happens.
package forecast

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// PromptRows is the piece of a prompt that its speed is told for: what our plugins compute at once unless an entry says otherwise.
const PromptRows = 512

// Ask asks the plugin of an entry about its checkpoint.
type Ask func(m config.Model, measure *sdk.Measurement) (sdk.Inspection, error)

// Model is what becomes of one entry.
type Model struct {
	Entry  config.Model
	Err    error // it cannot be loaded: why, and what would help
	Known  bool  // its plugin tells what it takes; otherwise nothing below is known
	Fit    plan.Fit
	Input  plan.Input // what its process plans with; without devices if the plugin does not measure any
	Plan   plan.Plan
	Decode Speed
	Prompt float64  // tokens per second of a prompt, in pieces of PromptRows
	Cores  int      // that it computes on while it works alone
	Shared Shared   // while all models work
	Gives  []string // what would make more of it lie on devices besides the cpu, a sentence each

	flops map[string]float64 // of devices that are imagined
}

// Speed is in tokens per second of one sequence, at best: what memory, links and cores allow.
type Speed struct {
	First float64 // at the beginning
	Last  float64 // with the whole context before it
}

// Shared is what a model has of the cores while all models work, and how fast it then is at best.
type Shared struct {
	Cores  int
	With   int // how many others
	Decode Speed
}

// Sequences is how many sequences of the context fit at once.
func (m *Model) Sequences() int { return max(1, m.Fit.Positions/max(1, m.Fit.Context)) }

// Of forecasts for the devices and models of c, which the machine has equipped, and so much memory. tables are the answers of the models'
// plugins, in the order of entries. The models share so many cores, those on which their plugins measure.
func Of(c *config.Config, memory schedule.Budget, cores int, entries []config.Model, tables []sdk.LayerTable, ask Ask) []Model {
	var asked []schedule.Asked
	for i, m := range entries {
		asked = append(asked, schedule.Asked{Model: m, Need: plan.NeedOf(tables[i], m.Inspect()).WithSpill(m.Spill())})
	}
	budgets, flops := schedule.Budgets(c), map[string]float64{}
	for _, d := range c.Devices {
		flops[d.Name] = d.FLOPS
	}
	var list []Model
	for i, share := range schedule.Shares(memory, asked) {
		m := Model{Entry: entries[i], Err: share.Err, Known: asked[i].Need.Known(), flops: flops}
		if m.Err == nil && m.Known {
			if memory.Bytes == 0 {
				share.Bytes = asked[i].Need.Wanted()
			}
			m.Fit, _ = asked[i].Need.Fit(share.Bytes)
			m.Err = m.place(schedule.WithCPU(budgets[m.Entry.ID], share.Bytes), ask)
		}
		list = append(list, m)
	}
	shareCores(list, cores)
	return list
}

// shareCores says what becomes of the models that were planned while each works alone, and while all do.
func shareCores(list []Model, cores int) {
	var workers []plan.Worker
	var who []*Model
	for i := range list {
		if m := &list[i]; m.Err == nil && len(m.Input.Devices) > 0 {
			workers = append(workers, plan.Worker{Name: m.Entry.ID, Threads: m.Entry.Threads, Priority: m.Entry.Priority, Busy: true})
			who = append(who, m)
		}
	}
	shares, _ := plan.DivideCores(cores, workers, 0)
	for i, m := range who {
		m.Cores = workers[i].Most(cores)
		m.Shared = Shared{shares[i].Cores, shares[i].With, speedOf(plan.OnCores(m.Input, shares[i].Cores, m.Cores), m.Plan, m.Fit.Context)}
	}
}

// place plans for a model with what it may have of each device.
func (m *Model) place(budgets []sdk.DeviceBudget, ask Ask) error {
	t, err := m.measured(m.Entry, budgets, ask)
	if err != nil || len(t.Devices) == 0 {
		return err
	}
	m.Input = m.input(t, budgets)
	if m.Plan, err = plan.Make(m.Input); err != nil {
		return err
	}
	m.Decode = speedOf(m.Input, m.Plan, m.Fit.Context)
	rows := min(cmp.Or(m.Entry.StepTokens, PromptRows), m.Fit.Context)
	m.Prompt = float64(rows) / plan.Time(ofPrompt(m.Input, rows), m.Plan, rows, 0)
	m.gives(budgets, ask)
	return nil
}

// ofPrompt is in for a piece of a prompt of so many rows, of which the last one alone is multiplied with what chooses a token.
func ofPrompt(in plan.Input, rows int) plan.Input {
	in.Modules = slices.Clone(in.Modules)
	for i := range in.Modules {
		if m := &in.Modules[i]; !strings.HasPrefix(m.ID, "layers.") {
			m.FLOPsToken /= float64(rows)
		}
	}
	return in
}

// input is what a process plans with. Nobody has measured how fast a card multiplies that is imagined.
func (m *Model) input(t sdk.LayerTable, budgets []sdk.DeviceBudget) plan.Input {
	in := plan.InputOf(t, m.Fit, budgets)
	for i := range in.Devices {
		if d := &in.Devices[i]; d.FLOPS == 0 {
			d.FLOPS = m.flops[d.Name]
		}
	}
	return in
}

// measured asks about an entry as its process will lay it out.
func (m *Model) measured(entry config.Model, budgets []sdk.DeviceBudget, ask Ask) (sdk.LayerTable, error) {
	entry.Context = m.Fit.Context
	in, err := ask(entry, &sdk.Measurement{Devices: budgets, Threads: entry.Threads})
	return in.Table, err
}

func speedOf(in plan.Input, p plan.Plan, context int) Speed {
	return Speed{1 / plan.Time(in, p, 1, 0), 1 / plan.Time(in, p, 1, context)}
}

// gives finds what would bring what is left on the cpu to the other devices: more of their memory, and of layers a shorter context or smaller
// weights.
func (m *Model) gives(budgets []sdk.DeviceBudget, ask Ask) {
	if len(m.Input.Devices) < 2 || m.Plan.Whole(m.Input) {
		return
	}
	layers := m.Plan.Away()
	var lacked int64
	if !layers {
		lacked = m.more("all its layers", plan.Plan.Away, 0)
	}
	m.more("all that a token reads", func(p plan.Plan) bool { return p.Whole(m.Input) }, lacked)
	if layers {
		return
	}
	if context := plan.RoomFor(m.Input, m.Fit.Context, m.Sequences()); context > 0 {
		m.Gives = append(m.Gives, fmt.Sprintf("context = %d would leave room for all its layers", context))
	}
	if m.Entry.Quantize != "" || m.Entry.Weights == "dummy" {
		return
	}
	for _, form := range []string{"q8", "q4"} {
		entry := m.Entry
		entry.Quantize, entry.Numerics = form, config.DefaultNumerics(form, entry.Path)
		t, err := m.measured(entry, budgets, ask)
		if err != nil || len(t.Devices) == 0 {
			return // it does not quantise
		}
		in := m.input(t, budgets)
		p, err := plan.Make(in)
		if err != nil {
			continue
		}
		m.Gives = append(m.Gives, fmt.Sprintf("quantize = %q: %s tokens a second, with %s", form, Rate(speedOf(in, p, m.Fit.Context).First), share(p)))
	}
}

// share says how many of a plan's layers left the cpu.
func share(p plan.Plan) string {
	if p.Away() {
		return "all its layers on devices"
	}
	return "some of its layers on the cpu still"
}

// more tells how much larger the last device would have to be for a plan that holds so much, and how fast that is, where it is more than what was
// told before.
func (m *Model) more(what string, holds func(plan.Plan) bool, told int64) (lacked int64) {
	lacked, p := m.lacks(holds)
	if lacked <= told {
		return told
	}
	in := m.Input
	last := in.Devices[len(in.Devices)-1].Name
	m.Gives = append(m.Gives, fmt.Sprintf("%s more of %s would hold %s: %s tokens a second", plan.Size(lacked), last, what, Rate(speedOf(in, p, m.Fit.Context).First)))
	return lacked
}

// lacks is how much larger the last device would have to be for a plan that holds so much, and that plan; 0 if no size would do.
func (m *Model) lacks(holds func(plan.Plan) bool) (int64, plan.Plan) {
	in := m.Input
	in.Devices = append([]plan.Device(nil), in.Devices...)
	last := &in.Devices[len(in.Devices)-1]
	least, low, high := last.Bytes, last.Bytes, last.Bytes+1<<45
	last.Bytes = high
	found, err := plan.Make(in)
	if err != nil || !holds(found) {
		return 0, found
	}
	for high-low > 1<<20 {
		last.Bytes = low + (high-low)/2
		if p, err := plan.Make(in); err == nil && holds(p) {
			high, found = last.Bytes, p
		} else {
			low = last.Bytes
		}
	}
	return high - least, found
}

// Rate writes tokens per second to three digits, "?" where nothing is known.
func Rate(perSecond float64) string {
	if perSecond <= 0 || math.IsInf(perSecond, 0) || math.IsNaN(perSecond) {
		return "?"
	}
	if perSecond >= 1000 {
		digits := math.Pow(10, math.Floor(math.Log10(perSecond))-2)
		return fmt.Sprintf("%.0f", math.Round(perSecond/digits)*digits)
	}
	return fmt.Sprintf("%.3g", perSecond)
}
