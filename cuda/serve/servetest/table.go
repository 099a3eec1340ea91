package servetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// Table is what the layer table of a checkpoint adds up to.
type Table struct {
	Dir    string // "" is the published config, without weights
	Layers int    // only the first ones; 0 is all

	Fit                sdk.Fit
	Parameters, Bytes  int64
	Position, Sequence int64 // bytes of state
	Modules, Experts   int
}

// LayerTables inspects the published config and checkpoints: what a host plans with adds up, and each expert is a module.
func (p Plugin) LayerTables(t testing.TB, published string, tables []Table) {
	t.Helper()
	c, dir := p.Idle(t), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(published), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, want := range tables {
		req := sdk.InspectRequest{Path: want.Dir, Layers: want.Layers}
		if want.Dir == "" {
			req.Path, req.Weights = dir, "dummy"
		}
		in, err := c.Inspect(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		got := Table{Dir: want.Dir, Layers: want.Layers, Fit: in.Fit, Parameters: in.Table.Parameters, Modules: len(in.Table.Modules)}
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

// Needs is what the published model takes of the CPU's memory in an entry without other keys. Its weights are counted as those of a
// file, and the tokenizer, which the config does not tell, as nothing.
func (p Plugin) Needs(t testing.TB, published string) plan.Need {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(published), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := p.Idle(t).Inspect(t.Context(), sdk.InspectRequest{Path: dir, Weights: "dummy"})
	if err != nil {
		t.Fatal(err)
	}
	return plan.NeedOf(in.Table, sdk.InspectRequest{})
}
