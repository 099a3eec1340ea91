package servetest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// The benchmark of what a spilled sequence saves.
const (
	resumePositions = 4096
	resumeContext   = 2 * resumePositions // of the cache, too: a sequence and most of another
	resumeLink      = 12e9                // bytes per second of the device: PCIe 4.0, as it is measured
)

// ResumeSpilled times the first token of a prompt of 4,096 positions that gave way to others, of the first layers of a published config with
// invented weights on the far device: "spilled", its keys, values and states come back from the host's memory; "again", they are computed.
// Beside the time it reports the megabytes that come back, and the least that they take on the link.
func (p Plugin) ResumeSpilled(b *testing.B, layers int) {
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(p.Published), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, spill := range map[string]int64{"spilled": 4 << 30, "again": 0} {
		b.Run(name, func(b *testing.B) { p.resumeSpilled(b, dir, layers, spill) })
	}
}

func (p Plugin) resumeSpilled(b *testing.B, dir string, layers int, spill int64) {
	req := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, Weights: "dummy", Layers: layers, Context: resumeContext, MaxSequences: 2},
		KVSpill: spill, PrefixCache: 1 << 40}
	table := p.inspected(b, req.InspectRequest)
	need := plan.NeedOf(table, req.InspectRequest)
	state := need.Position*resumeContext + need.State
	req.Devices = []sdk.DeviceBudget{{Name: "cpu", Bytes: need.Least() + need.ScratchMost + 4*state},
		{Name: "far", Bytes: 64 << 30, CopyRate: resumeLink, ReadRate: 1e12}}
	c, orders := p.spillingWith(b, req)
	turn := 0
	next := func() { // the prompt that was asked longest ago
		ask := Greedy(1)
		ask.IgnoreEOS = true
		for i := range resumePositions + 1 {
			ask.Tokens = append(ask.Tokens, int32((i*31+turn%4*977)%table.VocabSize))
		}
		if n := len(Tokens(b, c, ask, nil)); n != 1 {
			b.Fatalf("%d tokens", n)
		}
		turn++
	}
	for range 8 {
		next()
	}
	before := orders.Query().Spill
	for b.Loop() {
		next()
	}
	after := orders.Query().Spill
	bytes := float64(after.Back-before.Back) / float64(b.N)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1e3/float64(b.N), "ms/first-token")
	b.ReportMetric(bytes/1e6, "MB-back")
	b.ReportMetric(1e3*bytes/resumeLink, "ms-of-link")
	b.ReportMetric(float64(after.Saved-before.Saved)/float64(b.N), "positions-saved")
}
