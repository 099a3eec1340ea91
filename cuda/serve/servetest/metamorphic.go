package servetest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// metamorphic.go draws how an answer is computed: where layers lie and go, in how many rows a prompt is computed, beside whom, what the prefix cache has
// of it, and where its process ends. None of it may change a token. Whatever fails is made smaller until nothing can be left out.

// Places are what lives have besides the CPU.
type Places struct {
	Devices []string
	Bytes   []int64   // that each of them may hold
	Links   []float64 // bytes/s to them: layers come at once, or while tokens do; nil: what the devices have
	Lives   int       // that are drawn for each checkpoint, unless -rapid.checks says how many
	Tokens  int       // of an answer
	// Greedy compares a case's answer with the reference's, which holds wherever layers lie; otherwise an answer is drawn, which is the same to the
	// bit where all devices compute alike.
	Greedy bool
	// Peak is the most bytes that a device's driver had given out since it was asked last; nil: nobody counts.
	Peak func(device string) int64
}

// alike is a device that computes as the CPU does.
var alike = Places{Devices: []string{"far"}, Bytes: []int64{0, 1 << 20, 3 << 20, 64 << 20}, Links: []float64{1e12, 100e6, 10e6}, Lives: 4, Tokens: 32}

// life is how an answer is computed.
type life struct {
	Rows, Sequences, Company int     // rows of a step, room for sequences, requests beside it
	Bytes                    []int64 // of each device
	Link                     float64 // bytes/s to them; 0: what they have
	Cache, Twice             bool    // the prefix cache is on; the same was asked before
	Kills                    []int   // tokens behind which the process ends
	Orders                   []disturbance
}

// disturbance is an order behind a token: a module moves, or a device may hold other bytes.
type disturbance struct {
	At             int
	Module, Device string // no module: the budget of the device
	Budget         int64
}

func drawLife(t *rapid.T, where Places, tokens int, modules []string) life {
	bytes := rapid.SampledFrom(where.Bytes)
	l := life{
		Rows: rapid.SampledFrom([]int{80, 128, 512}).Draw(t, "rows"), Sequences: rapid.IntRange(1, 3).Draw(t, "sequences"),
		Company: rapid.IntRange(0, 2).Draw(t, "company"), Cache: rapid.Bool().Draw(t, "cache"), Twice: rapid.Bool().Draw(t, "twice"),
		Kills: rapid.SliceOfNDistinct(rapid.IntRange(1, tokens-1), 0, 2, rapid.ID[int]).Draw(t, "kills"),
	}
	for _, name := range where.Devices {
		l.Bytes = append(l.Bytes, bytes.Draw(t, name))
	}
	if where.Links != nil {
		l.Link = rapid.SampledFrom(where.Links).Draw(t, "link")
	}
	slices.Sort(l.Kills)
	for range rapid.IntRange(0, 6).Draw(t, "orders") {
		d := disturbance{At: rapid.IntRange(0, tokens-1).Draw(t, "at")}
		if rapid.Bool().Draw(t, "budget") {
			d.Device, d.Budget = rapid.SampledFrom(where.Devices).Draw(t, "of"), bytes.Draw(t, "bytes")
		} else {
			d.Module, d.Device = rapid.SampledFrom(modules).Draw(t, "module"), rapid.SampledFrom(append([]string{"cpu"}, where.Devices...)).Draw(t, "to")
		}
		l.Orders = append(l.Orders, d)
	}
	return l
}

// most is the largest budget that a device has in a life.
func (l life) most(where Places, device int) int64 {
	most := l.Bytes[device]
	for _, d := range l.Orders {
		if d.Module == "" && d.Device == where.Devices[device] {
			most = max(most, d.Budget)
		}
	}
	return most
}

// Metamorphic compares answers that are computed in ways that are drawn with those of a plugin that is left alone.
func (p Plugin) Metamorphic(t *testing.T) { p.Lives(t, alike) }

// Lives is Metamorphic with other devices.
func (p Plugin) Lives(t *testing.T, where Places) {
	checks := flag.Lookup("rapid.checks")
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f == checks })
	if was := checks.Value.String(); !set {
		_ = checks.Value.Set(fmt.Sprint(where.Lives))
		defer checks.Value.Set(was)
	}
	p.Each(t, func(t *testing.T, dir string) { p.metamorphic(t, dir, where) })
}

func (p Plugin) metamorphic(t testing.TB, dir string, where Places) {
	req := Sampled(t, dir)
	req.Tokens, req.MaxTokens = req.Tokens[:min(len(req.Tokens), 150)], where.Tokens
	c := p.With(t, dir)
	var want []int32
	if where.Greedy {
		g := told(t, dir)
		req = Greedy(min(where.Tokens, len(g.GreedyIDs)))
		req.Tokens = g.IDs
		want = g.GreedyIDs[:req.MaxTokens]
	} else {
		want = IDs(Tokens(t, c, req, nil))
	}
	var modules []string
	for _, m := range NewOrders(t, c).Query().Modules {
		if layer(m.ID) {
			modules = append(modules, m.ID)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLife(rt, where, req.MaxTokens, modules)
		got, err := p.live(t, dir, req, l, where)
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("the ids are\n%v, and computed otherwise\n%v", got, want)
		}
		for i, device := range where.Devices {
			if where.Peak == nil {
				break
			}
			if peak, most := where.Peak(device), l.most(where, i); peak > most {
				rt.Fatalf("of %s %d bytes were taken at once; it may hold %d at most", device, peak, most)
			}
		}
	})
}

// live answers a request, in one process after another.
func (p Plugin) live(t testing.TB, dir string, req sdk.GenerateRequest, l life, where Places) (got []int32, err error) {
	load := sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: l.Sequences, StepTokens: l.Rows},
		Devices:        []sdk.DeviceBudget{{Name: "cpu"}},
	}
	for i, name := range where.Devices {
		d := sdk.DeviceBudget{Name: name, Bytes: l.Bytes[i], CopyRate: l.Link}
		if l.Link > 0 {
			d.ReadRate = 1e12
		}
		load.Devices = append(load.Devices, d)
	}
	if !l.Cache {
		load.PrefixCache = -1
	}
	kills := l.Kills
	for len(got) < req.MaxTokens && err == nil {
		end := req.MaxTokens
		if len(kills) > 0 {
			end, kills = kills[0], kills[1:]
		}
		got, err = p.liveUntil(t, load, req, l, got, end)
	}
	return got, err
}

// liveUntil answers on from what there is in a new process, which ends behind so many tokens.
func (p Plugin) liveUntil(t testing.TB, load sdk.LoadRequest, req sdk.GenerateRequest, l life, got []int32, end int) ([]int32, error) {
	c, stop, err := p.Start(t.Context())
	if err != nil {
		return got, err
	}
	defer stop()
	if _, err := c.Load(t.Context(), load, func(sdk.Progress) {}); err != nil {
		return got, err
	}
	orders := NewOrders(t, c)
	ctx, cancel := context.WithCancelCause(t.Context())
	var company sync.WaitGroup
	defer func() { // as the end of a process does, this gives back what it has of devices
		company.Wait()
		_ = c.Unload(context.Background()) // whoever has the memory still is found by who counts it
	}()
	defer cancel(errKilled)
	others := req // which is given another name below
	for i := range l.Company {
		company.Go(func() { keepCompany(ctx, c, others, i) })
	}
	if l.Twice {
		first := req
		first.ID, first.MaxTokens = "the first time", 8
		if err := c.Generate(t.Context(), first, func(sdk.Event) error { return nil }); err != nil {
			return got, err
		}
	}
	if req.ID = t.Name(); len(got) > 0 {
		req.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: slices.Clone(got)}
	}
	err = c.Generate(ctx, req, func(e sdk.Event) error {
		if e.Token == nil || len(got) == end {
			return nil
		}
		for _, d := range l.Orders {
			if d.At == len(got) {
				orders.Give(d.order()) // one that cannot be carried out is refused
			}
		}
		if got = append(got, e.Token.ID); len(got) == end && end < req.MaxTokens {
			cancel(errKilled)
		}
		return nil
	})
	if errors.Is(context.Cause(ctx), errKilled) {
		err = nil
	}
	return got, err
}

// toldMost is the longest prompt that lives begin with where a reference tells what comes of it: two pieces of the shortest steps. Imitations of GPUs are slow.
const toldMost = 150

// told is the case with the longest prompt up to that and an answer of some length; without one nothing would be compared.
func told(t testing.TB, dir string) (best Case) {
	t.Helper()
	for _, g := range Cases(t, dir) {
		if fits := len(g.IDs) <= toldMost && len(g.GreedyIDs) > 12 && len(g.Images) == 0; fits && len(g.IDs) > len(best.IDs) {
			best = g
		}
	}
	if len(best.IDs) == 0 {
		t.Fatalf("%s: no case has a prompt of at most %d tokens, no picture and an answer of more than 12", dir, toldMost)
	}
	return best
}

// keepCompany asks something that begins alike, until the process ends.
func keepCompany(ctx context.Context, c *client.Client, req sdk.GenerateRequest, i int) {
	req.ID = fmt.Sprint("company ", i)
	req.Tokens = append(slices.Clone(req.Tokens[:len(req.Tokens)/(i+1)]), req.Tokens[:i+1]...)
	req.Sampling.Seed += uint64(i) + 1
	_ = c.Generate(ctx, req, func(sdk.Event) error { return nil }) // its answer is not looked at
}

func (d disturbance) order() sdk.Order {
	if d.Module == "" {
		return sdk.Order{Budget: &sdk.BudgetOrder{Device: d.Device, Bytes: d.Budget}}
	}
	return sdk.Order{Move: &sdk.MoveOrder{Module: d.Module, Device: d.Device}}
}
