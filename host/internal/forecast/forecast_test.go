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
	want := []string{"88.0 MiB more of gpu.0 would hold all its layers", "context = 2048 would leave room for all its layers", `quantize = "q8": `}
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
