package nntest

import (
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// bench.go times steps of a model at a context, next to what the machine can do, which is measured beside each case: machines that
// are shared have other rates an hour later.

// Bench is what the published model costs besides its weights.
type Bench struct {
	Layers int                      // only the first ones; 0 is all
	Rows   int                      // of a prompt's step
	Key    func(name string) string // weights of one key share their bytes, so that the model fits in memory; see Alike

	Experts            float64                       // the part of its experts that a token goes to, of a model that has any
	Position, Sequence float64                       // bytes that a token reads of each position before it, and of its sequence as a whole
	Attention          float64                       // operations of a prompt's row for each position before it
	Others             func(context float64) float64 // operations besides those and those with weights; nil: none
}

func (x Bench) bytes(context float64) float64 { return x.Position*context + x.Sequence }

// operations of a row in the middle of a step that brings a prompt to a length.
func (x Bench) operations(context float64) float64 {
	n := x.Attention * (context - float64(x.Rows)/2)
	if x.Others != nil {
		n += x.Others(context)
	}
	return n
}

// Bench times single tokens and steps of prompts of the published model with invented weights in bf16 and, where it is published so,
// in FP8, at three lengths of context, next to what this machine can do.
func (s Suite) Bench(b *testing.B, x Bench) {
	b.Run("bf16", func(b *testing.B) { s.bench(b, x, nil) })
	if s.Published.FP8 != nil {
		debug.FreeOSMemory() // the next form needs it
		b.Run("fp8", func(b *testing.B) { s.bench(b, x, s.Published.FP8) })
	}
}

func (s Suite) bench(b *testing.B, x Bench, fp8 func(string, []int) bool) {
	// Caches were written to, as those of a sequence are.
	r, m := s.LoadLayers(b, []byte(s.Published.Config), x.Layers, Alike(x.Key, InFP8(fp8)), Limits{Rows: x.Rows, Sequences: 1, Positions: 4096})
	if err := r.Fill(); err != nil {
		b.Fatal(err)
	}
	w, everything := WeightsOf(m, x.Experts), 0.0
	if x.Experts > 0 {
		everything = w.All
	}
	y := timing{r, s.Published.keys().vocab()}
	y.decode(b, []int{256, 1024, 4096}, func(context float64) float64 { return w.Bytes + x.bytes(context) })
	y.prefill(b, []int{max(256, x.Rows), 1024, 4096}, x.Rows, func(context float64) float64 { return w.Operations + x.operations(context) }, everything)
}

// timing is a model whose steps are timed.
type timing struct {
	runner *Runner
	vocab  int
}

// decode times the token behind a context. bytes are those it reads: the weights, and what is kept of the sequence. %dram is the
// share of the read rate.
func (x timing) decode(b *testing.B, contexts []int, bytes func(context float64) float64) {
	for _, context := range contexts {
		b.Run(fmt.Sprintf("decode/context=%d", context), func(b *testing.B) {
			rates := Rates(b)
			perSecond, read := x.steps(b, context, 1, nn.Decode), bytes(float64(context))
			b.ReportMetric(perSecond, "tok/s")
			reportRead(b, perSecond*read, rates)
		})
	}
}

// prefill times a step of rows that brings a prompt to a length. operations are the multiplications and additions of a row, %peak
// their share of the multiply-add rate; bytes are those of weights that the step reads, for models of many experts, or 0.
func (x timing) prefill(b *testing.B, contexts []int, rows int, operations func(context float64) float64, bytes float64) {
	for _, context := range contexts {
		b.Run(fmt.Sprintf("prefill/context=%d", context), func(b *testing.B) {
			rates := Rates(b)
			steps := x.steps(b, context, rows, nn.Prefill)
			flops := steps * float64(rows) * operations(float64(context))
			b.ReportMetric(steps*float64(rows), "tok/s")
			b.ReportMetric(flops/1e9, "GFLOP/s")
			b.ReportMetric(100*flops/rates.FLOPS, "%peak")
			if bytes > 0 {
				reportRead(b, steps*bytes, rates)
			}
		})
	}
}

func reportRead(b *testing.B, perSecond float64, rates cuda.Rates) {
	b.ReportMetric(perSecond/1e9, "GB/s")
	b.ReportMetric(100*perSecond/rates.Read, "%dram")
}

// Rates measures this machine now.
func Rates(b *testing.B) cuda.Rates {
	b.Helper()
	c := cpu.New(0)
	rates := c.Rates()
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	return rates
}

// steps times steps that bring a sequence to a length of context by n rows, and gives steps per second. The tokens differ from step
// to step, so that the experts do.
func (x timing) steps(b *testing.B, context, n int, form nn.Form) float64 {
	tokens, next := make([]int32, n), 0
	for b.Loop() {
		for i := range tokens {
			next += 7919
			tokens[i] = int32(next % x.vocab)
		}
		x.runner.Reset(0)
		if err := x.runner.Extend(0, context-n); err != nil {
			b.Fatal(err)
		}
		if _, err := x.runner.Run(Chunk{Tokens: tokens, Form: form}); err != nil {
			b.Fatal(err)
		}
	}
	return float64(b.N) / b.Elapsed().Seconds()
}

// Work is what weights cost.
type Work struct {
	Bytes      float64 // that a generated token reads
	Operations float64 // of a row of a prompt: its multiplications and additions with weights
	All        float64 // bytes that a step reads that goes to every expert
}

// WeightsOf counts the work of a model of which a token goes to some of so many experts; without experts share is 1. Of the
// embedding a row is read, of the head, which is the embedding where there is no lm_head, everything for a generated token and
// nothing for a row of a prompt but the last.
func WeightsOf(bound *nn.Bound, share float64) (w Work) {
	head := 0.0
	for _, m := range bound.Modules {
		bytes, elements := float64(m.WeightBytes()), 0.0
		for _, weight := range m.Weights {
			elements += float64(weight.Len())
		}
		switch {
		case strings.HasPrefix(m.ID, "visual"): // a text is not seen
		case m.ID == "lm_head" || m.ID == "embed_tokens":
			head = bytes // lm_head is behind embed_tokens
		case strings.Contains(m.ID, ".experts."):
			w.Bytes, w.All, w.Operations = w.Bytes+share*bytes, w.All+bytes, w.Operations+2*share*elements
		default:
			w.Bytes, w.All, w.Operations = w.Bytes+bytes, w.All+bytes, w.Operations+2*elements
		}
	}
	w.Bytes, w.All = w.Bytes+head, w.All+head
	return w
}
