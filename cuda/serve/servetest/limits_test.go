package servetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// limits_test.go asks a small model for what it cannot have, and for just as much as it can.

// What an entry may ask for goes as far as its refusal says, by Inspect as by Load, and no further.
func TestWhatAnEntryMayAskFor(t *testing.T) {
	p := toyPlugin(t, false)
	for _, c := range []struct {
		name string
		ask  func(r *sdk.InspectRequest)
		want string
	}{
		{"context", func(r *sdk.InspectRequest) { r.Context = 512 }, ""},
		{"context", func(r *sdk.InspectRequest) { r.Context = 513 }, "a context of 513 positions was asked for; the checkpoint has 512"},
		{"max_sequences", func(r *sdk.InspectRequest) { r.MaxSequences = 1 }, ""},
		{"max_sequences", func(r *sdk.InspectRequest) { r.MaxSequences, r.Context = sdk.MaxSequences, 64 }, ""},
		{"max_sequences", func(r *sdk.InspectRequest) { r.MaxSequences = sdk.MaxSequences + 1 }, "max_sequences is 4097; 1 to 4096 are possible"},
		{"step_tokens", func(r *sdk.InspectRequest) { r.MaxSequences, r.StepTokens = 3, 66 }, ""},
		{"step_tokens", func(r *sdk.InspectRequest) { r.MaxSequences, r.StepTokens = 3, 65 }, "step_tokens is 65; with max_sequences 3 from 66 to 65536 are possible"},
		{"step_tokens", func(r *sdk.InspectRequest) { r.StepTokens = sdk.MaxStepTokens }, ""},
		{"step_tokens", func(r *sdk.InspectRequest) { r.StepTokens = sdk.MaxStepTokens + 1 }, "step_tokens is 65537"},
		{"numerics", func(r *sdk.InspectRequest) { r.Numerics = sdk.NumericsExact }, ""},
		{"cache", func(r *sdk.InspectRequest) { r.KVCache = "q8" }, ""},
		{"cache", func(r *sdk.InspectRequest) { r.KVCache = "q4" }, `kv_cache "q4" is none of ["f32" "bf16" "q8"]`},
		{"numerics", func(r *sdk.InspectRequest) { r.Numerics = "loose" }, `numerics "loose" is none of ["exact" "fast"]`},
		{"quantize", func(r *sdk.InspectRequest) { r.Quantize = "int4" }, `quantize "int4" is none of ["q8" "q4"]; leave it out`},
		{"quantize", func(r *sdk.InspectRequest) { r.Quantize = "q8" }, ""},
		{"weights", func(r *sdk.InspectRequest) { r.Weights = "file" }, ""},
		{"weights", func(r *sdk.InspectRequest) { r.Weights = "zeros" }, `weights "zeros" is neither`},
		{"layers", func(r *sdk.InspectRequest) { r.Layers = 1 }, ""},
		{"layers", func(r *sdk.InspectRequest) { r.Layers = 2 }, ""},
	} {
		req, client := sdk.InspectRequest{Path: p.Checkpoints[0]}, p.Idle(t)
		c.ask(&req)
		_, inspect := client.Inspect(t.Context(), req)
		_, load := client.Load(t.Context(), sdk.LoadRequest{InspectRequest: req}, func(sdk.Progress) {})
		for how, err := range map[string]error{"Inspect": inspect, "Load": load} {
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || sdk.ReasonOf(err) != sdk.ReasonInvalid) {
				t.Errorf("%s, %s of %+v: %v (%s), want %q", c.name, how, req, err, sdk.ReasonOf(err), c.want)
			}
		}
	}
}

// Only the layers that were asked for are there.
func TestFewerLayersAreFewer(t *testing.T) {
	p := toyPlugin(t, false)
	in, err := p.Idle(t).Inspect(t.Context(), sdk.InspectRequest{Path: p.Checkpoints[0], Layers: 1})
	if err != nil || len(in.Table.Modules) != 3 {
		t.Errorf("%d modules, %v", len(in.Table.Modules), err)
	}
}

// A context that ends inside a block is there to its end.
func TestAContextThatIsNoMultipleOfABlock(t *testing.T) {
	p := toyPlugin(t, false)
	for _, context := range []int{63, 64, 65, 100} {
		c := p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0], Context: context, MaxSequences: 1}})
		req := Greedy(context - 2)
		req.Tokens, req.IgnoreEOS = []int32{1, 2}, true
		if n := len(Tokens(t, c, req, nil)); n != context-2 {
			t.Errorf("%d tokens behind 2 in a context of %d", n, context)
		}
	}
}

// What is counted against the CPU's share is what the table says: weights, state, activations and the process.
func TestTheSharesUseIsWhatWasInspected(t *testing.T) {
	p := toyPlugin(t, false)
	req := sdk.InspectRequest{Path: p.Checkpoints[0], Context: 256, MaxSequences: 2}
	table := p.inspected(t, req)
	want := table.ScratchBytes
	for _, m := range table.Modules {
		want += m.WeightBytes + 2*256*m.StateBytesToken + 2*m.StateBytesSeq
	}
	c := p.Loaded(t, sdk.LoadRequest{InspectRequest: req, Devices: []sdk.DeviceBudget{{Name: "cpu", Bytes: want}}})
	cpu := NewOrders(t, c).Query().Devices[0]
	if slack := want - cpu.Used; slack < 0 || slack > 1024 { // states are aligned, and may be by nothing
		t.Errorf("%d bytes are used, the table adds up to %d", cpu.Used, want)
	}
}

// States of odd sizes, of which each begins at a multiple of a cache line, fit the least that a model is said to take.
func TestStatesOfOddSizesFitTheLeast(t *testing.T) {
	p := toyPlugin(t, false)
	open := p.Family.Open
	p.Family.Open = func(config []byte, o serve.OpenOptions) (serve.Model, error) {
		m, err := open(config, o)
		m.(*toy).odd = true
		return m, err
	}
	req := sdk.InspectRequest{Path: p.Checkpoints[0], Context: 64, MaxSequences: 1}
	p.Loaded(t, sdk.LoadRequest{InspectRequest: req, Devices: []sdk.DeviceBudget{{Name: "cpu", Bytes: plan.NeedOf(p.inspected(t, req), req).Least()}}})
}

// A file that is written to while the model is loaded is no checkpoint.
func TestACheckpointThatChangesWhileItIsLoaded(t *testing.T) {
	p := toyPlugin(t, false)
	file := filepath.Join(p.Checkpoints[0], "model.safetensors")
	// Without the contract between them: a progress that is sent would be read when all is loaded.
	_, err := serve.New(p.Family).Load(t.Context(), sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0]}}, func(sdk.Progress) {
		if err := os.Chtimes(file, time.Time{}, time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
	})
	if sdk.ReasonOf(err) != sdk.ReasonChanged || !strings.Contains(err.Error(), file) {
		t.Errorf("%v (%s)", err, sdk.ReasonOf(err))
	}
}

// Weights that can no longer be read end the answers that would be computed with zeros, whether the files were looked at lately or not.
func TestAnswersEndWhenTheirWeightsAreCut(t *testing.T) {
	p := toyPlugin(t, false)
	c := p.With(t, p.Checkpoints[0])
	req := Greedy(3)
	req.Tokens = []int32{1, 2, 3}
	Tokens(t, c, req, nil) // looks at the files
	if err := os.Truncate(filepath.Join(p.Checkpoints[0], "model.safetensors"), 0); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		req.ID = fmt.Sprint(i)
		err := c.Generate(t.Context(), req, func(e sdk.Event) error {
			if e.Token != nil {
				t.Error("a token was sent")
			}
			return nil
		})
		if sdk.ReasonOf(err) != sdk.ReasonChanged {
			t.Errorf("%v (%s)", err, sdk.ReasonOf(err))
		}
	}
}

// A sequence's name is its own while it is open; what it took is free when it is closed.
func TestSequencesByName(t *testing.T) {
	p := toyPlugin(t, false)
	c := p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0], Context: 256, MaxSequences: 1}})
	long := make([]int32, 250)
	for i := range 5 { // together they would not fit
		if err := c.OpenSequence(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Forward(t.Context(), sdk.ForwardRequest{Sequence: "a", Tokens: long, Rows: []int{249}}); err != nil {
			t.Fatalf("the %d. of that name: %v", i+1, err)
		}
		if err := c.OpenSequence(t.Context(), "a"); sdk.ReasonOf(err) != sdk.ReasonInvalid {
			t.Errorf("a second one of that name: %v", err)
		}
		if r, err := c.Forward(t.Context(), sdk.ForwardRequest{Sequence: "a", Tokens: []int32{1}, Rows: []int{0}}); err != nil || r.Length != 251 {
			t.Errorf("it goes on at %d, %v", r.Length, err)
		}
		if err := c.CloseSequence(t.Context(), "a"); err != nil {
			t.Error(err)
		}
		if err := c.CloseSequence(t.Context(), "a"); sdk.ReasonOf(err) != sdk.ReasonNotFound {
			t.Errorf("closed twice: %v", err)
		}
		ask := Greedy(200)
		ask.Tokens, ask.IgnoreEOS = []int32{1, 2, int32(i)}, true
		if n := len(Tokens(t, c, ask, nil)); n != 200 {
			t.Errorf("%d tokens when it is closed", n)
		}
	}
}
