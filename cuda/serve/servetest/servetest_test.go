package servetest

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/serve"
	"github.com/inference-pio/inference-pio/sdk"
)

// A small model whose tokenizer has no tokens, written by the kit, goes through the contract; twins of it forget what they are told.

// toy is an embedding and layers that attend with equal scores.
type toy struct {
	Embed  nn.Embedding `weight:"embed_tokens"`
	Layers []toyLayer   `weight:"layers"`
	Head   nn.Linear    `weight:"lm_head,root"`

	odd     bool // keeps a state of an odd size of each sequence
	forgets bool // computes many generated tokens in a step, as a resumed answer has them, in another way than one
}

type toyLayer struct {
	Norm nn.RMSNorm `weight:"norm"`
	Out  nn.Linear  `weight:"out_proj"`
}

const toyWidth, toyVocab = 8, 50

func (m *toy) Shape() serve.Shape {
	return serve.Shape{Vocab: toyVocab, Context: 512, Layers: len(m.Layers), Hidden: toyWidth}
}

func (m *toy) IgnoreTensor(string) bool { return false }

func (m *toy) Caches() []nn.CacheSpec {
	specs := make([]nn.CacheSpec, len(m.Layers))
	for i := range specs {
		specs[i] = nn.KeysValues(2, toyWidth/2, toyWidth/2)
		if m.odd {
			specs[i].Fixed = []nn.Fixed{{Name: "odd", Shape: []int{3}}}
		}
	}
	return specs
}

func (m *toy) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	x := m.Embed.Forward(s, b.Tokens)
	for i := range m.Layers {
		s.EnterLayer(i)
		y := m.Layers[i].Norm.Forward(s, x).Heads(toyWidth / 2)
		x = s.Add(x, m.Layers[i].Out.Forward(s, nn.Attend(s, y, y, y, b, b.Caches[i], 0.5).Flat()))
		if one := b.Segments[0]; m.forgets && one.Form == nn.Decode && one.To > one.From+1 {
			x = s.Add(x, y.Flat())
		}
	}
	return s.Gather(x, b.Outputs)
}

func (m *toy) Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor { return m.Head.Forward(s, x) }

// toyPlugin has one checkpoint of two layers, whose golden.json is what the right model answers to a prompt of ids.
func toyPlugin(t *testing.T, forgets bool) Plugin {
	t.Helper()
	dir := t.TempDir()
	p := Plugin{Checkpoints: []string{dir}, Family: serve.Family{Name: "toy", Version: "0.1.0", Architectures: []string{"ToyForCausalLM"},
		Open: func(_ []byte, o serve.OpenOptions) (serve.Model, error) {
			m := &toy{Embed: nn.NewEmbedding(toyVocab, toyWidth), Head: nn.NewLinear(toyVocab, toyWidth), forgets: forgets}
			for range cmp.Or(o.Layers, 2) {
				m.Layers = append(m.Layers, toyLayer{nn.NewRMSNorm(toyWidth, 1e-6), nn.NewLinear(toyWidth, toyWidth)})
			}
			return m, nil
		}}}
	if _, err := p.Suite(nntest.Suite{}).Write(dir, []byte(`{"architectures": ["ToyForCausalLM"]}`), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(`{"model":{"type":"BPE","vocab":{},"merges":[]},"pre_tokenizer":{"type":"ByteLevel"},"decoder":{"type":"ByteLevel"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ids := make([]int32, 150)
	for i := range ids {
		ids[i] = int32(i * i % toyVocab)
	}
	text, err := json.Marshal(map[string]any{"cases": []any{map[string]any{"name": "ids", "ids": ids, "prompt": "x"}}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "golden.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAnswersThatForgetWhenResumedAreFound(t *testing.T) {
	for forgets, want := range map[bool]string{false: "", true: "tokens the ids differ at"} {
		p := toyPlugin(t, forgets)
		if said := nntest.Failures(t, func(t testing.TB) { p.resumed(t, p.Checkpoints[0]) }); !strings.Contains(said, want) || want == "" && said != "" {
			t.Errorf("forgets %v: says %q", forgets, said)
		}
	}
}

// What a process forgets that goes on with an answer is found among the lives that are drawn.
func TestLivesThatChangeAnswersAreFound(t *testing.T) {
	for name, value := range map[string]string{"nofailfile": "true", "checks": "10", "shrinktime": "0s"} {
		f := flag.Lookup("rapid." + name)
		was := f.Value.String()
		if err := f.Value.Set(value); err != nil {
			t.Fatal(err)
		}
		defer f.Value.Set(was)
	}
	for forgets, want := range map[bool]string{false: "", true: "and computed otherwise"} {
		p := toyPlugin(t, forgets)
		if said := nntest.Failures(t, func(t testing.TB) { p.metamorphic(t, p.Checkpoints[0], alike) }); !strings.Contains(said, want) || want == "" && said != "" {
			t.Errorf("forgets %v: says %q", forgets, said)
		}
	}
}

func TestAnswersThatDifferAreFound(t *testing.T) {
	p := toyPlugin(t, false)
	c, req := p.With(t, p.Checkpoints[0]), Greedy(5)
	req.Tokens = []int32{1, 2, 3}
	right := Case{IDs: req.Tokens, GreedyIDs: Ask(t, c, req).IDs}
	for what, tt := range map[string]struct {
		change func(g *Case)
		want   string
	}{
		"nothing":                   {func(*Case) {}, ""},
		"a prompt id":               {func(g *Case) { g.IDs = []int32{1, 9, 3} }, "prompt ids differ at 1"},
		"an id":                     {func(g *Case) { g.GreedyIDs = append([]int32{toyVocab}, right.GreedyIDs[1:]...) }, "greedy ids differ at 0"},
		"an id less":                {func(g *Case) { g.GreedyIDs = right.GreedyIDs[:4] }, "greedy ids differ at 4"},
		"a text":                    {func(g *Case) { g.GreedyText = "x" }, `says ""`},
		"reasoning":                 {func(g *Case) { g.GreedyText = "<think>\nx" }, `reasons ""`},
		"reasoning of another":      {func(g *Case) { g.GreedyText = "x</think>" }, `reasons ""`},
		"a call":                    {func(g *Case) { g.GreedyText = "<tool_call>" }, "calls []"},
		"a token that is not shown": {func(g *Case) { g.GreedyText = "<|im_end|>" }, ""},
	} {
		g := right
		tt.change(&g)
		if said := nntest.Failures(t, func(t testing.TB) { p.compare(t, c, g, req) }); !strings.Contains(said, tt.want) || tt.want == "" && said != "" {
			t.Errorf("%s: says %q, not %q", what, said, tt.want)
		}
	}
}

// An answer is cut where a reader of any family cuts it.
func TestThoughtsAreToldFromText(t *testing.T) {
	for written, want := range map[string][2]string{
		"x":                         {"", "x"},
		"<think>\nx\n</think>\n\ny": {"x", "y"},
		"<think>x":                  {"x", ""},
		"x</think>y":                {"x", "y"},
		"</think>y":                 {"", "y"},
		"x <think> y":               {"", "x <think> y"},
	} {
		if reasoning, text := thought(written); reasoning != want[0] || text != want[1] {
			t.Errorf("%q: %q and %q", written, reasoning, text)
		}
	}
}

func TestTablesThatDoNotAddUpAreFound(t *testing.T) {
	p := toyPlugin(t, false)
	const layer, ends = toyWidth + toyWidth*toyWidth, 2 * toyVocab * toyWidth
	want := Table{Dir: p.Checkpoints[0], Parameters: 2*layer + ends, Position: 2 * 2 * toyWidth * 4, Modules: 4}
	for off := range int64(2) {
		want.Parameters += off
		p.Tables = []Table{want}
		said := nntest.Failures(t, func(t testing.TB) { p.LayerTables(t) })
		if found := strings.Contains(said, fmt.Sprintf("Parameters:%d", want.Parameters)); found != (off == 1) {
			t.Errorf("%d off: says %q", off, said)
		}
	}
	p.Tables = []Table{{Dir: p.Checkpoints[0], Position: want.Position, Modules: 4}}
	if said := nntest.Failures(t, func(t testing.TB) { p.LayerTables(t) }); said != "" {
		t.Errorf("as the file has it: says %q", said)
	}
	p.Published, p.Tables = `{"architectures": ["ToyForCausalLM"]}`, []Table{{Parameters: 2*layer + ends, Position: want.Position, Modules: 4}}
	if said := nntest.Failures(t, func(t testing.TB) { p.LayerTables(t) }); !strings.Contains(said, "fits as") {
		t.Errorf("a config that is not the published one: says %q", said)
	}
}

func TestOrdersMoveModules(t *testing.T) {
	p := toyPlugin(t, false)
	c := p.Loaded(t, sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: p.Checkpoints[0], Context: 256},
		Devices: []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: 1 << 20, CopyRate: 20e9, ReadRate: 1e6}}}) // no plan uses it unasked
	o := NewOrders(t, c)
	where := func() (far []string) {
		for _, m := range o.Query().Modules {
			if m.Device == "far" {
				far = append(far, m.ID)
			}
		}
		return far
	}
	if far := where(); far != nil {
		t.Errorf("at first %v are there", far)
	}
	o.Move("layers.1", "far")
	if far := where(); fmt.Sprint(far) != "[layers.1]" {
		t.Errorf("then %v are there", far)
	}
	said := nntest.Failures(t, func(r testing.TB) {
		o.t = r
		o.Move("layers.7", "far")
	})
	if !strings.Contains(said, "moving layers.7 to far: ") {
		t.Errorf("says %q", said)
	}
}
