package plan

import (
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
)

const (
	kib = int64(1) << 10
	mib = kib << 10
	gib = mib << 10
)

// table is a model of 1 GiB of weights, 1 KiB of cache for a position, and 8 sequences of 1 MiB of state, for that context.
func table(context int) sdk.LayerTable {
	return sdk.LayerTable{Context: context, MaxSequences: 8, ScratchBytes: 100 * mib, Modules: []sdk.Module{
		{ID: "embed_tokens", WeightBytes: 256 * mib, ActiveBytesToken: 256 * mib},
		{ID: "layers.0", WeightBytes: 256 * mib, ActiveBytesToken: 256 * mib, StateBytesToken: kib, StateBytesSeq: mib},
		{ID: "layers.0.mlp.experts.0", WeightBytes: 512 * mib, ActiveBytesToken: 64 * mib},
	}}
}

func TestWhatAModelNeeds(t *testing.T) {
	n := NeedOf(table(40960), sdk.InspectRequest{Context: 40960})
	if want := (Need{gib, 576 * mib, 8 * mib, 100 * mib, 100 * mib, kib, 40960, 40960, 8, 0}); n != want {
		t.Fatalf("%+v, want %+v", n, want)
	}
	if got, want := n.Least(), 576*mib+8*mib+100*mib+40*mib; got != want {
		t.Errorf("least %d, want %d: what a token reads, and one sequence", got, want)
	}
	if got, want := n.Wanted(), gib+8*mib+100*mib+8*40*mib; got != want {
		t.Errorf("wanted %d, want %d: all weights, and eight sequences", got, want)
	}
	if n := NeedOf(table(40960), sdk.InspectRequest{Weights: "dummy"}); n.Active != gib {
		t.Errorf("of invented weights %d must stay in memory; they are in no file", n.Active)
	}
	if n := NeedOf(sdk.LayerTable{Context: 512, VocabSize: 9}, sdk.InspectRequest{}); n.Known() || n.Least() != 0 {
		t.Errorf("a plugin without tensors: %+v takes %d", n, n.Least())
	}
}

func TestWhatFits(t *testing.T) {
	set := NeedOf(table(40960), sdk.InspectRequest{Context: 40960})
	open := NeedOf(table(262144), sdk.InspectRequest{})
	pictures := open
	pictures.ScratchMost = 300 * mib
	fixed := 8*mib + 100*mib
	for _, c := range []struct {
		name  string
		need  Need
		bytes int64
		want  Fit
	}{
		{"the least", set, set.Least(), Fit{40960, 40960, 576 * mib, 40 * mib, 8 * mib, 100 * mib, 0}},
		{"experts come into memory first", set, set.Least() + 100*mib, Fit{40960, 40960, 676 * mib, 40 * mib, 8 * mib, 100 * mib, 0}},
		{"then more sequences", set, fixed + gib + 100*mib + kib - 1, Fit{40960, 100 * 1024, gib, 100 * mib, 8 * mib, 100 * mib, 0}},
		{"never more than is wanted", set, 100 * gib, Fit{40960, 8 * 40960, gib, 320 * mib, 8 * mib, 100 * mib, 0}},
		{"no context is set: the least that is useful", open, open.Least(), Fit{4096, 4096, 576 * mib, 4 * mib, 8 * mib, 100 * mib, 0}},
		{"no context is set: the most that fits", open, fixed + gib + 100*mib, Fit{100 * 1024, 100 * 1024, gib, 100 * mib, 8 * mib, 100 * mib, 0}},
		{"a round number", open, fixed + gib + 10*mib - kib, Fit{9216, 10240 - 64, gib, 10*mib - 64*kib, 8 * mib, 100 * mib, 0}},
		{"a multiple of a block", open, fixed + gib + 5*mib + 70*kib, Fit{5120 + 64, 5120 + 64, gib, 5*mib + 64*kib, 8 * mib, 100 * mib, 0}},
		{"no context is set: the checkpoint's", open, 100 * gib, Fit{262144, 8 * 262144, gib, 8 * 256 * mib, 8 * mib, 100 * mib, 0}},
		{"room for large pictures", pictures, fixed + gib + 204*mib, Fit{104 * 1024, 104 * 1024, gib, 104 * mib, 8 * mib, 200 * mib, 0}},
	} {
		got, ok := c.need.Fit(c.bytes)
		if !ok || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, ok, c.want)
		}
	}
	if f, ok := set.Fit(set.Least() - 1); ok {
		t.Errorf("a byte less than the least: %+v", f)
	}
}

// The advice is followed and the model fits.
func TestAdvice(t *testing.T) {
	n := NeedOf(table(262144), sdk.InspectRequest{Context: 262144})
	for _, c := range []struct {
		bytes int64
		want  string
	}{
		{576*mib + 108*mib + 20*mib, "set context = 20480"},
		{576*mib + 108*mib + 65*kib, "set context = 64"},
		{576*mib + 108*mib - 3*mib, "set max_sequences = 4 and context = 1024"},
		{576 * mib, ""},
	} {
		if got := n.Advice(c.bytes); got != c.want {
			t.Errorf("for %d bytes: %q, want %q", c.bytes, got, c.want)
		}
	}
	if got := n.Takes(); got != "576.0 MiB for those of its 1.0 GiB of weights that a token reads, 256.0 MiB for a cache of 262144 positions, "+
		"8.0 MiB for the state of 8 sequences, 100.0 MiB for scratch" {
		t.Error(got)
	}
}

// Whatever a plugin tells, what fits is within the bytes, and so many bytes more never give less.
func TestFitInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		any := rapid.OneOf(rapid.Int64Range(0, 1<<20), rapid.Int64Range(0, math.MaxInt64))
		m := sdk.Module{WeightBytes: any.Draw(t, "weights"), ActiveBytesToken: any.Draw(t, "active"), StateBytesToken: any.Draw(t, "token"), StateBytesSeq: any.Draw(t, "seq")}
		n := NeedOf(sdk.LayerTable{Modules: []sdk.Module{m, m}, Context: int(any.Draw(t, "positions")), MaxSequences: int(any.Draw(t, "sequences")),
			ScratchBytes: any.Draw(t, "scratch"), ScratchBytesMost: any.Draw(t, "most")}, sdk.InspectRequest{Context: int(any.Draw(t, "context"))})
		if n.Least() < 0 || n.Wanted() < n.Least() {
			t.Fatalf("%+v: least %d, wanted %d", n, n.Least(), n.Wanted())
		}
		bytes := any.Draw(t, "bytes")
		f, ok := n.Fit(bytes)
		if ok != (bytes >= n.Least()) {
			t.Errorf("%d bytes fit: %v; the least is %d", bytes, ok, n.Least())
		}
		n.Advice(bytes)
		if !ok || n.Least() >= ceiling {
			return
		}
		if f.Bytes() > bytes || f.Context > f.Positions || f.Context < 1 || f.Weights < n.Active || f.Weights > n.Weights {
			t.Errorf("%+v in %d bytes: %+v", n, bytes, f)
		}
	})
}

// Copies of states that are kept for later prompts count as the states do.
func TestSnapshotsCountAsStates(t *testing.T) {
	one := table(40960)
	kept := one
	kept.Snapshots = one.MaxSequences
	a, b := NeedOf(one, sdk.InspectRequest{}), NeedOf(kept, sdk.InspectRequest{})
	if a.State == 0 || b.State != 2*a.State || b.Least() != a.Least()+a.State {
		t.Errorf("the states of %d sequences take %d bytes, with as many snapshots %d", one.MaxSequences, a.State, b.State)
	}
}
