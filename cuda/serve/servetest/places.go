package servetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// places.go gives orders to a plugin, moves its modules about and resumes its answers: no token may change.

// Orders gives orders to a plugin, one after the other.
type Orders struct {
	t    testing.TB
	s    *client.Scheduler
	last uint64
}

// NewOrders is the scheduler of a plugin that has loaded a model.
func NewOrders(t testing.TB, c *client.Client) *Orders {
	t.Helper()
	s, err := c.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &Orders{t: t, s: s}
}

// Move has a module computed on another device, and waits until it is.
func (o *Orders) Move(module, device string) {
	o.t.Helper()
	if r := o.Give(sdk.Order{Move: &sdk.MoveOrder{Module: module, Device: device}}); r.Done.Error != "" {
		o.t.Fatalf("moving %s to %s: %s", module, device, r.Done.Error)
	}
}

// budget has the CPU hold no more than so many bytes. The report says whether it does.
func (o *Orders) budget(bytes int64) sdk.Report {
	o.t.Helper()
	return o.Give(sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", Bytes: bytes}})
}

// Query asks where everything is.
func (o *Orders) Query() sdk.Report {
	o.t.Helper()
	return o.Give(sdk.Order{Query: &sdk.QueryOrder{}})
}

// Give sends an order and waits for the report that answers it.
func (o *Orders) Give(order sdk.Order) sdk.Report {
	o.t.Helper()
	o.last++
	order.ID = o.last
	if err := o.s.Send(order); err != nil {
		o.t.Fatal(err)
	}
	for {
		r, err := o.s.Recv()
		if err != nil {
			o.t.Fatal(err)
		}
		if order.Query != nil && len(r.Modules) > 0 || order.Query == nil && r.Done != nil && r.Done.ID == order.ID {
			return r
		}
	}
}

// Tokens runs a request and gives what it sends; before is called with the number of those that came before each.
func Tokens(t testing.TB, c *client.Client, req sdk.GenerateRequest, before func(n int)) (got []sdk.Token) {
	t.Helper()
	req.ID = t.Name()
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		if e.Token != nil {
			if before != nil {
				before(len(got))
			}
			got = append(got, *e.Token)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// IDs are those of tokens.
func IDs(tokens []sdk.Token) (ids []int32) {
	for _, token := range tokens {
		ids = append(ids, token.ID)
	}
	return ids
}

// Sampled asks for 90 tokens behind the longest prompt of a checkpoint's cases, drawn with a seed.
func Sampled(t testing.TB, dir string) sdk.GenerateRequest {
	t.Helper()
	long := slices.MaxFunc(Cases(t, dir), func(a, b Case) int { return len(a.IDs) - len(b.IDs) })
	one, all := 1.0, 0
	return sdk.GenerateRequest{Tokens: long.IDs, MaxTokens: 90, IgnoreEOS: true, Sampling: sdk.Sampling{Seed: 5, Temperature: &one, TopP: &one, TopK: &all}}
}

// Resumed replaces a process in the middle of an answer by one that is told what was sent so far: it goes on with what would have
// come, wherever the cut is, though a prompt's positions are computed in chunks and the others were one by one.
func (p Plugin) Resumed(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) { p.resumed(t, dir) })
}

func (p Plugin) resumed(t testing.TB, dir string) {
	t.Helper()
	req := Sampled(t, dir)
	want := IDs(Tokens(t, p.With(t, dir), req, nil))
	c, whole := p.With(t, dir), 64-len(req.Tokens)%64 // tokens that make whole blocks of the positions before
	for _, n := range []int{0, 1, whole - 1, whole, whole + 1, len(want) - 1} {
		again := req
		again.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: want[:n]}
		SameIDs(t, fmt.Sprintf("after %d tokens the ids", n), IDs(Tokens(t, c, again, nil)), want[n:])
	}
}

// AtEveryPace runs a test with a plugin whose far devices run at once, as late as can be, at random and in their own time. In the end no use
// of memory may have been accused.
func AtEveryPace(t *testing.T, p Plugin, f func(t *testing.T, p Plugin)) {
	for _, pace := range far.Paces() {
		t.Run(pace.String(), func(t *testing.T) {
			p.Family.Far, p.pace = machines(t, pace), pace
			f(t, p)
		})
	}
}

// machines makes far devices that run at a pace, and fails the test, once the plugins have ended, for each use of memory that was accused.
func machines(t *testing.T, pace far.Pace) func(c *cpu.Device) *far.Machine {
	var list []*far.Machine
	t.Cleanup(func() {
		for _, m := range list {
			for _, err := range m.Faults() {
				t.Error(err)
			}
		}
	})
	return func(c *cpu.Device) *far.Machine {
		list = append(list, far.NewMachine(c, pace))
		return list[len(list)-1]
	}
}

// Elsewhere is what a second device has room for.
type Elsewhere struct {
	Bytes           int64
	Layers, Experts int // of the model
	Least, Most     int // experts that are there at the end
}

// ExpertsElsewhere has the layers and some of their experts on a second device: which ones it has changes from token to token, and no
// token changes.
func (p Plugin) ExpertsElsewhere(t *testing.T) {
	AtEveryPace(t, p, func(t *testing.T, p Plugin) {
		want := p.Elsewhere
		if p.pace != far.Now() {
			want.Least = 1 // more are on their way at the end
		}
		p.expertsElsewhere(t, want)
	})
}

func (p Plugin) expertsElsewhere(t *testing.T, want Elsewhere) {
	p.Each(t, func(t *testing.T, dir string) {
		c := p.Loaded(t, sdk.LoadRequest{
			InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: 1, StepTokens: 128},
			Devices:        []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: want.Bytes, ReadRate: 1e12, CopyRate: 1e12}},
		})
		for range 2 {
			for _, g := range Cases(t, dir) {
				SameIDs(t, g.title()+": greedy ids", Ask(t, c, g.Request(t, dir)).IDs, g.GreedyIDs)
			}
		}
		r := NewOrders(t, c).Query()
		experts, there, layers := 0, 0, 0
		for _, m := range r.Modules {
			switch {
			case strings.Contains(m.ID, ".experts."):
				experts++
				if slices.Contains(m.Resident, "far") {
					there++
				}
			case strings.HasPrefix(m.ID, "layers.") && m.Device == "far":
				layers++
			}
		}
		how := fmt.Sprintf("%d of %d experts, %d layers and at most %d of %d bytes are there; %d hits, %d misses, %d evictions",
			there, experts, layers, r.Devices[1].Peak, r.Devices[1].Budget, r.ExpertHits, r.ExpertMisses, r.Evictions)
		if layers != want.Layers || experts != want.Experts || there < want.Least || there > want.Most ||
			r.ExpertHits == 0 || r.ExpertMisses == 0 || r.Evictions == 0 || r.Devices[1].Peak > r.Devices[1].Budget {
			t.Errorf("%s; want %+v", how, want)
		}
		t.Log(how)
	})
}
