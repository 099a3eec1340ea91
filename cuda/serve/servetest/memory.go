package servetest

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// memory.go gives a plugin shares of the CPU's memory. What Inspect says a model takes is what it takes.

// Shares loads each checkpoint into the least it can run with, and answers there with the whole context; into a byte less, which it
// refuses with advice that helps; and with no context set into something between, whose context is the most that fits. Never does
// it hold more than its share, and an order for less than it holds is refused.
func (p Plugin) Shares(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		req := sdk.InspectRequest{Path: dir, Context: 256, MaxSequences: 3}
		inspected := p.inspected(t, req)
		need := plan.NeedOf(inspected, req)
		table := p.within(t, req, need.Least())
		if table.Context != 256 || table.CachePositions != 256 || table.MaxSequences != 1 || table.ScratchBytes != inspected.ScratchBytes {
			t.Errorf("in the least the context is %d of %d positions for %d sequences, with %d bytes of scratch; inspected were %+v",
				table.Context, table.CachePositions, table.MaxSequences, table.ScratchBytes, need)
		}
		if table = p.within(t, req, need.Wanted()); table.MaxSequences != 3 || table.CachePositions != 3*256 {
			t.Errorf("in what it wants there is room for %d sequences, %d positions", table.MaxSequences, table.CachePositions)
		}
		p.tooLittle(t, req, need)
		p.open(t, dir)
	})
}

// within loads a checkpoint into a share, and fills the context with an answer.
func (p Plugin) within(t *testing.T, req sdk.InspectRequest, share int64) sdk.LayerTable {
	t.Helper()
	c := p.Idle(t)
	table, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: req, Devices: []sdk.DeviceBudget{{Name: "cpu", Bytes: share}}}, func(sdk.Progress) {})
	if err != nil {
		t.Fatalf("in %d bytes: %v", share, err)
	}
	ask := Greedy(table.Context - 2)
	ask.Tokens, ask.IgnoreEOS = []int32{1, 2}, true
	if n := len(Tokens(t, c, ask, nil)); n != table.Context-2 {
		t.Errorf("%d tokens in a context of %d", n, table.Context)
	}
	orders := NewOrders(t, c)
	cpu := orders.Query().Devices[0]
	if cpu.Peak > share || cpu.Budget != share {
		t.Errorf("it held %d bytes at once; its share is %d, its budget %d", cpu.Peak, share, cpu.Budget)
	}
	least := regexp.MustCompile(`the least that works is (\d+)`)
	told := orders.budget(1000).Done.Error
	if m := least.FindStringSubmatch(told); m == nil || m[1] != strconv.FormatInt(cpu.Used, 10) {
		t.Errorf("of %d bytes that are held it was to hold 1000: %q", cpu.Used, told)
	}
	if r := orders.Query(); r.Devices[0].Budget != share {
		t.Errorf("an order that was refused left the budget at %d", r.Devices[0].Budget)
	}
	if r := orders.budget(cpu.Used); r.Done.Error != "" || r.Devices[0].Budget != cpu.Used {
		t.Errorf("what the refusal says would work: %q, budget %d", r.Done.Error, r.Devices[0].Budget)
	}
	return table
}

// tooLittle takes the advice of a refusal.
func (p Plugin) tooLittle(t *testing.T, req sdk.InspectRequest, need plan.Need) {
	t.Helper()
	cpu := []sdk.DeviceBudget{{Name: "cpu", Bytes: need.Least() - 1}}
	_, err := p.Idle(t).Load(t.Context(), sdk.LoadRequest{InspectRequest: req, Devices: cpu}, func(sdk.Progress) {})
	if sdk.ReasonOf(err) != sdk.ReasonMemory || !strings.Contains(err.Error(), "; set context = ") {
		t.Fatalf("a byte less than the least: %v (%v)", err, sdk.ReasonOf(err))
	}
	advice := regexp.MustCompile(`set context = (\d+) in its \[\[model\]\]$`).FindStringSubmatch(err.Error())
	if advice == nil {
		t.Fatal(err)
	}
	if req.Context, _ = strconv.Atoi(advice[1]); req.Context < 1 || req.Context >= 256 {
		t.Errorf("the advice is a context of %d", req.Context)
	}
	if _, err := p.Idle(t).Load(t.Context(), sdk.LoadRequest{InspectRequest: req, Devices: cpu}, func(sdk.Progress) {}); err != nil {
		t.Errorf("a context of %d, as advised: %v", req.Context, err)
	}
}

// open loads a checkpoint without a context: into room for all of it, and for 128 positions more than the least there is.
func (p Plugin) open(t *testing.T, dir string) {
	t.Helper()
	req := sdk.InspectRequest{Path: dir, MaxSequences: 1}
	need := plan.NeedOf(p.inspected(t, req), req)
	for _, share := range []int64{need.Wanted(), need.Least(), need.Least() + 128*need.Position} {
		want, _ := need.Fit(share)
		c := p.Idle(t)
		table, err := c.Load(t.Context(), sdk.LoadRequest{InspectRequest: req, Devices: []sdk.DeviceBudget{{Name: "cpu", Bytes: share}}}, func(sdk.Progress) {})
		if err != nil || table.Context != want.Context || table.CachePositions != want.Positions {
			t.Errorf("without a context, in %d bytes: %d of %d positions, %v; what fits is %+v", share, table.Context, table.CachePositions, err, want)
		}
	}
}
