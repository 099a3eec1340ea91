package nntest

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/hfgguf"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// OpenGGUF opens a file until the test ends. What is not plain in it becomes f32, which keeps every number as the file has it.
func OpenGGUF(t testing.TB, a *hfgguf.Architecture, path string) (*hfgguf.Model, weights.Source) {
	t.Helper()
	m, err := a.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Checkpoint.Close() })
	return m, Source{m.Source.Names(), func(name string, shape []int) (weights.View, bool) {
		v, ok := m.Source.Get(name, shape)
		if v.Coded != nil {
			v.DType = cuda.F32
		}
		return v, ok
	}}
}

// InGGUF runs the checkpoints of unusual shapes from the files that llama.cpp's converter made of them without loss: every layer is the
// reference's, as it is of the folder.
func (s Suite) InGGUF(t *testing.T) {
	files, err := filepath.Glob("testdata/gguf/*.gguf")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		shape := strings.TrimSuffix(filepath.Base(file), ".gguf")
		dir := filepath.Join("testdata/shapes", shape)
		if golden, err := filepath.Glob(filepath.Join(dir, "golden.safetensors")); err != nil || len(golden) == 0 {
			continue // another test's
		}
		n++
		t.Run(shape, func(t *testing.T) {
			m, src := OpenGGUF(t, s.GGUF, file)
			if slices.Contains(s.Untold, shape) {
				m.Config = Read(t, dir, "config.json")
			}
			r, _ := s.Load(t, m.Config, src, Limits{Rows: 256, Sequences: 2, Positions: 256})
			how, err := r.Layers(dir, Bound)
			if err != nil {
				t.Errorf("%v; the config is %s", err, m.Config)
			}
			t.Log(how)
		})
	}
	if n == 0 {
		t.Error("no file of testdata/gguf is made of a folder of testdata/shapes")
	}
}

// QuantisedFile compares a file whose weights were quantised when it was made with the checkpoint that it was made of: as its own numbers, whose
// layers must be within a bound of the reference's, and packed as a server does, exactly and fast, by what that costs of the perplexity.
func (s Suite) QuantisedFile(t *testing.T, file, dir string, bound, perplexity float64) {
	m, src := OpenGGUF(t, s.GGUF, file)
	limits := Limits{Rows: 1024, Sequences: 2, Positions: 1024}
	r, _ := s.Load(t, m.Config, src, limits)
	how, err := r.Layers(dir, bound)
	if err != nil {
		t.Error(err)
	}
	t.Log(how)
	want, err := ReadPerplexity(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, packed := range []string{"", cuda.Q8, cuda.Q4} {
		s.Coded = func(weights.View) string { return packed }
		for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
			limits.Cache = s.cache()
			most := perplexity
			if packed == cuda.Q4 {
				most = 1.05
			}
			r, _ := s.Load(t, m.Config, m.Source, limits)
			ratio := opened{Runner: r}.measured(t, want) / math.Exp(want.NLL/float64(want.Tokens))
			if !(ratio <= most) {
				t.Errorf("packed to %q, %s: the perplexity is %.5f times the reference's, more than %v", packed, s.Numerics, ratio, most)
			}
			t.Logf("packed to %q, %s: the perplexity is %.5f times the reference's", packed, s.Numerics, ratio)
		}
	}
}
