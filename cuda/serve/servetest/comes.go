package servetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// comes.go loads a model for a device behind a slow link and asks it before its layers are there.

const (
	comesTokens = 36
	comesAway   = 16 << 20 // of a device with room for all of a small checkpoint
	// comesSlowly is how long all its weights take, longer than a first token by far; comesSoon is how long they take where they are waited for.
	comesSlowly, comesSoon = 3 * time.Second, 200 * time.Millisecond
)

// Comes has processes that are loaded for a second device end while layers are on their way there. Each is ready at once and goes on with the answer on
// the CPU; the last one's layers come, and the same answer once more is computed where they are. No token is another, nor is more held than there is.
func (p Plugin) Comes(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		req := Sampled(t, dir)
		req.Tokens, req.MaxTokens = req.Tokens[:min(len(req.Tokens), 150)], comesTokens
		want := IDs(Tokens(t, p.With(t, dir), req, nil))
		var got []int32
		for _, end := range []int{comesTokens / 3, 2 * comesTokens / 3} {
			got = p.comes(t, dir, comesSlowly, func(c *client.Client, o *Orders) []int32 { return endAt(t, c, o, req, got, end) })
		}
		got = p.comes(t, dir, comesSoon, func(c *client.Client, o *Orders) []int32 {
			again := req
			again.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: got}
			got := append(got, IDs(Tokens(t, c, again, nil))...)
			o.come()
			SameIDs(t, "ids with all layers there", IDs(Tokens(t, c, req, nil)), want)
			return got
		})
		SameIDs(t, "ids of three processes whose layers come", got, want)
	})
}

// comes has f ask a process whose weights come within some time.
func (p Plugin) comes(t testing.TB, dir string, within time.Duration, f func(*client.Client, *Orders) []int32) []int32 {
	t.Helper()
	c, stop, err := p.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	in, err := c.Inspect(t.Context(), sdk.InspectRequest{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, m := range in.Table.Modules {
		bytes += m.WeightBytes
	}
	table, err := c.Load(t.Context(), sdk.LoadRequest{
		InspectRequest: sdk.InspectRequest{Path: dir, Context: 512, MaxSequences: 1, StepTokens: 128}, PrefixCache: -1,
		Devices: []sdk.DeviceBudget{{Name: cuda.KindCPU}, {Name: cuda.KindFar, Bytes: comesAway, CopyRate: float64(bytes) / within.Seconds(), ReadRate: 1e12}},
	}, func(sdk.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range table.Plan {
		if layer(where.Module) && where.Device != cuda.KindFar {
			t.Errorf("%s is told to come to %s", where.Module, where.Device)
		}
	}
	o := NewOrders(t, c)
	got := f(c, o)
	if d := o.Query().Devices[1]; d.Peak > d.Budget {
		t.Errorf("%d bytes were held, of %d", d.Peak, d.Budget)
	}
	return got
}

// endAt answers on from what there is and leaves behind so many tokens, of which the first comes before the layers.
func endAt(t testing.TB, c *client.Client, o *Orders, req sdk.GenerateRequest, got []int32, end int) []int32 {
	t.Helper()
	req.Resume = &sdk.Resume{Prompt: req.Tokens, Generated: got}
	left, first := 0, true
	err := c.Generate(t.Context(), req, func(e sdk.Event) error {
		if e.Token == nil {
			return nil
		}
		if first {
			left, first = o.left(), false
		}
		if got = append(got, e.Token.ID); len(got) == end {
			return errKilled
		}
		return nil
	})
	if !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if left == 0 {
		t.Error("behind the first token all layers are there")
	}
	return got
}

// left counts the layers on the CPU.
func (o *Orders) left() (n int) {
	o.t.Helper()
	for _, m := range o.Query().Modules {
		if strings.HasPrefix(m.ID, "layers.") && layer(m.ID) && m.Device == cuda.KindCPU {
			n++
		}
	}
	return n
}

// come waits until no layer is on the CPU.
func (o *Orders) come() {
	o.t.Helper()
	for deadline := time.Now().Add(time.Minute); o.left() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatalf("%d layers are on the CPU still", o.left())
		}
	}
}
