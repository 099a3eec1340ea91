package nntest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/hfgguf"
	"github.com/inference-pio/inference-pio/cuda/hfquant"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// Bound is how far numbers may be from the reference's, in parts of the largest of a tensor. Both computations are in f32 on the
// same weights, so they differ by the order of sums alone: some 1e-6. This is far above that and far below any mistake.
const Bound = 1e-4

// Suite is a model under test: how it is opened, which checkpoints a reference was run on, and what is special about it. Test runs
// what every model must pass:
//
//	var suite = nntest.Suite{Open: open, Checkpoints: []string{"testdata/tiny"}}
//
//	func TestModel(t *testing.T) { suite.Test(t) }
type Suite struct {
	// Open reads config.json and returns the model without weights: layers > 0 keeps the first ones, has says whether the
	// checkpoint has a tensor.
	//
	// The model may have methods for what the server asks as well: Respell(weights.Source) weights.Source, IgnoreTensor(string)
	// bool, FP8Block() [2]int, ReadPreprocessor([]byte) error.
	Open func(config []byte, layers int, has func(tensor string) bool) (Model, error)

	// Checkpoints are folders with a checkpoint and golden.safetensors, golden.json and perplexity.json of a reference.
	Checkpoints []string
	// Shapes is how many folders of testdata/shapes have a checkpoint of unusual dimensions and golden.safetensors.
	Shapes int

	// Cut is where a prompt may be cut without a bit changing: after each multiple of so many tokens. 0 is anywhere.
	Cut int
	// Forms is how far apart, by rounding, what is generated and the same as a prompt may be of a model that computes them in two
	// forms. 0 is one form, and the same bits.
	Forms float64

	// Cases names cases of golden.json that show what is special, to be cut and run in company with others.
	Cases []string

	Misfit    Misfit    // what is not right with the first checkpoint
	Published Published // the model at its published size
	Random    Random    // legal configs of the architecture
	Seed      uint64    // that they are drawn with

	GGUF   *hfgguf.Architecture // how files in testdata/gguf are read; nil: there are none
	Untold []string             // shapes of whose config a GGUF file does not have all: the folder's is taken

	Quantise string                              // cuda.Q8 or cuda.Q4, of models that are bound; "" keeps the checkpoint's weights
	Coded    func(weights.View) string           // what weights are packed to that a file has as codes; nil widens them
	changed  func(weights.Source) weights.Source // what is made of codes before they are bound; nil leaves them
	Numerics string                              // cpu.Exact, which is also "", or cpu.Fast
	Cache    cuda.DType                          // of keys, values and latents: cuda.F32, which is also 0, or another that caches have

	// On opens another device than the CPU, of such numerics, on which everything is then computed.
	On func(t testing.TB, numerics string) cuda.Device

	// Of a model that sees: how many features a row can have and their width, and what is to be seen in a case.
	Features func(m Model) (n, hidden int)
	Sight    func(t testing.TB, m Model, dir string, c Case) Sight
}

// Test runs every test of the suite, each by its name. Shapes, Misfit, Published and Random are left out where they are not given: a
// model that the kit cannot do that with has tests of its own.
func (s Suite) Test(t *testing.T) {
	s.Agree(t)
	t.Run("Chunked", s.Chunked)
	t.Run("Borders", s.Borders)
	t.Run("Company", s.Company)
	t.Run("Forms", s.SameForms)
	t.Run("Heads", func(t *testing.T) { s.Heads(t) })
	t.Run("Fast", s.Fast)
	t.Run("Quantised", s.Quantised)
	t.Run("CacheInCodes", s.CacheInCodes)
	for _, part := range []struct {
		name  string
		given bool
		test  func(t *testing.T)
	}{
		{"Shapes", s.Shapes > 0, s.UnusualShapes},
		{"GGUF", s.GGUF != nil && s.Shapes > 0, s.InGGUF},
		{"Misfit", s.Misfit.Missing != nil, func(t *testing.T) { s.Misfits(t) }},
		{"Published", s.Published.Parameters > 0, s.Generates},
		{"Random", s.Random != nil, s.RandomConfigs},
	} {
		if part.given {
			t.Run(part.name, part.test)
		}
	}
}

// Agree runs the tests that compare the checkpoints with the reference.
func (s Suite) Agree(t *testing.T) {
	t.Run("EveryLayer", s.EveryLayer)
	t.Run("Greedy", s.Greedy)
	t.Run("Perplexity", s.Perplexity)
	t.Run("Portable", s.Portable)
}

// Sight adds to a chunk of a prompt what there is to see in it. Its first token is at position from.
type Sight func(c *Chunk, from int)

// Read is a file of a test.
func Read(t testing.TB, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Checkpoint opens the weights of a folder until the test ends.
func Checkpoint(t testing.TB, dir string) weights.Source {
	t.Helper()
	c, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// NewCPU is a CPU with the kernels of this machine, or those that PIO_CPU names, until the test ends.
func NewCPU(t testing.TB) *cpu.Device {
	t.Helper()
	return openCPU(t, cpu.Options{})
}

func openCPU(t testing.TB, o cpu.Options) *cpu.Device {
	t.Helper()
	c, err := cpu.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Bind opens a model and gives it weights, as a server does. An error of the weights is a *nn.BindError.
func (s Suite) Bind(config []byte, layers int, src weights.Source) (Model, *nn.Bound, error) {
	src, err := hfquant.Open(config, src)
	if err != nil {
		return nil, nil, err
	}
	if s.changed != nil {
		src = s.changed(src)
	}
	names := src.Names()
	m, err := s.Open(config, layers, func(tensor string) bool { return slices.Contains(names, tensor) })
	if err != nil {
		return nil, nil, err
	}
	o := nn.BindOptions{Prefix: "model.", Quantise: s.Quantise, Coded: s.Coded}
	if m, ok := m.(interface {
		Respell(weights.Source) weights.Source
	}); ok {
		src = m.Respell(src)
	}
	if m, ok := m.(interface{ IgnoreTensor(string) bool }); ok {
		o.Ignore = m.IgnoreTensor
	}
	if m, ok := m.(interface{ FP8Block() [2]int }); ok {
		o.FP8Block = m.FP8Block()
	}
	b, err := nn.Bind(m, src, o)
	return m, b, err
}

// Load binds a config to weights and gives a runner for it until the test ends.
func (s Suite) Load(t testing.TB, config []byte, src weights.Source, l Limits) (*Runner, *nn.Bound) {
	t.Helper()
	return s.LoadLayers(t, config, 0, src, l)
}

// LoadLayers is Load of the first layers.
func (s Suite) LoadLayers(t testing.TB, config []byte, layers int, src weights.Source, l Limits) (*Runner, *nn.Bound) {
	t.Helper()
	m, b, err := s.Bind(config, layers, src)
	if err != nil {
		t.Fatal(err)
	}
	return s.Runner(t, m, b, l), b
}

// Runner drives a bound model until the test ends.
func (s Suite) Runner(t testing.TB, m Model, b *nn.Bound, l Limits) *Runner {
	t.Helper()
	if s.Features != nil {
		l.Features, l.Hidden = s.Features(m)
	}
	c := openCPU(t, cpu.Options{Numerics: s.Numerics})
	quantise(t, b, c)
	if s.On != nil {
		l.On = s.On(t, s.Numerics)
	}
	r, err := NewRunner(m, b, c, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// opened is a checkpoint as the tests run it.
type opened struct {
	*Runner
	suite Suite
	model Model
	dir   string
}

// open loads a checkpoint with one of its config files.
func (s Suite) open(t testing.TB, dir, config string) opened {
	t.Helper()
	return s.openWith(t, dir, config, s.Cache)
}

// openWith has a cache of a type.
func (s Suite) openWith(t testing.TB, dir, config string, cache cuda.DType) opened {
	t.Helper()
	m, b, err := s.Bind(Read(t, dir, config), 0, Checkpoint(t, dir))
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", filepath.Join(dir, config), err))
	}
	if err := readPreprocessor(m, dir); err != nil {
		t.Fatal(err)
	}
	return opened{s.Runner(t, m, b, Limits{Rows: 1024, Sequences: 2 + max(2, len(s.Cases)), Positions: 1024, Cache: cache}), s, m, dir}
}

func readPreprocessor(m Model, dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "preprocessor_config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return readPictures(m, text)
}

// readPictures gives a model that sees its preprocessor_config.json; nil is none.
func readPictures(m Model, text []byte) error {
	if seer, ok := m.(interface{ ReadPreprocessor([]byte) error }); ok && text != nil {
		return seer.ReadPreprocessor(text)
	}
	return nil
}

// each runs a test with all checkpoints.
func (s Suite) each(t *testing.T, f func(t testing.TB, dir string)) {
	if len(s.Checkpoints) == 0 {
		t.Fatal("the suite names no checkpoints")
	}
	for _, dir := range s.Checkpoints {
		t.Run(filepath.Base(dir), func(t *testing.T) { f(t, dir) })
	}
}
