package servetest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// split.go times a model whose layers lie on the CPU and on `far`, in real time, as that has room for none to all of them, beside what plans say.
//
// The memory of `far` is this process's and its kernels are the CPU's; so that it matters where a layer lies, the CPU is made slower (slowed.go). Three
// plans stand beside what tokens take, each as it is before the first one with that budget:
//
//   - by the rates of the machine right before and behind the tokens, for a shared one's memory gives twice as much in one minute as in another;
//   - by these rates and what passes took until then beside the rates of their time (plan.Measured);
//   - by what the process knows: the rates of its load, and what passes took until then as it has measured them.

// What is run. The first tokens of an answer do not count, nor do answers while layers come.
const (
	splitPositions = 512
	splitSettled   = 4
	splitPart      = 4 // passes of which the middle is one that was measured
	splitTokens    = splitSettled + 3*splitPart
	splitSamples   = 2   // answers with each budget in a round
	splitComes     = 10  // answers with another budget at most, until all layers are there
	splitTries     = 8   // of a sample, until the machine is the same before and behind it
	splitSteady    = 0.1 // which it is if its rates differ by less
	splitLink      = 4e9 // bytes/s
)

// split is a model that is loaded on both.
type split struct {
	b      *testing.B
	c      *client.Client
	orders *Orders
	table  sdk.LayerTable
	wanted int64 // of the device
	cpu    *slowed
	gauge  *gauge

	measured plan.Measured
	samples  [11][]splitSample // by tenths of what is wanted
	repeated int               // answers that were followed by another, as the machine was not the same behind them
}

// splitSample is an answer: the seconds of a token, of them by the three plans, and the machine beside it.
type splitSample struct {
	took                 float64
	rates, passes, knows float64
	machine              speeds
	apart                float64 // the machine's before and behind it
}

// splitKnown is what there is to expect of a budget before a token has come with it.
type splitKnown struct {
	made     plan.Plan
	told     plan.Input // as the load has measured
	knows    plan.Input // as the process has since
	measured plan.Measured
}

// Split has the published model answer with 0 to 100 % of what it takes on `far`; at first with none and all, which teach and do not count.
func (p Plugin) Split(b *testing.B) {
	s := &split{b: b, cpu: &slowed{}, gauge: newGauge(b)}
	p.Family.Imagined = &serve.Imagined{Clock: clock.Real(), CPU: s.cpu.of, Stepped: s.cpu.stepped, Learns: true}
	s.c = p.Idle(b)
	var err error
	s.table, err = s.c.Load(b.Context(), sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: p.published(b), Context: splitPositions, MaxSequences: 1, StepTokens: 64, Weights: "dummy"},
		Devices:        []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: 1 << 40, CopyRate: splitLink, ReadRate: s.gauge.now().far}}, PrefixCache: -1, StepTime: -1,
	}, func(sdk.Progress) {})
	if err != nil {
		b.Fatal(err)
	}
	s.wanted, _ = plan.Takes(s.table)
	s.wanted += plan.ScratchOn(s.table, "far")
	s.orders = NewOrders(b, s.c)
	s.answer() // nothing has been read yet
	s.point(0)
	s.point(10)
	s.samples, s.repeated = [11][]splitSample{}, 0
	for b.Loop() {
		for _, tenth := range []int{5, 2, 8, 0, 6, 10, 1, 9, 3, 7, 4} {
			s.point(tenth)
		}
	}
	fmt.Print(s.text()) // of what is logged a benchmark shows ten lines
}

// point has the model answer with so many tenths.
func (s *split) point(tenth int) {
	bytes := max(1, s.wanted*int64(tenth)/10)
	known := s.known(bytes)
	s.orders.Give(sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: bytes}})
	for range splitComes {
		if s.answer(); s.follows(known.made) == "" {
			break
		}
	}
	for range splitSamples {
		s.samples[tenth] = append(s.samples[tenth], s.sample(known))
	}
	if other := s.follows(known.made); other != "" {
		s.b.Errorf("%d %%: %s", 10*tenth, other)
	}
}

// follows says which module is not where a plan has it; "" is none.
func (s *split) follows(made plan.Plan) string {
	for i, m := range s.orders.Query().Modules {
		if where := made.Placements[i].Device; m.Device != where || !slices.Contains(m.Resident, where) {
			return fmt.Sprintf("%s is on %s; the plan has it on %s", m.ID, m.Device, where)
		}
	}
	return ""
}

// known is the plan that will be followed with a budget, and what there is to expect of it.
func (s *split) known(bytes int64) splitKnown {
	s.b.Helper()
	in := plan.InputOf(s.table, plan.Fit{Positions: s.table.CachePositions}, []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: bytes}})
	k := splitKnown{told: in, knows: in, measured: s.measured}
	k.knows.Devices = slices.Clone(in.Devices)
	for i, d := range s.orders.Query().Devices {
		k.knows.Devices[i].Slower, k.knows.Devices[i].CopyRate = d.Slower, d.CopyRate
	}
	var err error
	if k.made, err = plan.Make(k.knows); err != nil {
		s.b.Fatal(err)
	}
	return k
}

// sample is an answer beside which the machine stays the same, or that of some beside which it changes least. What passes take is learnt of it.
func (s *split) sample(k splitKnown) (best splitSample) {
	var took []steppedOnce
	before := s.gauge.now()
	for try := range splitTries {
		seconds, passes := s.answer()
		behind := s.gauge.now()
		is := splitSample{took: middle(seconds), machine: before.mean(behind), apart: before.apart(behind)}
		if try == 0 || is.apart < best.apart {
			best, took = is, passes
		}
		if best.apart < splitSteady {
			break
		}
		s.repeated, before = s.repeated+1, behind
	}
	in := best.machine.of(k.told)
	seconds := func(in plan.Input) float64 { return plan.Time(in, k.made, 1, splitTokens/2) }
	best.rates, best.passes, best.knows = seconds(in), seconds(k.measured.Correct(in)), seconds(k.knows)
	for part := range slices.Chunk(took, splitPart) {
		pass := slices.SortedFunc(slices.Values(part), func(a, b steppedOnce) int { return int(a.all - b.all) })[len(part)/2]
		s.measured.Passed(in, plan.Pass{Rows: 1, Depth: splitTokens / 2, Placements: k.made.Placements, Held: make([]int, 2), CPU: pass.cpu.Seconds(), Seconds: pass.all.Seconds()})
	}
	return best
}

// answer is the seconds of each token that counts, and of the passes meanwhile.
func (s *split) answer() (seconds []float64, passes []steppedOnce) {
	req := Greedy(splitTokens)
	req.Tokens, req.IgnoreEOS = []int32{1000}, true
	last := time.Now()
	Tokens(s.b, s.c, req, func(n int) {
		now := time.Now()
		if n >= splitSettled {
			seconds = append(seconds, now.Sub(last).Seconds())
		}
		last = now
	})
	return seconds, s.cpu.passes()[splitSettled:]
}

func middle(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return (sorted[(len(list)-1)/2] + sorted[len(list)/2]) / 2
}

// text is the table, and by how much plans were off at most.
func (s *split) text() string {
	var b strings.Builder
	of := func(tenth int, f func(splitSample) float64) float64 {
		var list []float64
		for _, sample := range s.samples[tenth] {
			list = append(list, f(sample))
		}
		return middle(list)
	}
	plans := []struct {
		name string
		of   func(splitSample) float64
	}{
		{"rates", func(s splitSample) float64 { return s.rates }},
		{"passes", func(s splitSample) float64 { return s.passes }},
		{"load", func(s splitSample) float64 { return s.knows }},
	}
	most, apart := make([]float64, len(plans)), 0
	fmt.Fprintf(&b, "| of what it takes on `far` | the CPU and `far` read, GB/s | tok/s | plan by these rates, off | and by passes before | by the load's rates and passes before |\n"+
		"|--:|--:|--:|--:|--:|--:|\n")
	for tenth, samples := range s.samples {
		for _, sample := range samples {
			if sample.apart >= splitSteady {
				apart++
			}
		}
		fmt.Fprintf(&b, "| %d %% | %.1f, %.1f | %.1f |", 10*tenth, of(tenth, func(s splitSample) float64 { return s.machine.cpu })/1e9,
			of(tenth, func(s splitSample) float64 { return s.machine.far })/1e9, 1/of(tenth, func(s splitSample) float64 { return s.took }))
		for i, by := range plans {
			off := of(tenth, func(s splitSample) float64 { return s.took/by.of(s) - 1 })
			fmt.Fprintf(&b, " %.1f, %+.1f %% |", 1/of(tenth, by.of), 100*off)
			most[i] = max(most[i], math.Abs(off))
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "\nin the load the CPU read %.1f GB/s, far %.1f; %d answers were repeated, and beside %d of %d that count the machine was not the same either\n",
		s.table.Devices[0].ReadRate/1e9, s.table.Devices[1].ReadRate/1e9, s.repeated, apart, len(s.samples)*len(s.samples[0]))
	for i, by := range plans {
		s.b.ReportMetric(100*most[i], "%/off-by-"+by.name)
	}
	s.b.ReportMetric(0, "ns/op")
	return b.String()
}
