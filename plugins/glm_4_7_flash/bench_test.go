package main

import (
	"runtime/debug"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
)

// BenchmarkPublishedShape times three layers of the published width, the dense one and two mixtures, with invented weights in bf16 and
// in FP8, next to what this machine can do. 16 experts of a layer have bytes of their own, far more than any cache holds, and the others
// share them:
//
//	go test ./plugins/glm_4_7_flash -run '^$' -bench PublishedShape -benchtime 3x
//
// A token reads the active weights and the latents once; a prompt is bound by arithmetic. The work of expanding the latents of earlier
// positions is counted, for it is part of the formula; more rows in a step share it.
func BenchmarkPublishedShape(b *testing.B) {
	b.Run("bf16", func(b *testing.B) { threeLayers(b, nil) })
	debug.FreeOSMemory() // the next form needs it
	b.Run("fp8", func(b *testing.B) { threeLayers(b, inFP8) })
}

func threeLayers(b *testing.B, fp8 func(string, []int) bool) {
	const rows, vocab = 512, 154880
	x, m := suite.Time(b, []byte(published), 3, vocab, rows, nntest.Alike(nntest.FewExperts(16), nntest.InFP8(fp8)))
	w := nntest.WeightsOf(m, 4.0/64)
	x.Decode(b, []int{256, 1024, 4096}, func(context float64) float64 { return w.Bytes + 3*4*576*context })
	x.Prefill(b, []int{512, 1024, 4096}, rows, func(context float64) float64 {
		attention := 3 * 2 * 20 * (256 + 256) * (context - rows/2) // of a row
		expansion := 3 * 2 * 8960 * 512 * (context - rows) / rows  // its share; its own latents are in w
		return w.Operations + attention + expansion
	}, 0)
}
