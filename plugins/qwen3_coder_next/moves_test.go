package main

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// sampled is a request for many tokens behind the longest prompt: the states of the delta rule go through chunks and single rows.
func sampled(t *testing.T) sdk.GenerateRequest {
	t.Helper()
	one, all, cases := 1.0, 0, goldenCases(t)
	return sdk.GenerateRequest{ID: t.Name(), Tokens: cases[4].IDs, MaxTokens: 90, IgnoreEOS: true,
		Sampling: sdk.Sampling{Seed: 5, Temperature: &one, TopP: &one, TopK: &all}}
}

// ids runs a request and gives the tokens it sends; at is called with the number of those before each.
func ids(t *testing.T, c *client.Client, req sdk.GenerateRequest, at func(n int)) (got []int32) {
	t.Helper()
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		if e.Token != nil {
			at(len(got))
			got = append(got, e.Token.ID)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func never(int) {}

// A process that died is replaced by one that is told what was sent so far: what it goes on with is what would have come, wherever
// the cut is, though the prompt's positions are computed in chunks and the others were one by one.
func TestResumedIsUninterrupted(t *testing.T) {
	req := sampled(t)
	want := ids(t, loaded(t, tiny), req, never)
	c := loaded(t, tiny)
	for _, n := range []int{0, 1, 41, 42, 43, 89} { // 406 + 42 positions are whole chunks
		again := req
		again.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: want[:n]}
		if got := ids(t, c, again, never); !slices.Equal(got, want[n:]) {
			t.Errorf("resumed after %d tokens\n got %v\nwant %v", n, got, want[n:])
		}
	}
}

// Layers, with their states, and single experts go to another device and back in the middle of an answer, and no token changes.
func TestMovedIsStayed(t *testing.T) {
	req := sampled(t)
	want := ids(t, loaded(t, tiny), req, never)

	c, stop, err := startPlugin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	slow := sdk.DeviceBudget{Name: "far", Bytes: 64 << 20, CopyRate: 20e9, ReadRate: 1e6} // no plan uses it unasked
	load := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: tiny, Context: 512}, Devices: []sdk.DeviceBudget{{Name: "cpu"}, slow}, MaxSequences: 2}
	if _, err := c.Load(t.Context(), load, func(sdk.Progress) {}); err != nil {
		t.Fatal(err)
	}
	orders, err := c.Schedule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := uint64(0)
	move := func(module, device string) {
		last++
		if err := orders.Send(sdk.Order{ID: last, Move: &sdk.MoveOrder{Module: module, Device: device}}); err != nil {
			t.Fatal(err)
		}
		for {
			report, err := orders.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if d := report.Done; d != nil && d.ID == last {
				if d.Error != "" {
					t.Fatalf("moving %s to %s: %s", module, device, d.Error)
				}
				return
			}
		}
	}
	got := ids(t, c, req, func(n int) {
		if n >= 80 {
			return
		}
		switch layer := fmt.Sprintf("layers.%d", n/20); n % 20 {
		case 3:
			move(layer, "far")
		case 7:
			move(layer+".mlp.experts.5", "far")
		case 15:
			move(layer, "cpu")
		}
	})
	if !slices.Equal(got, want) {
		t.Errorf("moved\n got %v\nwant %v", got, want)
	}
	if last != 3*4 {
		t.Errorf("%d orders were given", last)
	}
}
