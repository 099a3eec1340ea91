package nntest

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Published is what is known of a model at its published size.
type Published struct {
	Parameters      int64
	Bytes           int64 // of weights in bf16
	Layers, Modules int
	Vocab           int

	// Of a model that is published in FP8 as well: which tensors are in FP8 there, and all bytes.
	FP8      func(name string, shape []int) bool
	FP8Bytes int64

	// Variance of the logits that invented weights give, within a factor of two; 0 is 1. They keep the size of what passes through,
	// so only what the last norm multiplies by is left.
	Variance float64
}

// Generates binds a config to invented weights, the first layers of it if layers > 0, and sees that everything is there and that
// the model continues a prompt: with the same token however the prompt is cut, and with what was generated fed back. Weights of
// which key makes one name have the same bytes.
func (s Suite) Generates(t *testing.T, config []byte, layers int, key func(name string) string, want Published) {
	t.Run("bf16", func(t *testing.T) { s.generates(t, config, layers, Alike(key, InFP8(nil)), want) })
	if want.FP8 != nil {
		want.Bytes = want.FP8Bytes
		t.Run("fp8", func(t *testing.T) { s.generates(t, config, layers, Alike(key, InFP8(want.FP8)), want) })
	}
}

func (s Suite) generates(t testing.TB, config []byte, layers int, src weights.Source, want Published) {
	t.Helper()
	r, b := s.LoadLayers(t, config, layers, src, Limits{Rows: 8, Sequences: 1, Positions: 64})
	bytes := int64(0)
	for _, m := range b.Modules {
		bytes += m.WeightBytes()
	}
	if b.Parameters != want.Parameters || bytes != want.Bytes || len(b.Layers) != want.Layers || len(b.Modules) != want.Modules {
		t.Errorf("%d parameters in %d bytes, %d layers in %d modules; want %d in %d, %d in %d",
			b.Parameters, bytes, len(b.Layers), len(b.Modules), want.Parameters, want.Bytes, want.Layers, want.Modules)
	}
	vocab := int32(want.Vocab)
	prompt := []int32{vocab - 1, 0, vocab / 2, 1000 % vocab}
	logits, err := r.Run(Chunk{Tokens: prompt})
	if err != nil {
		t.Fatal(err)
	}
	checkLogits(t, logits[0], want)
	first := Argmax(logits[0])
	if logits, err = r.Run(Chunk{Tokens: []int32{first}, Form: nn.Decode}); err != nil {
		t.Fatal(err)
	}
	checkLogits(t, logits[0], want)
	cut, err := r.Generate(0, prompt, 2, 1)
	if err != nil || cut[0] != first {
		t.Errorf("generates %v after %d, %v", cut, first, err)
	}
}

func checkLogits(t testing.TB, logits []float32, want Published) {
	t.Helper()
	variance, expected := 0.0, want.Variance
	if expected == 0 {
		expected = 1
	}
	for _, x := range logits {
		variance += float64(x) * float64(x) / float64(len(logits))
	}
	if len(logits) != want.Vocab || !(variance > expected/2 && variance < 2*expected) {
		t.Errorf("%d logits with variance %v", len(logits), variance)
	}
}
