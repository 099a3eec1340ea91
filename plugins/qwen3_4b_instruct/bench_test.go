package main

import (
	"fmt"
	"runtime/debug"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// BenchmarkPublishedShape times the real 4B, all 36 layers with dummy weights of their own, in bf16 (8 GB) and in FP8 (4.4 GB), at
// three lengths of context, next to what this machine can do, measured beside each case:
//
//	go test ./plugins/qwen3_4b_instruct -run '^$' -bench PublishedShape -benchtime 3x -timeout 1h
//
// decode reads every weight and the sequence's cache once for a token, so %dram is its share of the read rate; prefill is bound by
// arithmetic, so %peak is its share of the f32 multiply-add rate.
func BenchmarkPublishedShape(b *testing.B) {
	for _, form := range []string{"bf16", "fp8"} {
		b.Run(form, func(b *testing.B) { published4B(b, form == "fp8") })
		debug.FreeOSMemory() // the next form needs it
	}
}

func published4B(b *testing.B, fp8 bool) {
	const chunk = 128 // rows of a prefill step
	contexts := []int{256, 1024, 4096}
	r, bound := load(b, []byte(published), inventWeights(fp8), nntest.Limits{Rows: chunk, Sequences: 1, Positions: 4096})
	if err := r.Fill(); err != nil {
		b.Fatal(err)
	}
	var weightBytes float64
	for _, m := range bound.Modules {
		weightBytes += float64(m.WeightBytes())
	}
	layers, position := float64(len(bound.Layers)), float64(nn.KeysValues(8, 128, 128).PositionBytes())
	for _, context := range contexts {
		b.Run(fmt.Sprintf("decode/context=%d", context), func(b *testing.B) {
			read := machine(b).Read
			bytes := weightBytes + layers*position*float64(context)
			perSecond := steps(b, r, context, 1)
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond*bytes/1e9, "GB/s")
			b.ReportMetric(100*perSecond*bytes/read, "%dram")
		})
	}
	for _, context := range contexts {
		b.Run(fmt.Sprintf("prefill/context=%d", context), func(b *testing.B) {
			peak := machine(b).FLOPS
			linear := 2 * float64(bound.Parameters-151936*2560) // the head is computed for one row only
			attention := 4 * 32 * 128 * layers * (float64(context) - chunk/2)
			perSecond := steps(b, r, context, chunk)
			b.ReportMetric(perSecond*chunk, "tok/s")
			b.ReportMetric(perSecond*chunk*(linear+attention)/1e9, "GFLOP/s")
			b.ReportMetric(100*perSecond*chunk*(linear+attention)/peak, "%peak")
		})
	}
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

// steps times steps that bring a sequence to a length of context by n rows, and gives steps per second.
func steps(b *testing.B, r *nntest.Runner, context, n int) float64 {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(i * 1000 % 151936)
	}
	for b.Loop() {
		r.Reset(0)
		if err := r.Extend(0, context-n); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Run(nntest.Chunk{Tokens: tokens}); err != nil {
			b.Fatal(err)
		}
	}
	return float64(b.N) / b.Elapsed().Seconds()
}
