package plan

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// coder is a mixture as Qwen3-Coder-30B in 8 bits, on a card of so many GiB behind a link.
func coder(gib float64, link, flops float64) Input {
	in := Input{Positions: 4096, Sequences: 1, Rows: 1, Devices: []Device{
		{Name: "cpu", ReadRate: 60e9, FLOPS: flops},
		{Name: "gpu.0", Bytes: int64(gib * (1 << 30)), ReadRate: 300e9, FLOPS: 20e12, CopyRate: link},
	}}
	for l := range 48 {
		in.Modules = append(in.Modules, sdk.Module{ID: fmt.Sprintf("layers.%d", l), WeightBytes: 20 << 20, ActiveBytesToken: 20 << 20, FLOPsToken: 40 << 20, StateBytesToken: 2048})
		for e := range 128 {
			in.Modules = append(in.Modules, sdk.Module{ID: fmt.Sprintf("layers.%d.mlp.experts.%d", l, e), WeightBytes: 4718592, ActiveBytesToken: 294912, FLOPsToken: 589824})
		}
	}
	return in
}

// Where it turns over, one way is as quick as the other; with fewer rows the CPU is quicker, with more the link. A slower CPU or a quicker link turns
// over earlier.
func TestExpertsAreBroughtFromWhereItIsQuicker(t *testing.T) {
	at := func(gib, link, flops float64) (int, *planner) {
		t.Helper()
		in := coder(gib, link, flops)
		made, err := Make(in)
		if err != nil {
			t.Fatal(err)
		}
		p := newPlanner(in)
		p.divide()
		p.useRest()
		p.useCaches()
		return made.Through[1], p
	}
	rows, p := at(8, 25e9, 1e12)
	if rows < 16 || rows > 4096 {
		t.Fatalf("from %d rows on", rows)
	}
	m := p.mixtures(1)
	if len(m.each) != 48 || m.number[7] != 128 || m.largest != 128*4718592 {
		t.Fatalf("%d layers have experts, the largest %d bytes of them", len(m.each), m.largest)
	}
	for _, n := range []int{1, rows - 1, rows, 4 * rows} {
		if quicker := p.bringing(1, m, n) < p.leaving(1, m, n); quicker != (n >= rows) {
			t.Errorf("with %d rows %v s against %v s, and the plan turns over at %d", n, p.bringing(1, m, n), p.leaving(1, m, n), rows)
		}
	}
	if slow, _ := at(8, 25e9, .5e12); slow >= rows {
		t.Errorf("a slower CPU turns over at %d, and the other at %d", slow, rows)
	}
	if quick, _ := at(8, 50e9, 1e12); quick >= rows {
		t.Errorf("a quicker link turns over at %d, and the other at %d", quick, rows)
	}
	for why, gib := range map[string]float64{"all have room": 64, "not even two layers' have": 2} {
		if rows, _ := at(gib, 25e9, 1e12); rows != 0 {
			t.Errorf("%s: from %d rows on", why, rows)
		}
	}
	if rows, _ := at(8, 0, 1e12); rows != 0 {
		t.Errorf("nothing can be copied: from %d rows on", rows)
	}
}

// The time of a pass is that of the way it takes: it never jumps up where that changes.
func TestTheTimeOfALongPassIsThatOfItsWay(t *testing.T) {
	in := coder(8, 25e9, 1e12)
	made, err := Make(in)
	if err != nil {
		t.Fatal(err)
	}
	before, rows := 0., made.Through[1]
	for _, n := range []int{1, rows / 2, rows - 1, rows, rows + 1, 2 * rows, 8 * rows} {
		s := Time(in, made, n, 0)
		if s < before*.999 && n != rows {
			t.Errorf("%d rows take %v s, fewer took %v", n, s, before)
		}
		before = s
	}
	made.Through = nil
	if through, left := before, Time(in, made, 8*rows, 0); through > left/2 {
		t.Errorf("%d rows take %v s with experts brought through, and %v without", 8*rows, through, left)
	}
}
