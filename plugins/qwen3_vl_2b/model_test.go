package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
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

func openGolden(t testing.TB, dir string) golden.File {
	t.Helper()
	f, err := golden.Open(filepath.Join(dir, "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func goldenF32(t testing.TB, f golden.File, name string) []float32 {
	t.Helper()
	v, err := f.F32(name)
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

// The 60 pictures have sizes, places and shades that the model was not trained on; the reference's answers are kept as words.
func TestUnseenPicturesAreDescribedAsTheReferenceDoes(t *testing.T) {
	var unseen struct {
		Pictures []struct{ Image, Answer string }
	}
	if err := json.Unmarshal(read(t, tiny, "unseen.json"), &unseen); err != nil || len(unseen.Pictures) != 60 {
		t.Fatalf("%d pictures, %v", len(unseen.Pictures), err)
	}
	words, err := tokenizer.Load(tiny)
	if err != nil {
		t.Fatal(err)
	}
	m, r := loadTiny(t, "config.json")
	ask, caseEnd := caseNamed(t, "picture0").IDs, endOfTurn(t)
	first, pad := slices.Index(ask, m.PadToken()), m.PadToken()
	last := len(ask) - 1
	for ask[last] != pad {
		last--
	}
	for _, one := range unseen.Pictures {
		file := filepath.Join(tiny, one.Image)
		pads := slices.Repeat([]int32{pad}, lookAt(t, m, read(t, file)).Tokens())
		sc := newScene(t, m, slices.Concat(ask[:first], pads, ask[last+1:]), file)
		ids := sc.generate(t, r, 0, 64, 16)
		if end := slices.Index(ids, caseEnd); end >= 0 {
			ids = ids[:end]
		}
		if got := words.Decode(ids, true); got != one.Answer {
			t.Errorf("%s: %q, the reference says %q", one.Image, got, one.Answer)
		}
	}
}

// endOfTurn is the token that ends an answer: the last of any in golden.json.
func endOfTurn(t *testing.T) int32 {
	t.Helper()
	answer := caseNamed(t, "picture0").Greedy
	return answer[len(answer)-1]
}

// The picture of picture4 has 247 tokens, which chunks cut; text stands before it and behind.
func TestChunkedPromptIsTheWholePrompt(t *testing.T) {
	m, r := loadTiny(t, "config.json")
	for _, name := range []string{"picture4", "two_pictures", "picture_later", "long"} {
		sc := caseNamed(t, name).scene(t, m)
		want := sc.all(t, r, 0, len(sc.ids))
		for _, chunk := range []int{64, 128, 192, 7} { // off the borders as well: this model's forms are one
			sameBits(t, name+" chunked", sc.all(t, r, 1, chunk), want)
		}
	}
}

// A text needs no positions in rows and columns: without them the bits are the same.
func TestTextIsTheSameWithoutAxes(t *testing.T) {
	m, b := bind(t, read(t, tiny, "config.json"), 0, checkpoint(t, tiny))
	seeing := newRunner(t, m, b, nntest.Limits{Rows: 1024, Sequences: 1, Positions: 1024})
	blind, err := nntest.NewRunner(m, b, newCPU(t), nntest.Limits{Rows: 1024, Sequences: 1, Positions: 1024})
	if err != nil {
		t.Fatal(err)
	}
	defer blind.Close()
	sc := caseNamed(t, "long").scene(t, m)
	want := sc.all(t, seeing, 0, 512)
	got, err := blind.Run(nntest.Chunk{Tokens: sc.ids, All: true})
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "blind", got, want)
}

// Prompts of every length about the size of a block are beginnings of one another, and what is decoded after them is what the
// longer prompt has at that place.
func TestPromptsAroundTheBorders(t *testing.T) {
	m, r := loadTiny(t, "config.json")
	for _, name := range []string{"long", "picture4"} {
		sc := caseNamed(t, name).scene(t, m)
		want := sc.all(t, r, 0, len(sc.ids))
		for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 129} {
			r.Reset(1)
			got := run(t, r, 1, sc.chunk(0, n), nn.Prefill)
			for at := n; at < n+3; at++ {
				got = append(got, run(t, r, 1, sc.chunk(at, at+1), nn.Decode)...)
			}
			sameBits(t, fmt.Sprintf("%s: a prompt of %d and three tokens", name, n), got, want[:n+3])
		}
	}
}

func TestSequencesDoNotFeelEachOther(t *testing.T) {
	m, r := loadTiny(t, "config.json")
	var scenes []*scene
	for _, name := range []string{"picture4", "capital", "two_pictures", "picture_later"} {
		scenes = append(scenes, caseNamed(t, name).scene(t, m))
	}
	alone := make([][][]float32, len(scenes))
	for i, sc := range scenes {
		alone[i] = sc.all(t, r, 0, 64)
	}
	together := inCompany(t, r, scenes)
	for seq := range scenes {
		sameBits(t, "in company", together[seq], alone[seq])
	}
}

// inCompany runs scenes in ragged chunks, so that steps mix prompts at all stages.
func inCompany(t *testing.T, r *nntest.Runner, scenes []*scene) [][][]float32 {
	t.Helper()
	for seq := range scenes {
		r.Reset(seq)
	}
	together, at := make([][][]float32, len(scenes)), make([]int, len(scenes))
	for step := 0; ; step++ {
		var chunks []nntest.Chunk
		var whose []int
		for seq, sc := range scenes {
			if n := min(len(sc.ids)-at[seq], 1+(step*5+seq*17)%23); n > 0 {
				c := sc.chunk(at[seq], at[seq]+n)
				c.Seq, c.All = seq, true
				chunks, at[seq] = append(chunks, c), at[seq]+n
				whose = append(whose, slices.Repeat([]int{seq}, n)...)
			}
		}
		if len(chunks) == 0 {
			return together
		}
		logits, err := r.Run(chunks...)
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range logits {
			together[whose[i]] = append(together[whose[i]], slices.Clone(row))
		}
	}
}
