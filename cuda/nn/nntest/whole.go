package nntest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// whole.go times a published model as a whole on the device that Suite.On opens, in fast numerics, with invented weights: all layers and
// experts have memory of their own there, and the same numbers, which are made once.

// Whole says what of it is timed.
type Whole struct {
	Batches []int // of tokens behind a context each
	Context int
	Prompt  int  // tokens of one step of a prompt; 0: none
	Small   bool // the first checkpoint's config, for devices that are a slow imitation

	// Told has each step once that would be timed, in place of timing it; nil: they are timed. name is the form and what is done.
	Told func(b *testing.B, name string, step func())
}

// BenchWhole times it in bf16, in FP8 where it is published so, and quantised to q4. What has no room on the device is left out. A token's
// share is of the rate at which the device reads: it reads the weights it goes through and what its sequence has kept; with several sequences the
// experts that some of so many draw if each is as likely as any other. Operations are those with weights.
func (s Suite) BenchWhole(b *testing.B, x Whole) {
	s.Numerics, s.Cache = cpu.Fast, cuda.BF16
	for _, form := range []struct {
		name, quantise string
		fp8            func(name string, shape []int) bool
	}{{"bf16", "", nil}, {"fp8", "", s.Published.FP8}, {cuda.Q4, cuda.Q4, nil}} {
		if form.name == "fp8" && form.fp8 == nil {
			continue
		}
		s.Quantise = form.quantise
		b.Run(form.name, func(b *testing.B) { s.whole(b, x, form.name, form.fp8) })
	}
}

func (s Suite) whole(b *testing.B, x Whole, form string, fp8 func(string, []int) bool) {
	config := []byte(s.Published.Config)
	if x.Small {
		config = Read(b, s.Checkpoints[0], "config.json")
	}
	m, bound, err := s.Bind(config, 0, Alike(Unnumbered, InFP8(fp8)))
	if err != nil {
		b.Fatal(err)
	}
	most := 1
	for _, n := range x.Batches {
		most = max(most, n)
	}
	l := Limits{Rows: max(most, x.Prompt), Sequences: most, Positions: max(x.Context+nn.BlockSize, x.Prompt), Cache: s.Cache}
	w := wholeBench{runner: s.fitting(b, m, bound, l), bound: bound, caches: m.Caches(), limits: l, told: x.Told, form: form}
	if json.Unmarshal(config, &w.keys) != nil {
		b.Fatal("a config without keys")
	}
	for _, n := range x.Batches {
		b.Run(fmt.Sprintf("decode/batch=%d", n), func(b *testing.B) { w.decode(b, n, x.Context) })
	}
	if x.Prompt > 0 {
		b.Run(fmt.Sprintf("prefill/rows=%d", x.Prompt), func(b *testing.B) { w.prefill(b, x.Prompt) })
	}
}

// fitting is a runner, if the device has room.
func (s Suite) fitting(b *testing.B, m Model, bound *nn.Bound, l Limits) *Runner {
	b.Helper()
	c := openCPU(b, cpu.Options{Numerics: s.Numerics})
	quantise(b, bound, c)
	if s.Features != nil {
		l.Features, l.Hidden = s.Features(m)
	}
	l.On = s.On(b, s.Numerics)
	r, err := NewRunner(m, bound, c, l)
	var full *cuda.BudgetError
	if errors.As(err, &full) {
		b.Skipf("capability: a device with more memory: %v", err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	return r
}

// wholeBench is a model whose steps are timed.
type wholeBench struct {
	runner *Runner
	bound  *nn.Bound
	caches []nn.CacheSpec
	limits Limits
	told   func(b *testing.B, name string, step func())
	form   string
	keys   struct {
		publishedKeys
		PerToken int `json:"num_experts_per_tok"`
		Experts  int `json:"num_experts"`
		Routed   int `json:"n_routed_experts"`
	}
}

// share is the part of the experts that so many tokens go to.
func (w *wholeBench) share(tokens int) float64 {
	all := max(w.keys.Experts, w.keys.Routed)
	if all == 0 {
		return 1
	}
	return 1 - math.Pow(1-float64(w.keys.PerToken)/float64(all), float64(tokens))
}

// kept is the bytes that a token reads of its sequence, and writes of its states.
func (w *wholeBench) kept(context int) (n float64) {
	for _, c := range w.caches {
		c.Type = w.limits.Cache
		n += float64(c.PositionBytes())*float64(context) + 2*float64(c.SequenceBytes())
	}
	return n
}

func (w *wholeBench) tokens(next *int, n int) []int32 {
	list := make([]int32, n)
	for i := range list { // that differ, so that the experts do
		*next += 7919
		list[i] = int32(*next % w.keys.vocab())
	}
	return list
}

// decode times one token more for each of so many sequences, which begin again when they are full.
func (w *wholeBench) decode(b *testing.B, sequences, context int) {
	next, chunks := 0, make([]Chunk, sequences)
	step := func() {
		for i := range chunks {
			if n := w.runner.length[i]; n < context || n == w.limits.Positions {
				w.runner.Reset(i)
				if err := w.runner.Extend(i, context); err != nil {
					b.Fatal(err)
				}
			}
			chunks[i] = Chunk{Seq: i, Tokens: w.tokens(&next, 1), Form: nn.Decode}
		}
		if _, err := w.runner.Choose(chunks...); err != nil {
			b.Fatal(err)
		}
	}
	perSecond := w.time(b, fmt.Sprintf("decode, batch %d, behind %d", sequences, context), step)
	if w.told != nil {
		return
	}
	bytes := WeightsOf(w.bound, w.share(sequences)).Bytes + float64(sequences)*w.kept(context)
	b.ReportMetric(perSecond*float64(sequences), "tok/s")
	b.ReportMetric(perSecond*bytes/1e9, "GB/s")
	if read := w.runner.dev.Rates().Read; read > 0 {
		b.ReportMetric(100*perSecond*bytes/read, "%read")
	}
}

// prefill times a prompt of one step.
func (w *wholeBench) prefill(b *testing.B, rows int) {
	next := 0
	for i := range w.limits.Sequences {
		w.runner.Reset(i)
	}
	perSecond := w.time(b, fmt.Sprintf("prompt, %d rows", rows), func() {
		w.runner.Reset(0)
		if _, err := w.runner.Choose(Chunk{Tokens: w.tokens(&next, rows)}); err != nil {
			b.Fatal(err)
		}
	})
	if w.told != nil {
		return
	}
	b.ReportMetric(perSecond*float64(rows), "tok/s")
	b.ReportMetric(perSecond*float64(rows)*WeightsOf(w.bound, w.share(1)).Operations/1e12, "TFLOP/s")
}

// time gives steps per second, once kernels are loaded and graphs are made.
func (w *wholeBench) time(b *testing.B, name string, step func()) float64 {
	for range 3 {
		step()
	}
	if w.told != nil {
		w.told(b, w.form+", "+name, step)
		return 0
	}
	for b.Loop() {
		step()
	}
	return float64(b.N) / b.Elapsed().Seconds()
}
