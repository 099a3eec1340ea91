package main

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BenchmarkPublishedShape times the real 0.6B with dummy bf16 weights, at three lengths of context, next to what this machine
// can do, measured in the same run:
//
//	go test ./plugins/qwen3_0_6b -run '^$' -bench PublishedShape
//
// decode reads every weight and the sequence's cache once for a token, so %dram is its share of the read rate; prefill is bound by
// arithmetic, so %peak is its share of the f32 multiply-add rate.
func BenchmarkPublishedShape(b *testing.B) {
	const chunk = 128 // rows of a prefill step
	contexts := []int{256, 1024, 4096}
	r, bound := load(b, []byte(published), weights.Dummy(1, cuda.BF16), nntest.Limits{Rows: chunk, Sequences: 1, Positions: 8192})
	if err := r.Fill(); err != nil {
		b.Fatal(err)
	}
	cpu := cuda.NewCPU(0)
	rates := cpu.Rates()
	if err := cpu.Close(); err != nil {
		b.Fatal(err)
	}
	spec := nn.KeysValues(8, 128, 128)

	for _, context := range contexts {
		b.Run(fmt.Sprintf("decode/context=%d", context), func(b *testing.B) {
			bytes := 2*float64(bound.Parameters) + float64(len(bound.Layers))*float64(spec.PositionBytes())*float64(context)
			perSecond := steps(b, r, context, 1)
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond*bytes/1e9, "GB/s")
			b.ReportMetric(100*perSecond*bytes/rates.Read, "%dram")
		})
	}
	for _, context := range contexts {
		b.Run(fmt.Sprintf("prefill/context=%d", context), func(b *testing.B) {
			linear := 2 * float64(bound.Parameters-151936*1024) // the head is computed for one row only
			attention := 4 * 16 * 128 * float64(len(bound.Layers)) * (float64(context) - chunk/2)
			perSecond := steps(b, r, context, chunk)
			b.ReportMetric(perSecond*chunk, "tok/s")
			b.ReportMetric(perSecond*chunk*(linear+attention)/1e9, "GFLOP/s")
			b.ReportMetric(100*perSecond*chunk*(linear+attention)/rates.FLOPS, "%peak")
		})
	}
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
