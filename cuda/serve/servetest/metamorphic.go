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

// lives are drawn for each checkpoint, unless -rapid.checks says how many.
const lives = 4

// life is how an answer is computed.
type life struct {
	Rows, Sequences, Company int     // rows of a step, room for sequences, requests beside it
	Far                      int64   // bytes of the second device
	Link                     float64 // bytes/s to it: layers come at once, or while tokens do
	Cache, Twice             bool    // the prefix cache is on; the same was asked before
	Kills                    []int   // tokens behind which the process ends
	Orders                   []disturbance
}

// disturbance is an order behind a token: a layer moves, or a device may hold other bytes.
type disturbance struct {
	At, Layer int
	Far       bool
	Budget    int64 // of the second device; -1: the layer moves
}

func drawLife(t *rapid.T, tokens, layers int) life {
	bytes := rapid.SampledFrom([]int64{0, 1 << 20, 3 << 20, 64 << 20})
	l := life{
		Rows: rapid.SampledFrom([]int{80, 128, 512}).Draw(t, "rows"), Sequences: rapid.IntRange(1, 3).Draw(t, "sequences"),
		Company: rapid.IntRange(0, 2).Draw(t, "company"), Far: bytes.Draw(t, "far"), Link: rapid.SampledFrom([]float64{1e12, 100e6, 10e6}).Draw(t, "link"),
		Cache: rapid.Bool().Draw(t, "cache"), Twice: rapid.Bool().Draw(t, "twice"),
		Kills: rapid.SliceOfNDistinct(rapid.IntRange(1, tokens-1), 0, 2, rapid.ID[int]).Draw(t, "kills"),
	}
	slices.Sort(l.Kills)
	for range rapid.IntRange(0, 6).Draw(t, "orders") {
		d := disturbance{At: rapid.IntRange(0, tokens-1).Draw(t, "at"), Budget: -1}
		if rapid.Bool().Draw(t, "budget") {
			d.Budget = bytes.Draw(t, "bytes")
		} else {
			d.Layer, d.Far = rapid.IntRange(0, layers-1).Draw(t, "layer"), rapid.Bool().Draw(t, "to far")
		}
		l.Orders = append(l.Orders, d)
	}
	return l
}

// Metamorphic compares answers that are computed in ways that are drawn with those of a plugin that is left alone.
func (p Plugin) Metamorphic(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f == checks })
	if was := checks.Value.String(); !set {
		_ = checks.Value.Set(fmt.Sprint(lives))
		defer checks.Value.Set(was)
	}
	p.Each(t, func(t *testing.T, dir string) { p.metamorphic(t, dir) })
}

func (p Plugin) metamorphic(t testing.TB, dir string) {
	req := Sampled(t, dir)
	req.Tokens, req.MaxTokens = req.Tokens[:min(len(req.Tokens), 150)], 32
	c := p.With(t, dir)
	want := IDs(Tokens(t, c, req, nil))
	layers := 0
	for _, m := range NewOrders(t, c).Query().Modules {
		if layer(m.ID) {
			layers++
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		l := drawLife(rt, req.MaxTokens, layers)
		got, err := p.live(t, dir, req, l)
		if err != nil {
			rt.Fatal(err)
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("the ids are\n%v, and computed otherwise\n%v", got, want)
		}
	})
}

// live answers a request, in one process after another.
func (p Plugin) live(t testing.TB, dir string, req sdk.GenerateRequest, l life) (got []int32, err error) {
	load := sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: l.Sequences, StepTokens: l.Rows},
		Devices:        []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: l.Far, CopyRate: l.Link, ReadRate: 1e12}},
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
	defer company.Wait()
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

// keepCompany asks something that begins alike, until the process ends.
func keepCompany(ctx context.Context, c *client.Client, req sdk.GenerateRequest, i int) {
	req.ID = fmt.Sprint("company ", i)
	req.Tokens = append(slices.Clone(req.Tokens[:len(req.Tokens)/(i+1)]), req.Tokens[:i+1]...)
	req.Sampling.Seed += uint64(i) + 1
	_ = c.Generate(ctx, req, func(sdk.Event) error { return nil }) // its answer is not looked at
}

func (d disturbance) order() sdk.Order {
	switch {
	case d.Budget >= 0:
		return sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: d.Budget}}
	case d.Far:
		return sdk.Order{Move: &sdk.MoveOrder{Module: fmt.Sprint("layers.", d.Layer), Device: "far"}}
	}
	return sdk.Order{Move: &sdk.MoveOrder{Module: fmt.Sprint("layers.", d.Layer), Device: "cpu"}}
}
