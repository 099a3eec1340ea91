package nntest

import (
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/nn"
)

// device.go has the tests of a model on another device than the CPU, which Suite.On opens.

// OnDevice runs what a model must pass there beside Compare, which has the reference's tokens: its numbers in each layer, its perplexity; the same
// bits alone, in company and in chunks; the same quantised, with a cache in codes, and as files have it.
func (s Suite) OnDevice(t *testing.T) {
	for _, part := range []struct {
		name  string
		given bool
		test  func(t *testing.T)
	}{
		{"EveryLayer", true, s.EveryLayer},
		{"Chunked", true, s.Chunked},
		{"Borders", true, s.Borders},
		{"Company", true, s.Company},
		{"Forms", true, s.SameForms},
		{"Heads", true, func(t *testing.T) { s.Heads(t) }},
		{"Shapes", s.Shapes > 0, s.UnusualShapes},
		{"GGUF", s.GGUF != nil && s.Shapes > 0, s.InGGUF},
		{"Quantised", true, s.Quantised},
		{"CacheInCodes", true, s.CacheInCodes},
		{"Perplexity", true, s.Perplexity},
	} {
		if part.given {
			t.Run(part.name, part.test)
		}
	}
}

// BrieflyOnDevice is the least of it, for devices that tests have only as a slow imitation: every layer in exact numerics, and in both
// numerics the same bits of two short stories alone, in company and in chunks.
func (s Suite) BrieflyOnDevice(t *testing.T) {
	t.Run("EveryLayer", s.EveryLayer)
	for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
		t.Run("SameBits/"+s.Numerics, func(t *testing.T) {
			s.each(t, func(t testing.TB, dir string) { s.briefly(t, dir) })
		})
	}
}

// Comparison is a model beside the reference, in short.
type Comparison struct {
	Equal, Cases int    // of golden.json, token by token
	Worst        string // layer
	Apart        float64
}

// Compare runs the golden prompt of a checkpoint and generates its cases.
func (s Suite) Compare(t testing.TB, dir string) (c Comparison) {
	t.Helper()
	o := s.open(t, dir, "config.json")
	y := o.longest(t)
	alone := s
	alone.On = nil
	want := alone.open(t, dir, "config.json").layers(t, y)
	c.Worst, c.Apart, _ = apart(want, o.layers(t, y), Bound)
	for _, one := range o.cases(t) {
		got, err := o.Continue(0, o.story(t, one), 512, len(one.Greedy))
		if err != nil {
			t.Fatal(err)
		}
		if c.Cases++; slices.Equal(got, one.Greedy) {
			c.Equal++
		}
	}
	return c
}

// Decoding has a model generate some tokens of a case one by one, in so many steps of equal shape, after tell has been told that they begin; it is
// told again when they have ended. For those who count what a device was asked for.
func (s Suite) Decoding(t testing.TB, dir string, steps int, tell func(begin bool)) {
	t.Helper()
	o := s.open(t, dir, "config.json")
	c := o.cases(t)[0]
	chunk := Chunk{Tokens: c.Prompt}
	for i := range steps + 1 {
		logits, err := o.Run(chunk)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			tell(true)
		}
		chunk = Chunk{Tokens: []int32{Argmax(logits[0])}, Form: nn.Decode}
	}
	tell(false)
}

// briefly takes stories that end in the second block of their caches.
func (s Suite) briefly(t testing.TB, dir string) {
	cache := cuda.F32
	if s.Numerics == cpu.Fast {
		cache = cuda.BF16
	}
	o := s.openWith(t, dir, "config.json", cache)
	c := Longest(o.cases(t))
	ids := append(append([]int32(nil), c.Prompt...), c.Greedy...)
	for len(ids) < 80 {
		ids = append(ids, ids...)
	}
	stories := []Story{{Prompt: ids[:66], After: ids[66:71]}, {Prompt: ids[7:37], After: ids[37:40]}}
	var alone [][][]float32
	for _, y := range stories {
		alone = append(alone, o.Rows(t, 0, y, len(y.Prompt), 1))
	}
	together, err := o.Tell(stories, Steady(max(16, s.Cut), 1))
	if err != nil {
		t.Fatal(err)
	}
	for i, rows := range together {
		SameBits(t, "in company and in chunks", rows, alone[i])
	}
}
