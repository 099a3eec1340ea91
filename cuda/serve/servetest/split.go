package servetest

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// split.go times a model whose layers lie on the CPU and on `far`, in real time, as that has room for none to all of them, beside what a plan says.
//
// The memory of `far` is this process's and its kernels are the CPU's, so that a token takes what the CPU takes wherever a layer lies, and what it takes to
// go over and back. Layers go there since it is said to be fast; what is expected of a token counts with what is so. The rates are those of the load: the best
// of a moment, in huge pages, without what ops take besides. So what a token takes with all layers here and with all there corrects them (plan.Measured), and
// what lies between is expected of that.

// What is run. The first tokens of an answer, with which layers come, do not count.
const (
	splitPositions = 512
	splitSettled   = 14
	splitTokens    = 64
	splitPart      = 10   // tokens of which the middle is a measured pass
	splitLink      = 4e9  // bytes/s
	splitRead      = 1e12 // that the device is said to read by
)

// split is a model that is loaded on both.
type split struct {
	b      *testing.B
	c      *client.Client
	orders *Orders
	table  sdk.LayerTable
	wanted int64 // of the device

	measured plan.Measured
	took     [11][]float64 // seconds of a token, by tenths of what is wanted
	learnt   [11][]float64 // what was expected of it
}

// Split has the published model answer with 0 to 100 % of what it takes on `far`; the ends come first in each round, and what they teach.
func (p Plugin) Split(b *testing.B) {
	s := &split{b: b, c: p.Idle(b)}
	var err error
	s.table, err = s.c.Load(b.Context(), sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: p.published(b), Context: splitPositions, MaxSequences: 1, StepTokens: 64, Weights: "dummy"},
		Devices:        []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: 1 << 40, CopyRate: splitLink, ReadRate: splitRead}}, PrefixCache: -1, StepTime: -1,
	}, func(sdk.Progress) {})
	if err != nil {
		b.Fatal(err)
	}
	s.wanted, _ = plan.Takes(s.table)
	s.wanted += plan.ScratchOn(s.table, "far")
	s.orders = NewOrders(b, s.c)
	s.answer() // nothing has been read yet
	for b.Loop() {
		for _, tenth := range []int{0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9} {
			s.point(tenth)
		}
	}
	fmt.Print(s.text()) // of what is logged a benchmark shows ten lines
}

// point has the model answer with so many tenths.
func (s *split) point(tenth int) {
	bytes := max(1, s.wanted*int64(tenth)/10)
	s.orders.Give(sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: bytes}})
	made, in := s.plan(bytes)
	parts := s.answer()
	for i, m := range s.orders.Query().Modules {
		if where := made.Placements[i].Device; m.Device != where {
			s.b.Errorf("%d %%: %s is on %s; the plan has it on %s", 10*tenth, m.ID, m.Device, where)
		}
	}
	if tenth == 0 || tenth == 10 {
		for _, seconds := range parts {
			pass := plan.Pass{Rows: 1, Depth: splitTokens / 2, Placements: made.Placements, Held: make([]int, 2), Seconds: seconds}
			if tenth == 0 {
				pass.CPU = seconds
			}
			s.measured.Passed(in, pass)
		}
	}
	s.took[tenth] = append(s.took[tenth], middle(parts))
	s.learnt[tenth] = append(s.learnt[tenth], plan.Time(s.measured.Correct(in), made, 1, splitTokens/2))
}

// plan is the one that is followed with a budget, and what it is to be counted with.
func (s *split) plan(bytes int64) (plan.Plan, plan.Input) {
	s.b.Helper()
	in := plan.InputOf(s.table, plan.Fit{Positions: s.table.CachePositions}, []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: bytes}})
	made, err := plan.Make(in)
	if err != nil {
		s.b.Fatal(err)
	}
	in.Devices = slices.Clone(in.Devices)
	in.Devices[1].ReadRate, in.Devices[1].FLOPS = in.Devices[0].ReadRate, in.Devices[0].FLOPS
	return made, in
}

// answer is the seconds of a token in the parts of an answer.
func (s *split) answer() (parts []float64) {
	req := Greedy(splitTokens)
	req.Tokens, req.IgnoreEOS = []int32{1000}, true
	var seconds []float64
	last := time.Now()
	Tokens(s.b, s.c, req, func(n int) {
		now := time.Now()
		if n >= splitSettled {
			seconds = append(seconds, now.Sub(last).Seconds())
		}
		last = now
	})
	for part := range slices.Chunk(seconds, splitPart) {
		parts = append(parts, middle(part))
	}
	return parts
}

func middle(list []float64) float64 { return slices.Sorted(slices.Values(list))[len(list)/2] }

// text is the table, and by how much what is between the ends was off at most.
func (s *split) text() string {
	var b strings.Builder
	most := 0.0
	fmt.Fprintf(&b, "the CPU reads %.1f GB/s\n\n| of what it takes on `far` | tok/s | plan, by what passes took | plan, by rates |\n|--:|--:|--:|--:|\n", s.table.Devices[0].ReadRate/1e9)
	for tenth := range s.took {
		made, in := s.plan(max(1, s.wanted*int64(tenth)/10))
		took, learnt := middle(s.took[tenth]), middle(s.learnt[tenth])
		fmt.Fprintf(&b, "| %d %% | %.1f | %.1f | %.1f |\n", 10*tenth, 1/took, 1/learnt, 1/plan.Time(in, made, 1, splitTokens/2))
		if tenth > 0 && tenth < 10 {
			most = max(most, math.Abs(took/learnt-1))
		}
	}
	s.b.ReportMetric(100*most, "%/off")
	s.b.ReportMetric(0, "ns/op")
	return b.String()
}
