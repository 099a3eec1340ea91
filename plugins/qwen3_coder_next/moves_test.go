package main

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/sdk"
)

// Layers, with their states, and single experts go to another device and back in the middle of an answer, and no token changes.
func TestMovedIsStayed(t *testing.T) {
	req := servetest.Sampled(t, tiny)
	want := servetest.IDs(servetest.Tokens(t, plugin.With(t, tiny), req, nil))

	servetest.AtEveryPace(t, plugin, func(t *testing.T, plugin servetest.Plugin) {
		slow := sdk.DeviceBudget{Name: "far", Bytes: 64 << 20, CopyRate: 20e9, ReadRate: 1e6} // no plan uses it unasked
		c := plugin.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: tiny, Context: 512, MaxSequences: 2}, Devices: []sdk.DeviceBudget{{Name: "cpu"}, slow}})
		orders, moved := servetest.NewOrders(t, c), 0
		move := func(module, device string) {
			orders.Move(module, device)
			moved++
		}
		got := servetest.IDs(servetest.Tokens(t, c, req, func(n int) {
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
		}))
		servetest.SameIDs(t, "moved, the ids", got, want)
		if moved != 3*4 {
			t.Errorf("%d orders were given", moved)
		}
	})
}
