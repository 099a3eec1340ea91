package servetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// quantised.go has a plugin quantise the weights of its checkpoints.

// Quantised loads each checkpoint in q8 and q4: it takes what Inspect says, has what fits into the least, and an answer is the same to the
// token wherever it is resumed, also by another process, and while a layer is on another device.
func (p Plugin) Quantised(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		last := p.weightBytes(t, sdk.InspectRequest{Path: dir})
		for _, form := range []string{cuda.Q8, cuda.Q4} {
			req := sdk.InspectRequest{Path: dir, Quantize: form, Context: 256, MaxSequences: 3}
			bytes := p.weightBytes(t, req)
			if bytes >= last && !(form == cuda.Q8 && strings.Contains(dir, "fp8")) { // which has 8 bits already
				t.Errorf("weights in %s take %d bytes, with more bits %d", form, bytes, last)
			}
			last = bytes
			t.Run(form, func(t *testing.T) { p.quantised(t, req) })
		}
	})
}

func (p Plugin) quantised(t *testing.T, req sdk.InspectRequest) {
	table := p.inspected(t, req)
	need := plan.NeedOf(table, req)
	if need.Active != need.Weights {
		t.Errorf("%d bytes of weights need not be in memory, where they are alone", need.Weights-need.Active)
	}
	p.within(t, req, need.Least())
	p.tooLittle(t, req, need)
	p.fills(t, req, table)
	req.Context = 1024
	p.staysTheSame(t, req)
}

// fills loads the model with its weights as the file has them and quantised: what is used differs by what tables say of weights.
func (p Plugin) fills(t *testing.T, req sdk.InspectRequest, table sdk.LayerTable) {
	load := sdk.LoadRequest{InspectRequest: req, Devices: []sdk.DeviceBudget{{Name: "cpu", Bytes: 1 << 34}}}
	load.Numerics = sdk.NumericsExact
	file := p.Loaded(t, sdk.LoadRequest{InspectRequest: unquantised(load.InspectRequest), Devices: load.Devices})
	var memory *cpu.Device
	p.Family.Far = func(c *cpu.Device) *far.Machine {
		memory = c
		return far.NewMachine(c, far.Now())
	}
	told, last, quantised := 0, sdk.Progress{}, p.Idle(t)
	got, err := quantised.Load(t.Context(), load, func(s sdk.Progress) {
		if s.Stage == "quantize" {
			if told++; s.Done < last.Done || s.Done > s.Total {
				t.Errorf("%d bytes of %d are made, after %d", s.Done, s.Total, last.Done)
			}
			last = s
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if told < 2 || last.Done != last.Total {
		t.Errorf("progress is told %d times, at last %+v", told, last)
	}
	for i, m := range got.Modules {
		if m.WeightBytes != table.Modules[i].WeightBytes {
			t.Errorf("%s has %d bytes; Inspect says %d", m.ID, m.WeightBytes, table.Modules[i].WeightBytes)
		}
	}
	used := func(c *client.Client) int64 { return NewOrders(t, c).Query().Devices[0].Used }
	saved, want := used(file)-used(quantised), p.weightBytes(t, unquantised(req))-p.weightBytes(t, req)
	if saved != want {
		t.Errorf("%d bytes less are used, by the tables it would be %d", saved, want)
	}
	before := memory.Usage().For[cuda.ForWeights]
	if err := quantised.Unload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if given := before - memory.Usage().For[cuda.ForWeights]; given != last.Total {
		t.Errorf("%d of %d bytes that were quantised are given back", given, last.Total)
	}
}

func unquantised(req sdk.InspectRequest) sdk.InspectRequest {
	req.Quantize = ""
	return req
}

// staysTheSame compares an answer with itself: resumed in another process, and with a layer that moves.
func (p Plugin) staysTheSame(t *testing.T, ask sdk.InspectRequest) {
	load := sdk.LoadRequest{InspectRequest: ask, Devices: []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: 1 << 30}}}
	req := Sampled(t, ask.Path)
	one := p.Loaded(t, load)
	NewOrders(t, one).Move("layers.0", "cpu")
	want := IDs(Tokens(t, one, req, nil))
	again := p.Loaded(t, load)
	orders := NewOrders(t, again)
	for _, n := range []int{0, 1, len(want) / 2, len(want) - 1} {
		resumed := req
		resumed.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: want[:n]}
		got := Tokens(t, again, resumed, func(n int) {
			switch n % 8 {
			case 2:
				orders.Move("layers.0", "far")
			case 6:
				orders.Move("layers.0", "cpu")
			}
		})
		SameIDs(t, fmt.Sprintf("after %d tokens the ids", n), IDs(got), want[n:])
	}
}

// weightBytes is what weights take.
func (p Plugin) weightBytes(t *testing.T, req sdk.InspectRequest) (n int64) {
	t.Helper()
	for _, m := range p.inspected(t, req).Modules {
		n += m.WeightBytes
	}
	return n
}

// LayersAsIn says that the layers of a checkpoint, and what they keep of a token, take what those of another do, as that is asked for.
func (p Plugin) LayersAsIn(t *testing.T, dir string, other sdk.InspectRequest) {
	t.Helper()
	want := map[string]sdk.Module{}
	for _, m := range p.inspected(t, other).Modules {
		want[m.ID] = m
	}
	for _, m := range p.inspected(t, sdk.InspectRequest{Path: dir}).Modules {
		if w := want[m.ID]; strings.HasPrefix(m.ID, "layers.") && (m.WeightBytes != w.WeightBytes || m.StateBytesToken != w.StateBytesToken) {
			t.Errorf("%s takes %d bytes and %d for a token, in %s quantised to %s %d and %d", m.ID, m.WeightBytes, m.StateBytesToken, other.Path, other.Quantize,
				w.WeightBytes, w.StateBytesToken)
		}
	}
}
