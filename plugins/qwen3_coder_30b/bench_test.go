package main

import (
	"runtime/debug"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// BenchmarkPublishedShape times the real 30B, all 48 layers of 128 experts, in bf16 and in FP8, at three lengths of context, next to
// what this machine can do:
//
//	go test ./plugins/qwen3_coder_30b -run '^$' -bench PublishedShape -benchtime 3x -timeout 1h
//
// The layers share the bytes of one layer, 1.2 GB in bf16, so that it runs in 4 GB. That saves no reading: a token takes 113 MB of
// a layer, and before the next layer comes back to a byte, that much else has passed through the caches.
//
// A token reads the weights of attention, of the chosen experts and of the head, and the sequence's cache. A prompt's step of 128 rows
// is bound by arithmetic on the chosen experts and, as all 128 of them are read for some rows each, by reading: both shares are given.
func BenchmarkPublishedShape(b *testing.B) {
	b.Run("bf16", func(b *testing.B) { published30B(b, nil) })
	debug.FreeOSMemory() // the next form needs it
	b.Run("fp8", func(b *testing.B) { published30B(b, inFP8) })
}

func published30B(b *testing.B, fp8 func(string, []int) bool) {
	const rows, vocab = 128, 151936
	contexts := []int{256, 1024, 4096}
	x, m := suite.Time(b, []byte(published), 0, vocab, rows, nntest.Alike(nntest.OneLayer, nntest.InFP8(fp8)))
	w, position := nntest.WeightsOf(m, 8.0/128), 48*float64(nn.KeysValues(4, 128, 128).PositionBytes())
	x.Decode(b, contexts, func(context float64) float64 { return w.Bytes + position*context })
	x.Prefill(b, contexts, rows, func(context float64) float64 { return w.Operations + 4*32*128*48*(context-rows/2) }, w.All)
}
