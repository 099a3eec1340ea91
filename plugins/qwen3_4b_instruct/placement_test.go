package main

import (
	"reflect"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// generated has the plugin continue a prompt by some tokens and gives each with its probability and the best five: any other bit in
// a logit shows.
func generated(t *testing.T, c *client.Client, before func(n int)) []sdk.Token {
	t.Helper()
	req := servetest.Greedy(8)
	req.Tokens, req.IgnoreEOS = servetest.Sampled(t, tiny).Tokens[:150], true
	req.Sampling.Logprobs, req.Sampling.TopLogprobs = true, 5
	all := servetest.Tokens(t, c, req, before)
	if len(all) != 8 || all[0].Logprob == nil {
		t.Fatalf("%d tokens", len(all))
	}
	return all
}

// Tokens and their probabilities are the same to the bit whether all layers are computed on the CPU, all or some of them on another device, which must
// copy their weights for each pass where it has no room, or move between tokens. With FP8 the scales go along.
func TestWhereLayersLieChangesNoBit(t *testing.T) {
	servetest.AtEveryPace(t, plugin, func(t *testing.T, plugin servetest.Plugin) {
		plugin.Each(t, func(t *testing.T, dir string) {
			load := func(far int64) *client.Client {
				req := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Context: 256, MaxSequences: 1, StepTokens: 128}}
				if far > 0 {
					req.Devices = []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: far, ReadRate: 1e12, CopyRate: 1e12}}
				}
				return plugin.Loaded(t, req)
			}
			want := generated(t, load(0), nil)
			same := func(what string, got []sdk.Token) {
				t.Helper()
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s: other tokens or probabilities", what)
				}
			}
			for _, far := range []int64{64 << 20, map[string]int64{tiny: 6 << 20, tinyFP8: 11 << 19}[dir]} { // room for all; for a part
				c := load(far)
				o := servetest.NewOrders(t, c)
				same("placed at load", generated(t, c, nil))
				r := o.Query()
				if r.Devices[1].Peak == 0 || r.Devices[1].Peak > far {
					t.Errorf("at most %d of %d bytes were there", r.Devices[1].Peak, far)
				}
				same("moved between tokens", generated(t, c, func(token int) {
					for _, m := range []string{"layers.1", "layers.3", "embed_tokens"} {
						o.Move(m, []string{"far", "cpu"}[token%2])
					}
				}))
				moved := o.Query()
				if moved.Moves < r.Moves+4 {
					t.Errorf("%d moves, then %d", r.Moves, moved.Moves)
				}
				t.Logf("%d of %d bytes on far, %d evictions, %d moves", moved.Devices[1].Peak, far, moved.Evictions, moved.Moves)
			}
		})
	})
}
