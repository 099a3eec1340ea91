package nntest

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/hfquant"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/internal/regular"
)

// coded.go runs checkpoints whose weights are codes of compressed-tensors, AWQ, GPTQ, ModelOpt and MLX.

// repackedBound is how far layers may be of weights that are rounded once more, in parts of the largest of a tensor.
const repackedBound = 0.05

// InCodes runs the folders of testdata/quantised, whose weights packages have made codes: every layer is what a reference computes with the
// numbers that the packages make of the codes again. Packed as a server does, exactly and fast, it is that within what rounding costs.
func (s Suite) InCodes(t *testing.T) {
	dirs, err := filepath.Glob("testdata/quantised/*/golden.safetensors")
	if err != nil || len(dirs) == 0 {
		t.Fatal("testdata/quantised has no folders", err)
	}
	for _, golden := range dirs {
		dir := filepath.Dir(golden)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			s.Coded = nil
			s.inCodes(t, dir, cpu.Exact, exactCodes, Bound)
			s.Coded = nn.Repack
			for _, numerics := range []string{cpu.Exact, cpu.Fast} {
				s.inCodes(t, dir, numerics, func(src weights.Source) weights.Source { return src }, repackedBound)
			}
		})
	}
}

// inCodes loads a folder as a server does, with what codes have become changed.
func (s Suite) inCodes(t *testing.T, dir, numerics string, change func(weights.Source) weights.Source, bound float64) {
	t.Helper()
	config := settings(t, dir)
	if !regular.InCodes(dir) {
		t.Error("a server would take these weights for plain ones")
	}
	s.Numerics, s.changed = numerics, change
	m, b, err := s.Bind(config, 0, Checkpoint(t, dir))
	if err == nil {
		err = readPreprocessor(m, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := s.Runner(t, m, b, Limits{Rows: 64, Sequences: 1, Positions: 64})
	how, err := r.SeeingLayers(dir, bound, func(prompt []int32) Chunk {
		c := Chunk{Tokens: prompt}
		if s.Sight != nil {
			s.Sight(t, m, dir, Case{Prompt: prompt, Images: pictures(t, dir)})(&c, 0)
		}
		return c
	})
	if err != nil {
		t.Errorf("%s: %v", numerics, err)
	}
	t.Logf("%s: %s", numerics, how)
}

// settings is a folder's config.json with what another file says of its weights.
func settings(t testing.TB, dir string) []byte {
	t.Helper()
	config, err := hfquant.WithSettings(Read(t, dir, "config.json"), func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) })
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// exactCodes has codes become f32, which keeps every number as it is.
func exactCodes(src weights.Source) weights.Source {
	return Source{slices.Clone(src.Names()), func(name string, shape []int) (weights.View, bool) {
		v, ok := src.Get(name, shape)
		if v.Coded != nil {
			v.DType = cuda.F32
		}
		return v, ok
	}}
}

// pictures are the names of the pictures in a folder.
func pictures(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d pictures in %s, %v", len(files), dir, err)
	}
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	return names
}

// QuantisedFolder compares a folder of codes with the one that they were made of: packed as a server does, exactly and fast, by what that costs of the
// perplexity.
func (s Suite) QuantisedFolder(t *testing.T, dir, of string, perplexity float64) {
	want, err := ReadPerplexity(of)
	if err != nil {
		t.Fatal(err)
	}
	s.Coded = nn.Repack
	for _, s.Numerics = range []string{cpu.Exact, cpu.Fast} {
		r, _ := s.Load(t, settings(t, dir), Checkpoint(t, dir), Limits{Rows: 1024, Sequences: 2, Positions: 1024, Cache: s.cache()})
		ratio := opened{Runner: r}.measured(t, want) / math.Exp(want.NLL/float64(want.Tokens))
		if !(ratio <= perplexity) {
			t.Errorf("%s: the perplexity is %.5f times the reference's, more than %v", s.Numerics, ratio, perplexity)
		}
		t.Logf("%s: the perplexity is %.5f times the reference's", s.Numerics, ratio)
	}
}

// Pipelines runs folders that other people's tools made of the tiny model, whole: PIO_QUANTISED names the folder that has one for each plugin.
func (s Suite) Pipelines(t *testing.T) {
	all := os.Getenv("PIO_QUANTISED")
	if all == "" {
		t.Skip("third-party data: PIO_QUANTISED is not set: no checkpoints of other tools (make quantised)")
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob(filepath.Join(all, filepath.Base(here), "*/config.json"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("%s has no folders of this plugin, %v", all, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(filepath.Dir(dir)), func(t *testing.T) { s.QuantisedFolder(t, filepath.Dir(dir), s.Checkpoints[0], pipelinesCost) })
	}
}

// pipelinesCost is how many times the reference's the perplexity may be: in MXFP4, the coarsest, it is up to 1.016.
const pipelinesCost = 1.03
