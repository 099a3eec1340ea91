package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BenchmarkPublishedShape times the real 0.6B with invented bf16 weights, at three lengths of context, next to what this machine
// can do:
//
//	go test ./plugins/qwen3_0_6b -run '^$' -bench PublishedShape
//
// A token reads every weight and the sequence's cache once; a prompt is bound by arithmetic.
func BenchmarkPublishedShape(b *testing.B) {
	const rows, vocab = 128, 151936
	contexts := []int{256, 1024, 4096}
	x, m := suite.Time(b, []byte(published), 0, vocab, rows, weights.Dummy(1, cuda.BF16))
	w, position := nntest.WeightsOf(m, 1), 28*float64(nn.KeysValues(8, 128, 128).PositionBytes())
	x.Decode(b, contexts, func(context float64) float64 { return w.Bytes + position*context })
	x.Prefill(b, contexts, rows, func(context float64) float64 { return w.Operations + 4*16*128*28*(context-rows/2) }, 0)
}
