package main

import (
	"reflect"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// generated has the plugin continue a prompt by some tokens and gives each with its probability and the best five: any other bit in
// a logit shows.
func generated(t *testing.T, c *client.Client, between func(token int)) []sdk.Token {
	t.Helper()
	zero := 0.0
	req := sdk.GenerateRequest{ID: t.Name(), Tokens: longest(t)[:150], MaxTokens: 8, IgnoreEOS: true,
		Sampling: sdk.Sampling{Temperature: &zero, Logprobs: true, TopLogprobs: 5}}
	var all []sdk.Token
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		if e.Token != nil {
			all = append(all, *e.Token)
			between(len(all))
		}
		return nil
	})
	if err != nil || len(all) != 8 || all[0].Logprob == nil {
		t.Fatalf("%d tokens, %v", len(all), err)
	}
	return all
}

// orders gives orders to a plugin and waits for each.
type orders struct {
	s    *client.Scheduler
	last uint64
}

func (o *orders) give(t *testing.T, order sdk.Order) sdk.Report {
	t.Helper()
	o.last++
	order.ID = o.last
	if err := o.s.Send(order); err != nil {
		t.Fatal(err)
	}
	for {
		r, err := o.s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if order.Query != nil && len(r.Modules) > 0 || r.Done != nil && r.Done.ID == order.ID {
			if r.Done != nil && r.Done.Error != "" {
				t.Fatal(r.Done.Error)
			}
			return r
		}
	}
}

// Tokens and their probabilities are the same to the bit whether all layers are computed on the CPU, all or some of them on another device, which must
// copy their weights for each pass where it has no room, or move between tokens. With FP8 the scales go along.
func TestWhereLayersLieChangesNoBit(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		load := func(far int64) *client.Client {
			c, req := idle(t), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Context: 256}, MaxSequences: 1, StepTokens: 128}
			if far > 0 {
				req.Devices = []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: far, ReadRate: 1e12, CopyRate: 1e12}}
			}
			if _, err := c.Load(t.Context(), req, func(sdk.Progress) {}); err != nil {
				t.Fatal(err)
			}
			return c
		}
		nothing := func(int) {}
		want := generated(t, load(0), nothing)
		same := func(what string, got []sdk.Token) {
			t.Helper()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: other tokens or probabilities", what)
			}
		}
		for _, far := range []int64{64 << 20, map[string]int64{tiny: 6 << 20, tinyFP8: 11 << 19}[dir]} { // room for all; for a part
			c := load(far)
			s, err := c.Schedule(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			o := &orders{s: s}
			same("placed at load", generated(t, c, nothing))
			r := o.give(t, sdk.Order{Query: &sdk.QueryOrder{}})
			if r.Devices[1].Peak == 0 || r.Devices[1].Peak > far {
				t.Errorf("at most %d of %d bytes were there", r.Devices[1].Peak, far)
			}
			same("moved between tokens", generated(t, c, func(token int) {
				for _, m := range []string{"layers.1", "layers.3", "embed_tokens"} {
					o.give(t, sdk.Order{Move: &sdk.MoveOrder{Module: m, Device: []string{"cpu", "far"}[token%2]}})
				}
			}))
			moved := o.give(t, sdk.Order{Query: &sdk.QueryOrder{}})
			if moved.Moves < r.Moves+4 {
				t.Errorf("%d moves, then %d", r.Moves, moved.Moves)
			}
			t.Logf("%d of %d bytes on far, %d evictions, %d moves", moved.Devices[1].Peak, far, moved.Evictions, moved.Moves)
		}
	})
}
