package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/golden"
	"github.com/inference-pio/inference-pio/cuda/hfconfig/configtest"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve/servetest"
	"github.com/inference-pio/inference-pio/cuda/weights"
	"github.com/inference-pio/inference-pio/sdk/tokenizer"
)

// tiny is a small model of the class, which names colour and shape of what it sees, with what the reference computes.
const (
	tiny  = "testdata/tiny"
	bound = nntest.Bound
)

var plugin = servetest.Plugin{
	Family: family, Published: published, Checkpoints: []string{tiny},
	Call: servetest.Call{Name: "get_weather", Arguments: `{"city": "Oslo"}`},
	Rows: rows(),
	Tables: []servetest.Table{
		{Parameters: parameters, Position: 28 * position, Modules: 2 + 28 + 28}, // embedding and norm, layers, the tower
		{Layers: 2, Parameters: parameters - 26*50_336_000, Position: 2 * position, Modules: 2 + 2 + 28},
		{Dir: tiny, Position: 4 * 2 * 2 * 32 * 4, Modules: 2 + 4 + 8}, // the tower, its blocks and the mergers of three
	},
	Memory: func(m configtest.Sizes) map[string]int64 {
		return map[string]int64{
			"of these the tower":                             2 * m.Under("visual"),
			"of these the embedding, which is also the head": 2 * m.Elements["embed_tokens"],
			"of these one decoder layer, 28 in all":          2 * m.Elements["layers.27"],
			"cache for 32,768 positions":                     32768 * m.Position,
		}
	},
}

// The picture of picture4 has 247 tokens, which chunks cut; text stands before it and behind. Others have two in a message, or one in a
// later turn.
var suite = plugin.Suite(nntest.Suite{
	Cases:    []string{"picture4", "capital", "two_pictures", "picture_later"},
	Features: func(m nntest.Model) (n, hidden int) { return m.(*Model).Features(), m.(*Model).cfg.Text.HiddenSize },
	Sight: func(t testing.TB, m nntest.Model, dir string, c nntest.Case) nntest.Sight {
		return sceneOf(t, m.(*Model), dir, c).show
	},
})

const (
	parameters = 2_127_532_032
	position   = 2 * 8 * 128 * 4 // bytes of a layer's cache
)

var (
	read       = nntest.Read
	checkpoint = nntest.Checkpoint
	newCPU     = nntest.NewCPU
	sameBits   = nntest.SameBits
)

func TestModel(t *testing.T)              { suite.Test(t) }
func TestInCodes(t *testing.T)            { suite.InCodes(t) }
func TestPipelines(t *testing.T)          { suite.Pipelines(t) }
func TestPlugin(t *testing.T)             { plugin.Test(t) }
func BenchmarkTinyInProcess(b *testing.B) { plugin.TinyInProcess(b) }

// BenchmarkLoad loads the whole tower and twelve of the 28 layers:
//
//	go test ./plugins/qwen3_vl_2b -run '^$' -bench Load
func BenchmarkLoad(b *testing.B) { plugin.Load(b, []byte(published), 12) }

func sceneOf(t testing.TB, m *Model, dir string, c nntest.Case) *scene {
	t.Helper()
	files := make([]string, len(c.Images))
	for i, name := range c.Images {
		files[i] = filepath.Join(dir, name)
	}
	return newScene(t, m, c.Prompt, files...)
}

// bind gives a config weights.
func bind(t testing.TB, config []byte, layers int, src weights.Source) (*Model, *nn.Bound) {
	t.Helper()
	m, b, err := suite.Bind(config, layers, src)
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Model), b
}

func newRunner(t testing.TB, m *Model, b *nn.Bound, l nntest.Limits) *nntest.Runner {
	t.Helper()
	return suite.Runner(t, m, b, l)
}

func loadTiny(t testing.TB, config string) (*Model, *nntest.Runner) {
	t.Helper()
	m, b := bind(t, read(t, tiny, config), 0, checkpoint(t, tiny))
	if err := m.ReadPreprocessor(read(t, tiny, "preprocessor_config.json")); err != nil {
		t.Fatal(err)
	}
	return m, newRunner(t, m, b, nntest.Limits{Rows: 1024, Sequences: 1, Positions: 1024})
}

// goldenCase is one of golden.json.
type goldenCase struct {
	nntest.Case
	Grid [][3]int `json:"grid_thw"` // patches of each picture
	Full bool     // the case of golden.safetensors
}

func goldenCases(t testing.TB) []goldenCase {
	t.Helper()
	var file struct{ Cases []goldenCase }
	if err := json.Unmarshal(read(t, tiny, "golden.json"), &file); err != nil || len(file.Cases) == 0 {
		t.Fatalf("%d cases, %v", len(file.Cases), err)
	}
	return file.Cases
}

func caseOf(t testing.TB, what string, is func(c goldenCase) bool) goldenCase {
	t.Helper()
	cases := goldenCases(t)
	i := slices.IndexFunc(cases, is)
	if i < 0 {
		t.Fatalf("golden.json has no case %s", what)
	}
	return cases[i]
}

func caseNamed(t testing.TB, name string) goldenCase {
	t.Helper()
	return caseOf(t, name, func(c goldenCase) bool { return c.Name == name })
}

func full(t testing.TB) goldenCase {
	t.Helper()
	return caseOf(t, "that is full", func(c goldenCase) bool { return c.Full })
}

func (c goldenCase) scene(t testing.TB, m *Model) *scene {
	t.Helper()
	return sceneOf(t, m, tiny, c.Case)
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

// A picture of each shape, one that is shrunk, two in a message, one in a later turn.
func TestGridsAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	seen := 0
	for _, c := range goldenCases(t) {
		for i, name := range c.Images {
			g := lookAt(t, m, read(t, tiny, name)).grid
			if want := c.Grid[i]; want != [3]int{1, g.rows, g.columns} {
				t.Errorf("%s: picture %d has %v patches, the reference %v", c.Name, i, g, want)
			}
			seen++
		}
	}
	if seen < 8 {
		t.Errorf("only %d pictures", seen)
	}
}

// The 60 pictures have sizes, places and shades that the model was not trained on; the reference's answers are kept as words.
func TestUnseenPicturesAreDescribedAsTheReferenceDoes(t *testing.T) {
	var unseen struct {
		Pictures []struct{ Image, Answer string }
	}
	if err := json.Unmarshal(read(t, tiny, "unseen.json"), &unseen); err != nil || len(unseen.Pictures) != 60 {
		t.Fatalf("%d pictures, %v", len(unseen.Pictures), err)
	}
	words, err := tokenizer.Load(t.Context(), tiny)
	if err != nil {
		t.Fatal(err)
	}
	m, r := loadTiny(t, "config.json")
	ask, caseEnd := caseNamed(t, "picture0").Prompt, endOfTurn(t)
	first, pad := slices.Index(ask, m.PadToken()), m.PadToken()
	last := len(ask) - 1
	for ask[last] != pad {
		last--
	}
	for _, one := range unseen.Pictures {
		file := filepath.Join(tiny, one.Image)
		pads := slices.Repeat([]int32{pad}, lookAt(t, m, read(t, file)).Tokens())
		sc := newScene(t, m, slices.Concat(ask[:first], pads, ask[last+1:]), file)
		ids := sc.generate(t, r, 64, 16)
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

// A text needs no positions in rows and columns: without them the bits are the same.
func TestTextIsTheSameWithoutAxes(t *testing.T) {
	m, b := bind(t, read(t, tiny, "config.json"), 0, checkpoint(t, tiny))
	seeing := newRunner(t, m, b, nntest.Limits{Rows: 1024, Sequences: 1, Positions: 1024})
	blind, err := nntest.NewRunner(m, b, nntest.NewCPU(t), nntest.Limits{Rows: 1024, Sequences: 1, Positions: 1024})
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
