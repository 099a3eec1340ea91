package nntest

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// suite_test.go keeps the kit honest: each twin of a right model has one flaw, which the tests that are meant for it find, and no
// others.

// toy is a model of three layers that attend with equal scores, each with a flaw if flawed says so.
type toy struct {
	Embed  nn.Embedding `weight:"embed_tokens"`
	Layers []toyLayer   `weight:"layers"`
	Head   nn.Linear    `weight:"lm_head,root"` // Embed once more unless a test unties it
	flawed func(b *nn.Batch, layer int) bool
}

type toyLayer struct {
	Norm nn.RMSNorm `weight:"norm"`
	Out  nn.Linear  `weight:"out_proj"`
}

const toyWidth = 8

func (m *toy) Caches() []nn.CacheSpec {
	return slices.Repeat([]nn.CacheSpec{nn.KeysValues(2, toyWidth/2, toyWidth/2)}, len(m.Layers))
}

func (m *toy) Forward(s *cuda.Step, b *nn.Batch) cuda.Tensor {
	x := m.Embed.Forward(s, b.Tokens)
	s.Observe("embeddings", 0, x)
	for i := range m.Layers {
		s.EnterLayer(i)
		y := m.Layers[i].Norm.Forward(s, x).Heads(toyWidth / 2)
		x = s.Add(x, m.Layers[i].Out.Forward(s, nn.Attend(s, y, y, y, b, b.Caches[i], 0.5).Flat()))
		if m.flawed != nil && m.flawed(b, i) {
			x = s.Add(x, x)
		}
		s.Observe("layer", i, x)
	}
	x = s.Gather(x, b.Outputs)
	s.Observe("final", 0, x)
	return x
}

func (m *toy) Unembed(s *cuda.Step, x cuda.Tensor) cuda.Tensor { return m.Head.Forward(s, x) }

func (*toy) IgnoreTensor(name string) bool { return name == "lm_head.weight" }

func toySuite(flawed func(b *nn.Batch, layer int) bool, dirs ...string) Suite {
	return Suite{Checkpoints: dirs, Open: func(config []byte, layers int, _ func(string) bool) (Model, error) {
		var c struct {
			Vocab int `json:"vocab_size"`
		}
		if err := json.Unmarshal(config, &c); err != nil {
			return nil, err
		}
		m := &toy{Embed: nn.NewEmbedding(c.Vocab, toyWidth), flawed: flawed}
		m.Head = nn.Linear{W: m.Embed.W}
		for range cmp.Or(layers, 3) {
			m.Layers = append(m.Layers, toyLayer{nn.NewRMSNorm(toyWidth, 1e-6), nn.NewLinear(toyWidth, toyWidth)})
		}
		return m, nil
	}}
}

// toyCheckpoint is a folder with a checkpoint and what the right model computes of it.
func toyCheckpoint(t *testing.T) string {
	t.Helper()
	dir, s := t.TempDir(), toySuite(nil)
	if n, err := s.Write(dir, []byte(`{"vocab_size": 40}`), 0); err != nil || n != 2*(40*toyWidth+3*(toyWidth+toyWidth*toyWidth)) {
		t.Fatal(n, err)
	}
	o := s.open(t, dir, "config.json")
	prompt := make([]int32, 260)
	for i := range prompt {
		prompt[i] = int32(i * i % 37)
	}
	tensors := map[string][]float32{}
	o.Step.SetObserver(func(name string, i int, x cuda.Tensor) {
		if name == "layer" {
			name = fmt.Sprintf("layer.%d", i)
		}
		tensors[name] = slices.Clone(x.F32())
	})
	whole := All(t, o.Runner, 0, prompt[:130], 130)
	o.Step.SetObserver(nil)
	tensors["logits"] = slices.Concat(whole...)
	writeGolden(t, filepath.Join(dir, "golden.safetensors"), tensors, prompt[:130])

	var cases []map[string]any
	for name, n := range map[string]int{"long": 260, "short": 20} {
		greedy, err := o.Generate(0, prompt[:n], 64, 6)
		if err != nil {
			t.Fatal(err)
		}
		cases = append(cases, map[string]any{"name": name, "ids": prompt[:n], "greedy_ids": greedy})
	}
	writeJSON(t, filepath.Join(dir, "golden.json"), map[string]any{"cases": cases})
	nll, tokens, err := o.NLL([][]int32{prompt})
	if err != nil {
		t.Fatal(err)
	}
	writeJSON(t, filepath.Join(dir, "perplexity.json"), map[string]any{"nll": nll, "tokens": tokens, "documents": [][]int32{prompt}})
	return dir
}

func writeGolden(t *testing.T, path string, tensors map[string][]float32, ids []int32) {
	t.Helper()
	var entries []weights.Entry
	data, at := map[string][]byte{}, int64(0)
	put := func(name, format string, n int, raw []byte) {
		entries = append(entries, weights.Entry{Name: name, Format: format, Shape: []int{n}, From: at, To: at + int64(len(raw))})
		data[name], at = raw, at+int64(len(raw))
	}
	for name, x := range tensors {
		var raw []byte
		for _, v := range x {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		put(name, "F32", len(x), raw)
	}
	var raw []byte
	for _, id := range ids {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(id))
	}
	put("input_ids", "I64", len(ids), raw)
	if err := WriteTensors(path, entries, func(e weights.Entry) []byte { return data[e.Name] }); err != nil {
		t.Fatal(err)
	}
}

func writeJSON(t *testing.T, path string, x any) {
	t.Helper()
	text, err := json.Marshal(x)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tests are those of a suite on one checkpoint.
func tests(s Suite) map[string]func(t testing.TB, dir string) {
	return map[string]func(t testing.TB, dir string){
		"EveryLayer": s.everyLayer, "Greedy": s.greedy, "Perplexity": s.perplexity, "Shapes": s.shape,
		"Chunked": s.chunked, "Borders": s.borders, "Company": s.company, "Forms": s.forms,
	}
}

func TestFlawsAreFoundByTheTestsForThem(t *testing.T) {
	dir := toyCheckpoint(t)
	for what, tt := range map[string]struct {
		flawed func(b *nn.Batch, layer int) bool
		found  string // tests that fail
		says   string // what the first of them says
	}{
		"none":            {nil, "", ""},
		"a wrong layer":   {func(_ *nn.Batch, layer int) bool { return layer == 1 }, "EveryLayer Greedy Perplexity Shapes", "layer.1 is the first that differs"},
		"feels company":   {func(b *nn.Batch, _ int) bool { return len(b.Segments) > 1 }, "Company", "element"},
		"feels its chunk": {func(b *nn.Batch, _ int) bool { return b.Tokens.Len() == 100 }, "Chunked", "in chunks of 100: row 0"},
		"feels where a chunk begins": {func(b *nn.Batch, layer int) bool {
			return layer == 2 && b.Segments[0].Start%64 != 0 && b.Segments[0].Form == nn.Prefill
		},
			"Chunked Company", "in chunks of 100: row 100"},
		"generates otherwise": {func(b *nn.Batch, _ int) bool { return b.Segments[0].Form == nn.Decode }, "Borders Company Forms", "a prompt of 1 and 3 tokens: row 1"},
		"generates otherwise at a border": {func(b *nn.Batch, _ int) bool { return b.Segments[0].Form == nn.Decode && b.Segments[0].Start == 128 },
			"Borders Forms", "a prompt of 127 and 3 tokens: row 128"},
	} {
		t.Run(what, func(t *testing.T) {
			for name, test := range tests(toySuite(tt.flawed, dir)) {
				said := Failures(t, func(t testing.TB) { test(t, dir) })
				if want := slices.Contains(strings.Fields(tt.found), name); want != (said != "") {
					t.Errorf("%s says %q", name, said)
				}
				if first, _, _ := strings.Cut(tt.found, " "); name == first && !strings.Contains(said, tt.says) {
					t.Errorf("%s says %q, not %q", name, said, tt.says)
				}
			}
		})
	}
}

func TestKernelsThatDifferAreNamed(t *testing.T) {
	random := func(flawed func(b *nn.Batch, layer int) bool) Suite {
		s := toySuite(flawed)
		s.Random = func(_ *rand.Rand, x *Invention) { x.Source = weights.Dummy(1, cuda.F32) }
		return s
	}
	right, n := random(nil).randomLogits(t), 0
	if said := Failures(t, func(t testing.TB) { sameKernels(t, "a", "b", random(nil).randomLogits(t), right) }); said != "" {
		t.Error(said)
	}
	last := random(func(b *nn.Batch, layer int) bool { // in the last model's last step
		n++
		return n > 3*5*(randomModels-1)+4*3
	})
	said := Failures(t, func(t testing.TB) { sameKernels(t, "a", "b", last.randomLogits(t), right) })
	if !strings.Contains(said, "a and b are ") || !strings.Contains(said, fmt.Sprintf("of model %d", randomModels-1)) {
		t.Errorf("says %q", said)
	}
}
