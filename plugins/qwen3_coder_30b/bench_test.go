package main

import (
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BenchmarkPublishedShape times the real 30B, all 48 layers of 128 experts, in bf16 and in FP8, at three lengths of context, next to
// what this machine can do, measured beside each case:
//
//	go test ./plugins/qwen3_coder_30b -run '^$' -bench PublishedShape -benchtime 3x -timeout 1h
//
// The layers share the bytes of one layer, 1.2 GB in bf16, so that it runs in 4 GB. That saves no reading: a token takes 113 MB of
// a layer, and before the next layer comes back to a byte, that much else has passed through the caches.
//
// decode reads the weights of attention, of the chosen experts and of the head, and the sequence's cache: %dram is its share of
// the read rate. prefill of 128 rows is bound by arithmetic on the chosen experts and, as all 128 of them are read for some rows
// each, by reading: both shares are given.
func BenchmarkPublishedShape(b *testing.B) {
	for _, form := range []string{"bf16", "fp8"} {
		b.Run(form, func(b *testing.B) { published30B(b, form == "fp8") })
		debug.FreeOSMemory() // the next form needs it
	}
}

func published30B(b *testing.B, fp8 bool) {
	const chunk = 128 // rows of a prefill step
	contexts := []int{256, 1024, 4096}
	src := inventWeights(fp8, map[string]weights.View{})
	src.same = regexp.MustCompile(`layers\.[0-9]+\.`)
	r, bound := load(b, []byte(published), src, nntest.Limits{Rows: chunk, Sequences: 1, Positions: 4096})
	if err := r.Fill(); err != nil {
		b.Fatal(err)
	}
	var expert, dense, head float64 // bytes of all
	for _, m := range bound.Modules {
		switch n := float64(m.WeightBytes()); {
		case strings.Contains(m.ID, ".experts."):
			expert += n
		case m.ID == "lm_head":
			head = n
		case m.ID != "embed_tokens":
			dense += n
		}
	}
	position := 48 * float64(nn.KeysValues(4, 128, 128).PositionBytes())
	for _, context := range contexts {
		b.Run(fmt.Sprintf("decode/context=%d", context), func(b *testing.B) {
			read := machine(b).Read
			bytes := dense + expert*8/128 + head + position*float64(context)
			perSecond := steps(b, r, context, 1)
			b.ReportMetric(perSecond, "tok/s")
			b.ReportMetric(perSecond*bytes/1e9, "GB/s")
			b.ReportMetric(100*perSecond*bytes/read, "%dram")
		})
	}
	for _, context := range contexts {
		b.Run(fmt.Sprintf("prefill/context=%d", context), func(b *testing.B) {
			now := machine(b)
			linear := 2 * float64(3_353_032_704-2*151936*2048) // the head is computed for one row only
			attention := 4 * 32 * 128 * 48 * (float64(context) - chunk/2)
			perSecond := steps(b, r, context, chunk)
			b.ReportMetric(perSecond*chunk, "tok/s")
			b.ReportMetric(perSecond*chunk*(linear+attention)/1e9, "GFLOP/s")
			b.ReportMetric(100*perSecond*chunk*(linear+attention)/now.FLOPS, "%peak")
			b.ReportMetric(100*perSecond*(dense+expert+head)/now.Read, "%dram")
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

// steps times steps that bring a sequence to a length of context by n rows, and gives steps per second. The tokens differ from
// step to step, so that the experts do.
func steps(b *testing.B, r *nntest.Runner, context, n int) float64 {
	tokens := make([]int32, n)
	for i := 0; b.Loop(); i++ {
		for j := range tokens {
			tokens[j] = int32((i*n + j) * 1009 % 151936)
		}
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
