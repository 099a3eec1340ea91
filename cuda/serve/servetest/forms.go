package servetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/sdk"
)

// forms.go has a plugin keep what it computes with in other forms: a cache in bf16 or in codes of 8 bits, weights packed for the CPU.

// Fast loads each checkpoint with fast numerics and with caches in q8: a position takes half of what it takes exactly, and of that between
// half and three quarters, as heads are short, and an answer is the same to the token wherever it is resumed.
func (p Plugin) Fast(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		exact := sdk.InspectRequest{Path: dir, Context: 1024, MaxSequences: 1}
		fast := exact
		fast.Numerics = sdk.NumericsFast
		if e, f := p.position(t, exact), p.position(t, fast); e == 0 || 2*f != e {
			t.Errorf("a position takes %d bytes with fast numerics and %d exactly", f, e)
		}
		p.resumes(t, fast)
		for _, ask := range []sdk.InspectRequest{exact, fast} {
			ask.KVCache = "q8"
			if f, q := p.position(t, fast), p.position(t, ask); 4*q > 3*f || 2*q <= f {
				t.Errorf("%s: a position takes %d bytes in q8 and %d in bf16", ask.Numerics, q, f)
			}
			p.resumes(t, ask)
		}
	})
}

// resumes answers in one process, and the rest of that answer in another.
func (p Plugin) resumes(t *testing.T, ask sdk.InspectRequest) {
	t.Helper()
	req := Sampled(t, ask.Path)
	want := IDs(Tokens(t, p.Loaded(t, sdk.LoadRequest{InspectRequest: ask}), req, nil))
	again := p.Loaded(t, sdk.LoadRequest{InspectRequest: ask})
	for _, n := range []int{0, 1, len(want) / 2, len(want) - 1} {
		resumed := req
		resumed.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: want[:n]}
		SameIDs(t, fmt.Sprintf("after %d tokens the ids", n), IDs(Tokens(t, again, resumed, nil)), want[n:])
	}
}

// position is what one position takes in the cache.
func (p Plugin) position(t *testing.T, req sdk.InspectRequest) (n int64) {
	t.Helper()
	for _, m := range p.inspected(t, req).Modules {
		n += m.StateBytesToken
	}
	return n
}

// Packed loads each checkpoint on a CPU that packs its matrices: they have its budget, no token changes, not even while an order takes
// the room that they have, and not when a layer goes to another device and comes back.
func (p Plugin) Packed(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		load := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Context: 1024, MaxSequences: 1}, Devices: []sdk.DeviceBudget{{Name: "cpu", Bytes: 1 << 34}, {Name: "far", Bytes: 1 << 30}}}
		req := Sampled(t, dir)
		c := p.Loaded(t, load)
		orders := NewOrders(t, c)
		orders.Move("layers.0", "cpu")
		want, plain := IDs(Tokens(t, c, req, nil)), orders.Query().Devices[0].Used
		for _, layout := range cpu.Layouts() {
			t.Run(layout.Name, func(t *testing.T) {
				t.Setenv(cpu.EnvPacked, layout.Name)
				p.packed(t, load, req, want, plain)
			})
		}
	})
}

func (p Plugin) packed(t *testing.T, load sdk.LoadRequest, req sdk.GenerateRequest, want []int32, plain int64) {
	c := p.Loaded(t, load)
	orders := NewOrders(t, c)
	orders.Move("layers.0", "cpu")
	full := orders.Query().Devices[0].Used
	got := Tokens(t, c, req, func(n int) {
		switch n {
		case 2: // room for about half of the copies
			if r := orders.budget((plain + full) / 2); r.Done.Error != "" || r.Devices[0].Used > (plain+full)/2 {
				t.Errorf("with room for half of the packed copies %d bytes are held of %d: %q", r.Devices[0].Used, (plain+full)/2, r.Done.Error)
			}
		case 4:
			orders.Move("layers.0", "far")
		case 6:
			orders.Move("layers.0", "cpu")
		case 8: // none of them
			if r := orders.budget(plain); r.Done.Error != "" || r.Devices[0].Used != plain {
				t.Errorf("without packed copies %d bytes are held, %d without packing: %q", r.Devices[0].Used, plain, r.Done.Error)
			}
		}
	})
	SameIDs(t, "the ids", IDs(got), want)
	if full <= plain && !strings.Contains(load.Path, "fp8") { // of which nothing is packed
		t.Errorf("packed %d bytes are held, %d without packing", full, plain)
	}
	if r := orders.Query().Devices[0]; r.Peak > 1<<34 {
		t.Errorf("%d bytes were held at once", r.Peak)
	}
}
