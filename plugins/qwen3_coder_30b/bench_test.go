package main

import (
	"regexp"
	"runtime/debug"
	"strings"
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
	for _, form := range []string{"bf16", "fp8"} {
		b.Run(form, func(b *testing.B) { published30B(b, form == "fp8") })
		debug.FreeOSMemory() // the next form needs it
	}
}

var layerNumber = regexp.MustCompile(`layers\.[0-9]+\.`)

func published30B(b *testing.B, fp8 bool) {
	const rows, vocab = 128, 151936
	contexts := []int{256, 1024, 4096}
	src := nntest.Alike(func(name string) string {
		return strings.Replace(layerNumber.ReplaceAllString(name, "layers.N."), "lm_head", "model.embed_tokens", 1) // of one shape
	}, quantized(fp8))
	x, m := suite.Time(b, []byte(published), 0, vocab, rows, src)
	w, position := nntest.WeightsOf(m, 8.0/128), 48*float64(nn.KeysValues(4, 128, 128).PositionBytes())
	x.Decode(b, contexts, func(context float64) float64 { return w.Bytes + position*context })
	x.Prefill(b, contexts, rows, func(context float64) float64 { return w.Operations + 4*32*128*48*(context-rows/2) }, w.All)
}
