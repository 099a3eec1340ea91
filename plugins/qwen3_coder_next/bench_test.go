package main

import (
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BenchmarkPublishedShape times four layers of the published width, three with the delta rule and one with attention, with dummy
// weights in bf16 and in FP8, next to what this machine can do, measured beside each case:
//
//	go test ./plugins/qwen3_coder_next -run '^$' -bench PublishedShape -benchtime 3x
//
// 32 experts of a layer have bytes of their own and the others share them, far more than any cache holds. decode reads the active
// weights, the states and the cache once for a token, so %dram is its share of the read rate. A prefill step reads all experts for a
// few rows each: its GB/s are those, %peak is its share of the f32 multiply-add rate. 48 layers take twelve times the layers' part.
func BenchmarkPublishedShape(b *testing.B) {
	for _, form := range []string{"bf16", "fp8"} {
		b.Run(form, func(b *testing.B) { fourLayers(b, form == "fp8") })
		debug.FreeOSMemory() // the next form needs it
	}
}

func fourLayers(b *testing.B, fp8 bool) {
	const chunk = 256 // rows of a prefill step: some five for each expert
	contexts := []int{256, 1024, 4096}
	src := invented{fp8: fp8, own: 32, made: map[string]weights.View{}}
	r, bound := load(b, []byte(published), 4, &src, nntest.Limits{Rows: chunk, Sequences: 1, Positions: 4096})
	if err := r.Fill(); err != nil {
		b.Fatal(err)
	}
	active, linear := activePerToken(bound)
	var all float64
	for _, m := range bound.Modules {
		if m.ID != "embed_tokens" {
			all += float64(m.WeightBytes())
		}
	}
	for _, context := range contexts {
		b.Run(fmt.Sprintf("decode/context=%d", context), func(b *testing.B) {
			read := machine(b).Read
			bytes := active + 2*3*deltaState + gatedState*float64(context)
			perSecond := steps(b, r, context, nntest.Chunk{Tokens: make([]int32, 1), Form: nn.Decode})
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond*bytes/1e9, "GB/s")
			b.ReportMetric(100*perSecond*bytes/read, "%dram")
		})
	}
	for _, context := range contexts {
		b.Run(fmt.Sprintf("prefill/context=%d", context), func(b *testing.B) {
			peak := machine(b).FLOPS
			attention := 4 * 16 * 256 * (float64(context) - chunk/2)
			delta := 3 * 2 * 32 * (3*128*128 + 2*32*128 + 2*32*128) // a row's share of a chunk: three products with the matrix, four within it
			perSecond := steps(b, r, context, nntest.Chunk{Tokens: make([]int32, chunk)}) * chunk
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond/chunk*all/1e9, "GB/s")
			b.ReportMetric(perSecond*(linear+attention+float64(delta))/1e9, "GFLOP/s")
			b.ReportMetric(100*perSecond*(linear+attention+float64(delta))/peak, "%peak")
		})
	}
}

// activePerToken is the bytes of weights that a token reads, and the operations on those that each row of a prompt needs: of 512
// experts ten, of the embedding one row, of the head nothing in a prompt but for its last row.
func activePerToken(bound *nn.Bound) (bytes, flops float64) {
	for _, m := range bound.Modules {
		elements := 0.0
		for _, w := range m.Weights {
			elements += float64(w.Host().Len())
		}
		switch {
		case strings.Contains(m.ID, ".experts."):
			bytes, flops = bytes+float64(m.WeightBytes())*10/512, flops+2*elements*10/512
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
			c.Tokens[i] = int32(next % 151936)
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
