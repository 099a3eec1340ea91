package main

import (
	"runtime/debug"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// BenchmarkPublishedShape times the real 4B, all 36 layers with invented weights of their own, in bf16 (8 GB) and in FP8 (4.4 GB), at
// three lengths of context, next to what this machine can do:
//
//	go test ./plugins/qwen3_4b_instruct -run '^$' -bench PublishedShape -benchtime 3x -timeout 1h
//
// A token reads every weight and the sequence's cache once; a prompt is bound by arithmetic.
func BenchmarkPublishedShape(b *testing.B) {
	b.Run("bf16", func(b *testing.B) { published4B(b, nil) })
	debug.FreeOSMemory() // the next form needs it
	b.Run("fp8", func(b *testing.B) { published4B(b, inFP8) })
}

func published4B(b *testing.B, fp8 func(string, []int) bool) {
	const rows, vocab = 128, 151936
	contexts := []int{256, 1024, 4096}
	x, m := suite.Time(b, []byte(published), 0, vocab, rows, nntest.Alike(nntest.Itself, nntest.InFP8(fp8)))
	w, position := nntest.WeightsOf(m, 1), 36*float64(nn.KeysValues(8, 128, 128).PositionBytes())
	x.Decode(b, contexts, func(context float64) float64 { return w.Bytes + position*context })
	x.Prefill(b, contexts, rows, func(context float64) float64 { return w.Operations + 4*32*128*36*(context-rows/2) }, 0)
}
