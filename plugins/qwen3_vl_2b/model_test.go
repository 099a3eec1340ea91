package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// tiny is a small model of the class, which names colour and shape of what it sees, with what the reference computes.
const tiny = "testdata/tiny"

// Both computations are in f32 on the same weights, so they differ by the order of sums alone: some 1e-6 of the largest value.
// 1e-4 is far above that and far below any mistake.
const bound = 1e-4

// bind gives a config weights.
func bind(t testing.TB, config []byte, layers int, src weights.Source) (*Model, *nn.Bound) {
	t.Helper()
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	m := New(c, layers)
	b, err := nn.Bind(m, m.Respell(src), nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor, FP8Block: m.FP8Block()})
	if err != nil {
		t.Fatal(err)
	}
	return m, b
}

func newRunner(t testing.TB, m *Model, b *nn.Bound, l nntest.Limits) *nntest.Runner {
	t.Helper()
	l.Features, l.Hidden = m.Features(), m.cfg.Text.HiddenSize
	r, err := nntest.NewRunner(m, b, newCPU(t), l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// checkpoint opens the weights of a directory until the test ends.
func checkpoint(t testing.TB, dir string) weights.Source {
	t.Helper()
	c, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func loadTiny(t testing.TB, config string) (*Model, *nntest.Runner) {
	t.Helper()
	m, b := bind(t, read(t, tiny, config), 0, checkpoint(t, tiny))
	if err := m.ReadPreprocessor(read(t, tiny, "preprocessor_config.json")); err != nil {
		t.Fatal(err)
	}
	return m, newRunner(t, m, b, nntest.Limits{Rows: 1024, Sequences: 4, Positions: 1024})
}

// goldenCase is one of golden.json.
type goldenCase struct {
	Name   string
	IDs    []int32
	Images []string
	Grid   [][3]int `json:"grid_thw"`
	Full   bool
	Greedy []int32 `json:"greedy_ids"`
	Margin float64 `json:"smallest_margin"`
}

func goldenCases(t testing.TB) []goldenCase {
	t.Helper()
	var file struct{ Cases []goldenCase }
	if err := json.Unmarshal(read(t, tiny, "golden.json"), &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(file.Cases), err)
	}
	return file.Cases
}

func caseNamed(t testing.TB, name string) goldenCase {
	t.Helper()
	cases := goldenCases(t)
	i := slices.IndexFunc(cases, func(c goldenCase) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("golden.json has no %s", name)
	}
	return cases[i]
}

func (c goldenCase) scene(t testing.TB, m *Model) *scene {
	t.Helper()
	files := make([]string, len(c.Images))
	for i, name := range c.Images {
		files[i] = filepath.Join(tiny, name)
	}
	return newScene(t, m, c.IDs, files...)
}

func goldenFile(t testing.TB) golden.File {
	t.Helper()
	f, err := golden.Open(filepath.Join(tiny, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func goldenF32(t testing.TB, name string) []float32 {
	t.Helper()
	v, err := goldenFile(t).F32(name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func full(t testing.TB) goldenCase {
	t.Helper()
	cases := goldenCases(t)
	return cases[slices.IndexFunc(cases, func(c goldenCase) bool { return c.Full })]
}

func TestEveryLayerIsTheReferences(t *testing.T) {
	for _, config := range []string{"config.json", "config.v5.json"} { // both spellings must be one model
		m, r := loadTiny(t, config)
		sc := full(t).scene(t, m)
		how, err := r.SeeingLayers(tiny, bound, func(prompt []int32) nntest.Chunk {
			sc.ids = prompt
			return sc.chunk(0, len(prompt))
		})
		if err != nil {
			t.Errorf("%s: %v", config, err)
		}
		t.Logf("%s: %s", config, how)
	}
}

// Texts, a picture of each shape, one that is shrunk, two in a message, one in a later turn.
func TestGreedyTokensAreTheReferences(t *testing.T) {
	m, r := loadTiny(t, "config.json")
	for _, c := range goldenCases(t) {
		sc := c.scene(t, m)
		for i, one := range sc.placed {
			g := one.Picture.(*Picture).grid
			if want := c.Grid[i]; want != [3]int{1, g.rows, g.columns} {
				t.Errorf("%s: picture %d has %v patches, the reference %v", c.Name, i, g, want)
			}
		}
		if got := sc.generate(t, r, 0, 512, len(c.Greedy)); !slices.Equal(got, c.Greedy) {
			t.Errorf("%s (smallest margin %v):\n got %v\nwant %v", c.Name, c.Margin, got, c.Greedy)
		}
	}
}

func TestPerplexityIsTheReferences(t *testing.T) {
	want, err := nntest.ReadPerplexity(tiny)
	if err != nil {
		t.Fatal(err)
	}
	_, r := loadTiny(t, "config.json")
	sum, tokens, err := r.NLL(want.Documents)
	if err != nil {
		t.Fatal(err)
	}
	if tokens != want.Tokens {
		t.Fatalf("%d tokens, the reference counts %d", tokens, want.Tokens)
	}
	perplexity, reference := math.Exp(sum/float64(tokens)), math.Exp(want.NLL/float64(want.Tokens))
	if off := math.Abs(perplexity/reference - 1); off > 1e-4 {
		t.Errorf("perplexity %v, the reference has %v: %.4f %% apart", perplexity, reference, 100*off)
	}
	t.Logf("perplexity %.8f, reference %.8f", perplexity, reference)
}

var _ = cuda.F32
