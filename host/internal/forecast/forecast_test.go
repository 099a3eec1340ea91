package forecast

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

const (
	mib = int64(1) << 20
	gib = mib << 10
)

// table is a model of eight layers of 100 MiB with a KiB of cache each, for a context; half of it in q8.
func table(m config.Model, measure *sdk.Measurement) sdk.LayerTable {
	t := sdk.LayerTable{Context: 8192, MaxSequences: 2, ScratchBytes: 100 * mib}
	if m.Context > 0 {
		t.Context = m.Context
	}
	for i := range 8 {
		l := sdk.Module{ID: fmt.Sprintf("layers.%d", i), WeightBytes: 100 * mib, ActiveBytesToken: 100 * mib, StateBytesToken: 1 << 10, FLOPsToken: 1e8}
		if m.Quantize == "q8" {
			l.WeightBytes, l.ActiveBytesToken = l.WeightBytes/2, l.ActiveBytesToken/2
		}
		t.Modules = append(t.Modules, l)
	}
	if measure == nil {
		return t
	}
	for _, d := range measure.Devices {
		told := sdk.DeviceTable{Name: d.Name, ScratchBytes: 10 * mib, CopyRate: d.CopyRate, ReadRate: d.ReadRate}
		if d.Name == "cpu" {
			told.ReadRate, told.FLOPS = 2e10, 1e11
		}
		t.Devices = append(t.Devices, told)
	}
	return t
}

func ask(m config.Model, measure *sdk.Measurement) (sdk.Inspection, error) {
	if m.Quantize == "q4" {
		return sdk.Inspection{}, errors.New("there is no q4")
	}
	return sdk.Inspection{Fit: sdk.FitExact, Table: table(m, measure)}, nil
}

const testCores = 16

func forecastOf(gpu int64, memory int64, models ...config.Model) []Model {
	c := &config.Config{Devices: []config.Device{{Name: "gpu.0", Memory: gpu, Read: 3e11, Copy: 1e10}}, Models: models}
	var tables []sdk.LayerTable
	for _, m := range models {
		tables = append(tables, table(m, nil))
	}
	return Of(c, schedule.Budget{Bytes: memory, From: "a test"}, testCores, models, tables, ask)
}

func TestWhatWouldHaveToGive(t *testing.T) {
	entry := config.Model{ID: "m", Devices: []string{"cpu", "gpu.0"}, Context: 8192}
	whole := forecastOf(4*gib, 8*gib, entry)[0]
	if whole.Err != nil || !whole.Plan.Away() || len(whole.Gives) > 0 || whole.Fit.Context != 8192 || whole.Sequences() != 2 {
		t.Fatalf("with room for all: %+v", whole)
	}
	if r := whole.Decode.First; r < 300 || r > 360 { // 800 MiB at 300 GB/s
		t.Errorf("%g tokens a second", r)
	}
	if whole.Decode.Last >= whole.Decode.First || whole.Prompt < whole.Decode.First {
		t.Errorf("%+v, %g of a prompt", whole.Decode, whole.Prompt)
	}

	less := forecastOf(850*mib, 8*gib, entry)[0] // 800 of weights, 128 of cache, 10 of scratch
	want := []string{"88.0 MiB more of gpu.0 would hold all its layers: 358 tokens a second", "context = 2048 would leave room for all its layers", `quantize = "q8": `}
	if len(less.Gives) != len(want) || less.Plan.Away() {
		t.Fatalf("in 850 MiB: %v, %q", less.Plan.Placements, less.Gives)
	}
	for i, give := range less.Gives {
		if !strings.HasPrefix(give, want[i]) {
			t.Errorf("%q, want %q", give, want[i])
		}
	}
	entry.Context = 2048
	if m := forecastOf(850*mib, 8*gib, entry)[0]; !m.Plan.Away() {
		t.Errorf("the context that was said to do leaves layers on the cpu: %q", m.Plan.Why)
	}
	entry.Context = 3072
	if m := forecastOf(850*mib, 8*gib, entry)[0]; m.Plan.Away() {
		t.Errorf("a longer one than was said to do does too: %q", m.Plan.Why)
	}
}

// Of a prompt the last row alone chooses a token: a head on the cpu takes of it what it takes of a token.
func TestAHeadIsComputedOnceForAPrompt(t *testing.T) {
	rate := func(head bool) float64 {
		m := Model{Entry: config.Model{ID: "m"}, Fit: plan.Fit{Context: PromptRows, Positions: PromptRows}}
		ask := func(e config.Model, measure *sdk.Measurement) (sdk.Inspection, error) {
			t := table(e, measure)
			if head {
				t.Modules = append(t.Modules, sdk.Module{ID: "lm_head", WeightBytes: 100 * mib, ActiveBytesToken: 100 * mib, FLOPsToken: 1e8})
			}
			return sdk.Inspection{Table: t}, nil
		}
		if err := m.place([]sdk.DeviceBudget{{Name: "cpu"}}, ask); err != nil {
			t.Fatal(err)
		}
		return m.Prompt
	}
	with, without := rate(true), rate(false)
	token := max(1e8/1e11, float64(100*mib)/2e10)
	if took := PromptRows/with - PromptRows/without; math.Abs(took/token-1) > 1e-6 {
		t.Errorf("a head takes %g s of a prompt's piece, and %g s of a token", took, token)
	}
}

// A head, or experts, for which a card has no room beside the layers are told of as layers are; a table of which a token reads a row is not.
func TestWhatIsLeftBesideLayersIsTold(t *testing.T) {
	m := Model{Input: plan.Input{Positions: 1024, Sequences: 1, Devices: []plan.Device{{Name: "cpu", ReadRate: 2e10}, {Name: "gpu.0", ReadRate: 3e11, CopyRate: 1e10}}}}
	module := func(id string, bytes, active int64) {
		m.Input.Modules = append(m.Input.Modules, sdk.Module{ID: id, WeightBytes: bytes, ActiveBytesToken: active})
	}
	module("embed_tokens", 200*mib, 1<<10)
	for i := range 2 {
		module(fmt.Sprint("layers.", i), 100*mib, 100*mib)
		for e := range 4 {
			module(fmt.Sprintf("layers.%d.mlp.experts.%d", i, e), 50*mib, 25*mib)
		}
	}
	module("lm_head", 300*mib, 300*mib)
	for _, c := range []struct {
		bytes int64
		want  []string
	}{
		{1000 * mib, nil},
		{600 * mib, []string{"300.0 MiB more of gpu.0 would hold all that a token reads: "}},
		{150 * mib, []string{"50.0 MiB more of gpu.0 would hold all its layers: ", "750.0 MiB more of gpu.0 would hold all that a token reads: "}},
	} {
		m.Gives, m.Input.Devices[1].Bytes = nil, c.bytes
		made, err := plan.Make(m.Input)
		if err != nil {
			t.Fatal(err)
		}
		m.Plan = made
		m.gives(nil, func(config.Model, *sdk.Measurement) (sdk.Inspection, error) {
			return sdk.Inspection{}, errors.New("nothing")
		})
		if len(m.Gives) != len(c.want) {
			t.Errorf("%d MiB: %q, want %q", c.bytes/mib, m.Gives, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(m.Gives[i], want) {
				t.Errorf("%d MiB: %q, want %q", c.bytes/mib, m.Gives[i], want)
			}
		}
	}
}

func TestModelsThatDoNotFit(t *testing.T) {
	a := config.Model{ID: "a", Devices: []string{"cpu", "gpu.0"}, Context: 1024, Priority: 1}
	b := config.Model{ID: "b", Devices: []string{"cpu"}, Context: 1024}
	list := forecastOf(gib, gib, a, b)
	if list[0].Err != nil || list[1].Err == nil || !strings.Contains(list[1].Err.Error(), "there is not enough memory for it") {
		t.Errorf("%v, %v", list[0].Err, list[1].Err)
	}
	if i := slices.IndexFunc(list[0].Input.Devices, func(d plan.Device) bool { return d.Name == "gpu.0" }); i != 1 || list[0].Input.Devices[1].Bytes != gib {
		t.Errorf("the one that fits has all of the card: %+v", list[0].Input.Devices)
	}
}

// Three models work on 16 cores: each is told what it has alone and beside the others, and how fast that is, which what a card computes does not depend on.
func TestCoresAreAResource(t *testing.T) {
	here := config.Model{ID: "here", Devices: []string{"cpu"}, Context: 1024}
	few := config.Model{ID: "few", Devices: []string{"cpu"}, Context: 1024, Threads: 4}
	there := config.Model{ID: "there", Devices: []string{"cpu", "gpu.0"}, Context: 1024}
	list := forecastOf(4*gib, 16*gib, here, few, there)
	for i, want := range []struct{ alone, shared int }{{16, 6}, {4, 4}, {16, 6}} {
		m := list[i]
		if m.Err != nil || m.Cores != want.alone || m.Shared.Cores != want.shared || m.Shared.With != 2 {
			t.Errorf("%s has %d cores alone and %d beside %d others, %v", m.Entry.ID, m.Cores, m.Shared.Cores, m.Shared.With, m.Err)
		}
	}
	if m := list[0]; math.Abs(m.Shared.Decode.First/m.Decode.First-6./16) > 1e-9 || m.Shared.Decode.Last >= m.Decode.Last {
		t.Errorf("on 6 of 16 cores: %+v instead of %+v", m.Shared.Decode, m.Decode)
	}
	for _, m := range list[1:] {
		if m.Shared.Decode != m.Decode {
			t.Errorf("%s has what it had, or computes on a card: %+v instead of %+v", m.Entry.ID, m.Shared.Decode, m.Decode)
		}
	}
	if m := forecastOf(4*gib, 16*gib, here)[0]; m.Shared.Cores != testCores || m.Shared.With != 0 || m.Shared.Decode != m.Decode {
		t.Errorf("alone: %+v", m.Shared)
	}
}
