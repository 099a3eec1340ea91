package main

import (
	"runtime/debug"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// BenchmarkPublishedShape times four layers of the published width, three with the delta rule and one with attention, with invented
// weights in bf16 and in FP8, next to what this machine can do:
//
//	go test ./plugins/qwen3_coder_next -run '^$' -bench PublishedShape -benchtime 3x
//
// 32 experts of a layer have bytes of their own and the others share them, far more than any cache holds. A token reads the active
// weights, the states and the cache once. A prompt's step reads all experts for a few rows each: its GB/s are those. 48 layers take
// twelve times the layers' part.
func BenchmarkPublishedShape(b *testing.B) {
	b.Run("bf16", func(b *testing.B) { fourPublished(b, nil) })
	debug.FreeOSMemory() // the next form needs it
	b.Run("fp8", func(b *testing.B) { fourPublished(b, inFP8) })
}

func fourPublished(b *testing.B, fp8 func(string, []int) bool) {
	const rows, vocab = 256, 151936 // rows of a prefill step: some five for each expert
	contexts := []int{256, 1024, 4096}
	x, m := suite.Time(b, []byte(published), 4, vocab, rows, nntest.Alike(nntest.FewExperts(32), nntest.InFP8(fp8)))
	w := nntest.WeightsOf(m, 10.0/512)
	x.Decode(b, contexts, func(context float64) float64 { return w.Bytes + 2*3*deltaState + gatedState*context })
	x.Prefill(b, contexts, rows, func(context float64) float64 {
		attention := 4 * 16 * 256 * (context - rows/2)
		const delta = 3 * 2 * 32 * (3*128*128 + 2*32*128 + 2*32*128) // a row's share of a chunk: three products with the matrix, four within it
		return w.Operations + attention + delta
	}, w.All)
}
