package nntest

import (
	"encoding/json"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Published is what is known of a model at its published size.
type Published struct {
	Config string // config.json
	First  int    // only so many of its layers are built and counted; 0 is all

	Parameters      int64 // in bf16
	Layers, Modules int

	// Of a model that is published in FP8 as well: which tensors are in FP8 there, and all bytes.
	FP8      func(name string, shape []int) bool
	FP8Bytes int64

	// Variance of the logits that invented weights give, within a factor of two; 0 is 1. They keep the size of what passes through,
	// so only what the last norm multiplies by is left.
	Variance float64
}

// publishedKeys are what the kit reads of a config.
type publishedKeys struct {
	Architectures []string `json:"architectures"`
	VocabSize     int      `json:"vocab_size"`
	Text          struct { // of a model that sees
		VocabSize int `json:"vocab_size"`
	} `json:"text_config"`
}

func (k publishedKeys) vocab() int { return max(k.VocabSize, k.Text.VocabSize) }

func (p Published) keys() (k publishedKeys) {
	if json.Unmarshal([]byte(p.Config), &k) != nil {
		return publishedKeys{} // the model itself says what is wrong with it
	}
	return k
}

// Matrices are weights of one shape: how many, their rows (out) and columns (in).
type Matrices [3]int64

// FP8Bytes counts what so many parameters take of which matrices are in FP8: those are a byte each and have a factor in f32 for every
// 128 x 128 of them, or the part of it that is there; all else is in bf16.
func FP8Bytes(parameters int64, fp8 ...Matrices) int64 {
	bytes := 2 * parameters
	for _, m := range fp8 {
		factors := ((m[1] + 127) / 128) * ((m[2] + 127) / 128)
		bytes += m[0] * (4*factors - m[1]*m[2])
	}
	return bytes
}

// Generates binds the published config to invented weights, and sees that everything is there and that the model continues a prompt: with
// the same token however the prompt is cut, and with what was generated fed back. Layers and experts share their bytes, so that any
// model fits in the memory of one of each.
func (s Suite) Generates(t *testing.T) {
	want := s.Published
	t.Run("bf16", func(t *testing.T) { s.generates(t, Alike(Unnumbered, InFP8(nil)), 2*want.Parameters) })
	if want.FP8 != nil {
		t.Run("fp8", func(t *testing.T) { s.generates(t, Alike(Unnumbered, InFP8(want.FP8)), want.FP8Bytes) })
	}
}

// OtherSize does so for another model of the family.
func (s Suite) OtherSize(t *testing.T, p Published) {
	s.Published = p
	s.Generates(t)
}

func (s Suite) generates(t testing.TB, src weights.Source, wantBytes int64) {
	t.Helper()
	want := s.Published
	r, b := s.LoadLayers(t, []byte(want.Config), want.First, src, Limits{Rows: 8, Sequences: 1, Positions: 64})
	bytes := int64(0)
	for _, m := range b.Modules {
		bytes += m.WeightBytes()
	}
	if b.Parameters != want.Parameters || bytes != wantBytes || len(b.Layers) != want.Layers || len(b.Modules) != want.Modules {
		t.Errorf("%d parameters in %d bytes, %d layers in %d modules; want %d in %d, %d in %d",
			b.Parameters, bytes, len(b.Layers), len(b.Modules), want.Parameters, wantBytes, want.Layers, want.Modules)
	}
	vocab := int32(want.keys().vocab())
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
	if len(logits) != want.keys().vocab() || !(variance > expected/2 && variance < 2*expected) {
		t.Errorf("%d logits with variance %v", len(logits), variance)
	}
}
