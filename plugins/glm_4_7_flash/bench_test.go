package main

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BenchmarkPublishedShape times three layers of the published width, the dense one and two mixtures, with dummy weights in bf16 and
// in FP8, next to what this machine can do, measured beside each case:
//
//	go test ./plugins/glm_4_7_flash -run '^$' -bench PublishedShape -benchtime 3x
//
// decode reads the active weights and the latents once for a token, so %dram is its share of the read rate; prefill is bound by
// arithmetic, so %peak is its share of the f32 multiply-add rate. The work of expanding the latents of earlier positions is
// counted, for it is part of the formula; more rows in a step share it.
func BenchmarkPublishedShape(b *testing.B) {
	for _, form := range []string{"bf16", "fp8"} {
		b.Run(form, func(b *testing.B) { threeLayers(b, form == "fp8") })
		debug.FreeOSMemory() // the next form needs it
	}
}

// ownExperts are how many experts of a layer have bytes of their own, far more than any cache holds; the others share them.
const ownExperts = 16

var expertNumber = regexp.MustCompile(`\.experts\.[0-9]+`)

// publishedWeights invents each tensor once.
func publishedWeights(fp8 bool) weights.Source {
	made := map[string]weights.View{}
	return respelled{nil, func(name string, shape []int) (weights.View, bool) {
		key := expertNumber.ReplaceAllStringFunc(name, func(part string) string {
			n, _ := strconv.Atoi(strings.TrimPrefix(part, ".experts."))
			return fmt.Sprintf(".experts.%d", n%ownExperts)
		})
		if _, ok := made[key]; !ok {
			dtype := cuda.BF16
			if fp8 && strings.Contains(name, "_proj") {
				dtype = cuda.F8E4M3
			}
			made[key], _ = weights.Dummy(1, dtype).Get(key, shape)
		}
		return made[key], true
	}}
}

func threeLayers(b *testing.B, fp8 bool) {
	const rows = 512 // of a prefill step
	src := publishedWeights(fp8)
	r, bound := load(b, with(b, `"num_hidden_layers": 3`), src, nntest.Limits{Rows: rows, Sequences: 1, Positions: 4096})
	if err := r.Fill(); err != nil {
		b.Fatal(err)
	}
	bytes, linear := activePerToken(bound)
	for _, context := range []int{256, 1024, 4096} {
		b.Run(fmt.Sprintf("decode/context=%d", context), func(b *testing.B) {
			read := machine(b).Read
			bytes := bytes + 3*4*576*float64(context)
			perSecond := steps(b, r, context, nntest.Chunk{Tokens: make([]int32, 1), Form: nn.Decode})
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond*bytes/1e9, "GB/s")
			b.ReportMetric(100*perSecond*bytes/read, "%dram")
		})
	}
	for _, context := range []int{512, 1024, 4096} {
		b.Run(fmt.Sprintf("prefill/context=%d", context), func(b *testing.B) {
			peak := machine(b).FLOPS
			attention := 3 * 2 * 20 * (256 + 256) * (float64(context) - rows/2) // of a row
			expansion := 3 * 2 * 8960 * 512 * (float64(context) - rows) / rows  // its share; its own latents are in linear
			perSecond := steps(b, r, context, nntest.Chunk{Tokens: make([]int32, rows)}) * rows
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond*(linear+attention+expansion)/1e9, "GFLOP/s")
			b.ReportMetric(100*perSecond*(linear+attention+expansion)/peak, "%peak")
		})
	}
}

// activePerToken is the bytes of weights that a token reads, and the operations on those that each row of a prompt needs: of 64
// experts four, of the embedding one row, of the head nothing in a prompt but for its last row.
func activePerToken(bound *nn.Bound) (bytes, flops float64) {
	for _, m := range bound.Modules {
		elements := 0.0
		for _, w := range m.Weights {
			elements += float64(w.Host().Len())
		}
		switch {
		case strings.Contains(m.ID, ".experts."):
			bytes, flops = bytes+float64(m.WeightBytes())*4/64, flops+2*elements*4/64
		case m.ID == "lm_head":
			bytes += float64(m.WeightBytes())
		case m.ID != "embed_tokens":
			bytes, flops = bytes+float64(m.WeightBytes()), flops+2*elements
		}
	}
	return bytes, flops
}

// machine measures this machine now.
func machine(b *testing.B) cuda.Rates {
	cpu := cuda.NewCPU(0)
	rates := cpu.Rates()
	if err := cpu.Close(); err != nil {
		b.Fatal(err)
	}
	return rates
}

// steps times steps that bring a sequence to a length of context, and gives steps per second.
func steps(b *testing.B, r *nntest.Runner, context int, c nntest.Chunk) float64 {
	next := 0
	for b.Loop() {
		for i := range c.Tokens { // other tokens each time go to other experts
			next += 7919
			c.Tokens[i] = int32(next % 154880)
		}
		r.Reset(0)
		if err := r.Extend(0, context-len(c.Tokens)); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Run(c); err != nil {
			b.Fatal(err)
		}
	}
	return float64(b.N) / b.Elapsed().Seconds()
}
