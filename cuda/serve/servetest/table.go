package servetest

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// table.go compares layer tables, which a host plans with, and what README.md says of them, with what was worked out by hand.

// Table is what the layer table of a checkpoint adds up to.
type Table struct {
	Dir    string // "" is the published config, without weights
	Layers int    // only the first ones; 0 is all

	Parameters, Bytes  int64 // 0: of a checkpoint what its files say, all in bf16; else two bytes for each parameter
	Position, Sequence int64 // bytes of state
	Modules, Experts   int
}

// whole has the bytes and parameters that were left out.
func (want Table) whole(t testing.TB) Table {
	t.Helper()
	if want.Bytes == 0 && want.Dir != "" {
		want.Bytes = nntest.TensorBytes(t, want.Dir)
	}
	want.Parameters = cmp.Or(want.Parameters, want.Bytes/2)
	want.Bytes = cmp.Or(want.Bytes, 2*want.Parameters)
	return want
}

// LayerTables inspects the published config and checkpoints: what a host plans with adds up, and each expert is a module. The published
// config is the plugin's own, a checkpoint another of the family.
func (p Plugin) LayerTables(t testing.TB) {
	t.Helper()
	if len(p.Tables) == 0 {
		t.Fatal("the plugin names no layer tables")
	}
	c, published := p.Idle(t), p.published(t)
	for _, want := range p.Tables {
		want = want.whole(t)
		req, fit := sdk.InspectRequest{Path: want.Dir, Layers: want.Layers}, sdk.FitFamily
		if want.Dir == "" {
			req.Path, req.Weights, fit = published, "dummy", sdk.FitExact
		}
		in, err := c.Inspect(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if in.Fit != fit {
			t.Errorf("%s fits as %v, not %v", req.Path, in.Fit, fit)
		}
		got := Table{Dir: want.Dir, Layers: want.Layers, Parameters: in.Table.Parameters, Modules: len(in.Table.Modules)}
		for _, m := range in.Table.Modules {
			got.Bytes, got.Position, got.Sequence = got.Bytes+m.WeightBytes, got.Position+m.StateBytesToken, got.Sequence+m.StateBytesSeq
			if strings.Contains(m.ID, ".mlp.experts.") {
				got.Experts++
			}
		}
		if got != want {
			t.Errorf("the table adds up to\n     %+v\nwant %+v", got, want)
		}
	}
}

// published is a folder with the published config alone.
func (p Plugin) published(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(p.Published), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// needs is what the published model takes of the CPU's memory in an entry without other keys. Its weights are counted as those of a
// file, and the tokenizer, which the config does not tell, as nothing.
func (p Plugin) needs(t testing.TB) plan.Need {
	t.Helper()
	return plan.NeedOf(p.inspected(t, sdk.InspectRequest{Path: p.published(t), Weights: "dummy"}), sdk.InspectRequest{})
}

// Readme checks that README.md tells what the published config comes to in memory.
func (p Plugin) Readme(t testing.TB) {
	t.Helper()
	m, err := p.Family.Open([]byte(p.Published), serve.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sizes, need, context := configtest.SizesOf(t, m), p.needs(t), int64(m.Shape().Context)
	rows := map[string]int64{
		"parameters":                         sizes.Parameters,
		"weights in bf16":                    2 * sizes.Parameters,
		"cache for one position, all layers": sizes.Position,
		fmt.Sprintf("cache for %s positions", configtest.Thousands(context)):          context * sizes.Position,
		"activations and the process, with the default max_sequences and step_tokens": need.Scratch,
		"least it loads in, in bf16": need.Least(),
	}
	if p.Memory != nil {
		maps.Copy(rows, p.Memory(sizes))
	}
	configtest.Table(t, "README.md", rows)
}

// Row is what a host plans a module in bf16 with: elements of its matrices, each of which a token multiplies by once, and of vectors,
// which it only reads. used is the share of it that one token enters: 1 but for experts.
func Row(id string, matrices, vectors int64, used float64) sdk.Module {
	bytes := 2 * (matrices + vectors)
	return sdk.Module{ID: id, WeightBytes: bytes, ActiveBytesToken: int64(float64(bytes) * used), FLOPsToken: 2 * float64(matrices) * used}
}

// State adds what a module keeps of each position and of each sequence, in elements of f32.
func State(m sdk.Module, position, sequence int64) sdk.Module {
	m.StateBytesToken, m.StateBytesSeq = 4*position, 4*sequence
	return m
}

// TableRows compares rows of the published config's table, without weights, with what was worked out by hand.
func (p Plugin) TableRows(t testing.TB) {
	t.Helper()
	if len(p.Rows) == 0 {
		t.Fatal("the plugin names no rows of its layer table")
	}
	table := p.inspected(t, sdk.InspectRequest{Path: p.published(t), Weights: "dummy"})
	for _, w := range p.Rows {
		i := slices.IndexFunc(table.Modules, func(m sdk.Module) bool { return m.ID == w.ID })
		if i < 0 {
			t.Errorf("the table has no module %s", w.ID)
		} else if got := table.Modules[i]; got != w {
			t.Errorf("the table says\n     %+v\nwant %+v", got, w)
		}
	}
}
