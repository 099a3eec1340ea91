package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/limits"
	"github.com/inference-pio/inference-pio/sdk"
)

// What is measured is every prompt, and every answer with every number of streams, behind every context.
func TestCellsAreCrossed(t *testing.T) {
	cells, err := planCells(benchFlags{prompt: []int{512}, generate: []int{64}, depth: []int{0, 8192}, streams: []int{1, 8}}, 8192+513)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range cells {
		names = append(names, c.String())
	}
	want := []string{"prefill 512", "decode 64", "decode 64, 8 streams", "prefill 512 at 8192", "decode 64 at 8192", "decode 64 at 8192, 8 streams"}
	if !slices.Equal(names, want) {
		t.Errorf("%q\nwant %q", names, want)
	}
	if _, err := planCells(benchFlags{prompt: []int{512}, depth: []int{0, 8192}}, 8192+512); err == nil || !strings.Contains(err.Error(), "prefill 512 at 8192 takes 8705 positions") {
		t.Errorf("a context that is one too small: %v", err)
	}
}

func TestMiddle(t *testing.T) {
	for _, c := range []struct {
		samples []float64
		want    float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}} {
		if got := middle(c.samples); got != c.want {
			t.Errorf("middle of %v: %v, want %v", c.samples, got, c.want)
		}
	}
}

// Worked by hand: two layers, a head, and a mixture of four experts of which a token takes one.
func TestCosts(t *testing.T) {
	w := workload{sdk.LayerTable{Modules: []sdk.Module{
		{ID: "embed_tokens", WeightBytes: 800, ActiveBytesToken: 0},
		{ID: "layers.0", WeightBytes: 100, ActiveBytesToken: 100, FLOPsToken: 100, StateBytesToken: 4},
		{ID: "layers.1", WeightBytes: 100, ActiveBytesToken: 100, FLOPsToken: 100, StateBytesToken: 4, StateBytesSeq: 50},
		{ID: "layers.1.experts", WeightBytes: 400, ActiveBytesToken: 100, FLOPsToken: 100},
		{ID: "lm_head", WeightBytes: 800, ActiveBytesToken: 800, FLOPsToken: 800},
	}}}
	for _, c := range []struct {
		cell  cell
		bytes float64
		flops float64
	}{
		{cell{tokens: 4, streams: 1}, 1100 + 8*(shortPrompt+2) + 50, 1100},
		{cell{tokens: 4, streams: 1, depth: 1000}, 1100 + 8*(1000+shortPrompt+2) + 50, 1100},
		{cell{tokens: 4, streams: 2}, 1000 + 400*(1-0.75*0.75) + 2*(8*(shortPrompt+2)+50), 2200},
		{cell{prefill: true, tokens: 1000, streams: 1, depth: 10}, 1400 + 8*10 + 50, 1000*300 + 800},
	} {
		got := w.cost(&c.cell)
		if math.Abs(got.bytes-c.bytes) > 1e-9 || got.flops != c.flops {
			t.Errorf("%s: %+v, want %v bytes, %v operations", &c.cell, got, c.bytes, c.flops)
		}
	}
}

func TestTheLowerLimitBounds(t *testing.T) {
	c := cost{tokens: 4, bytes: 200, flops: 1000}
	for _, w := range []struct {
		limits limits.Rates
		rate   float64
		by     string
	}{
		{limits.Rates{Read: 100, FLOPS: 1000}, 2, "read"},
		{limits.Rates{Read: 100, FLOPS: 100}, 0.4, "f32"},
		{limits.Rates{Read: 100}, 2, "read"},
		{limits.Rates{}, 0, ""},
	} {
		if rate, by := c.bound(w.limits); rate != w.rate || by != w.by {
			t.Errorf("%+v: %v by %q, want %v by %q", w.limits, rate, by, w.rate, w.by)
		}
	}
	if rate, by := (cost{tokens: 1}).bound(limits.Rates{Read: 100, FLOPS: 100}); rate != 0 || by != "" {
		t.Errorf("a model of which nothing is known: %v by %q", rate, by)
	}
}

// A machine that is as fast as it was allows what it allowed; of one that changes between rounds each sample has its own limit.
func TestSharesAreOfTheirMoment(t *testing.T) {
	if got := mean(limits.Rates{Read: 100, FLOPS: 10}, limits.Rates{Read: 50, FLOPS: 30}); got != (limits.Rates{Read: 75, FLOPS: 20}) {
		t.Errorf("on the whole: %+v", got)
	}
	w := workload{sdk.LayerTable{Modules: []sdk.Module{{ID: "layers.0", WeightBytes: 100, ActiveBytesToken: 100}}}}
	c := &cell{tokens: 4, streams: 1, samples: []float64{9, 18, 10}, beside: []limits.Rates{{Read: 1000}, {Read: 2000}, {Read: 2000}}}
	b := w.line(c, nil)
	if b.Share != 0.9 || b.Limit != 20 || b.Rate != 10 || b.Bound != "read" || !slices.Equal(b.Limits, []float64{10, 20, 20}) {
		t.Errorf("%+v", b)
	}
}

// Streams that begin or end apart are counted while all of them run.
func TestTogetherRate(t *testing.T) {
	at := func(seconds ...float64) (a timedAnswer) {
		for _, s := range seconds {
			a.times = append(a.times, time.Unix(0, 0).Add(time.Duration(s*float64(time.Second))))
		}
		return a
	}
	for _, c := range []struct {
		answers []timedAnswer
		want    float64
	}{
		{[]timedAnswer{at(1, 2, 3, 4, 5)}, 1},
		{[]timedAnswer{at(0, 1, 2, 3), at(2, 2.5, 3, 9)}, 3},     // from 2 to 3
		{[]timedAnswer{at(0, 1), at(2, 4)}, 0.75},                // they never met
		{[]timedAnswer{at(1, 1.5, 2), at(1, 1.5, 2, 2.5, 3)}, 4}, // from 1 to 2
	} {
		if got, err := togetherRate(c.answers); err != nil || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v tokens per second, %v, want %v", c.answers, got, err, c.want)
		}
	}
	if got, err := togetherRate([]timedAnswer{at(1, 1)}); err == nil {
		t.Errorf("no time at all: %v tokens per second", got)
	}
}

// Both kinds of llama-bench tell the same figures in other fields; what has the time of a prompt in it is none of ours.
func TestReportsOfPeers(t *testing.T) {
	reports, err := readReports([]byte(`[asserts] [[
[ {"n_prompt": 512, "n_gen": 0, "n_depth": 8192, "avg_ts": 1, "unknown": {"a": []}},
  {"n_prompt": 512, "n_gen": 64, "test": "pp512+tg64", "avg_ts": 2},
  {"n_prompt": 512, "n_gen": 64, "test": "tg64@pp512", "avg_ts": 3},
  {"n_prompt": 0, "n_gen": 64, "test": "tg64", "avg_ts": 4} ]`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cell cell
		want float64
	}{
		{cell{prefill: true, tokens: 512, depth: 8192}, 1},
		{cell{prefill: true, tokens: 512}, 0},
		{cell{tokens: 64, depth: 512}, 3},
		{cell{tokens: 64}, 4},
		{cell{tokens: 64, depth: 8192}, 0},
	} {
		if got, _ := found(reports, &c.cell); got != c.want {
			t.Errorf("%s: %v, want %v", &c.cell, got, c.want)
		}
	}
	for text, want := range map[string]string{
		"": "no list of figures", "[]": "no list of figures", `{"a": 1}`: "no list of figures", `[{"n_gen": 4`: "ends within",
	} {
		if _, err := readReports([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// A peer is asked for what it has: none has several streams, some have no prompts behind a context.
func TestWhatPeersAreAsked(t *testing.T) {
	cells, err := planCells(benchFlags{prompt: []int{512, 1024}, generate: []int{64}, depth: []int{0, 8192}, streams: []int{1, 8}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer peer
		want string
	}{
		{peer{depths: true}, "-m x -p 512,1024 -n 64 -d 0,8192 -t 2 -r 1 -o json"},
		{peer{behind: true}, "-m x -p 512,1024 -n 64 -gp 8192,64 -t 2 -r 1 -o json"},
		{peer{flags: []string{"-fa", "1"}}, "-m x -p 512,1024 -n 64 -t 2 -r 1 -o json -fa 1"},
	} {
		c.peer.model = "x"
		args, any := c.peer.arguments(cells, 2)
		if got := strings.Join(args, " "); got != c.want || !any {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
	if args, any := (&peer{}).arguments(cells[3:4], 2); any {
		t.Errorf("asked for several streams: %v", args)
	}
}

// The output of a program is bounded, whatever it prints.
func TestBoundedKeepsTheBeginning(t *testing.T) {
	b := bounded{most: 5}
	for range 3 {
		if n, err := b.Write([]byte("abc")); n != 3 || err != nil {
			t.Fatal(n, err)
		}
	}
	if b.kept.String() != "abcab" || !b.over {
		t.Errorf("%q, over %v", &b.kept, b.over)
	}
}

// Whatever a program prints is a list of figures or an error.
func FuzzReports(f *testing.F) {
	f.Add([]byte(`[{"n_prompt": 512, "n_gen": 64, "test": "tg64@pp512", "avg_ts": 3}]`))
	f.Add([]byte(`[[{"n_prompt": 1e9}`))
	f.Fuzz(func(t *testing.T, out []byte) {
		reports, err := readReports(out)
		if (err == nil) != (len(reports) > 0) {
			t.Errorf("%d figures, %v", len(reports), err)
		}
		found(reports, &cell{tokens: 64, depth: 512})
	})
}
