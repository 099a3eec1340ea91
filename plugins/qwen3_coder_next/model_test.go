package main

import (
	"fmt"
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

const tiny = "testdata/tiny"

// load binds a config to weights and gives a runner for it. layers > 0 keeps the first ones.
func load(t testing.TB, config []byte, layers int, src weights.Source, l nntest.Limits) (*nntest.Runner, *nn.Bound) {
	t.Helper()
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return drive(t, New(c, layers, spelling(c, has(src))), src, l)
}

// drive binds a model to weights.
func drive(t testing.TB, m *Model, src weights.Source, l nntest.Limits) (*nntest.Runner, *nn.Bound) {
	t.Helper()
	bound, err := nn.Bind(m, m.Respell(src), nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor, FP8Block: m.FP8Block()})
	if err != nil {
		t.Fatal(err)
	}
	cpu := cuda.NewCPU(0)
	t.Cleanup(func() { cpu.Close() })
	r, err := nntest.NewRunner(m, bound, cpu, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, bound
}

// has answers whether a source has a tensor, as the server does.
func has(src weights.Source) func(string) bool {
	names := src.Names()
	return func(name string) bool { return slices.Contains(names, name) }
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

func loadTiny(t testing.TB, config string) *nntest.Runner {
	t.Helper()
	r, _ := load(t, read(t, tiny, config), 0, checkpoint(t, tiny), nntest.Limits{Rows: 1024, Sequences: 4, Positions: 1024})
	return r
}

// Both computations are in f32 on the same bf16 weights, so they differ by the order of sums alone: some 1e-6 of the largest
// value. 1e-4 is far above that and far below any mistake.
const bound = 1e-4

func TestEveryLayerIsTheReferences(t *testing.T) {
	for _, config := range []string{"config.json", "config.v5.json"} { // both spellings must be one model
		how, err := loadTiny(t, config).Layers(tiny, bound)
		if err != nil {
			t.Errorf("%s: %v", config, err)
		}
		t.Logf("%s: %s", config, how)
	}
}

func TestGreedyTokensAreTheReferences(t *testing.T) {
	cases, err := nntest.Cases(tiny)
	if err != nil {
		t.Fatal(err)
	}
	r := loadTiny(t, "config.json")
	for _, c := range cases {
		got, err := r.Generate(0, c.Prompt, 512, len(c.Greedy))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.Greedy) {
			t.Errorf("%s (thinking %v, smallest margin %v):\n got %v\nwant %v", c.Name, c.Think, c.Margin, got, c.Greedy)
		}
	}
}

func TestPerplexityIsTheReferences(t *testing.T) {
	want, err := nntest.ReadPerplexity(tiny)
	if err != nil {
		t.Fatal(err)
	}
	sum, tokens, err := loadTiny(t, "config.json").NLL(want.Documents)
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

// longest is the golden case with the longest prompt.
func longest(t *testing.T) []int32 {
	t.Helper()
	cases, err := nntest.Cases(tiny)
	if err != nil {
		t.Fatal(err)
	}
	return slices.MaxFunc(cases, func(a, b nntest.Case) int { return len(a.Prompt) - len(b.Prompt) }).Prompt
}

// sameBits compares rows of logits bit for bit.
func sameBits(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, not %d", what, len(got), len(want))
	}
	for i := range want {
		for j := range want[i] {
			if math.Float32bits(got[i][j]) != math.Float32bits(want[i][j]) {
				t.Fatalf("%s: row %d logit %d is %v, not %v", what, i, j, got[i][j], want[i][j])
			}
		}
	}
}

// all runs a prompt in chunks and returns the logits of every row.
func all(t *testing.T, r *nntest.Runner, seq int, prompt []int32, chunk int) [][]float32 {
	t.Helper()
	r.Reset(seq)
	var rows [][]float32
	for part := range slices.Chunk(prompt, chunk) {
		logits, err := r.Run(nntest.Chunk{Seq: seq, Tokens: part, All: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range logits {
			rows = append(rows, slices.Clone(row))
		}
	}
	return rows
}

func TestChunkedPromptIsTheWholePrompt(t *testing.T) {
	r, prompt := loadTiny(t, "config.json"), longest(t)
	want := all(t, r, 0, prompt, len(prompt))
	for _, chunk := range []int{64, 128, 192} {
		sameBits(t, "chunked", all(t, r, 1, prompt, chunk), want)
	}
}

// Prompts that end around the borders of the chunks: each token's logits are those of the longest of them, and what comes
// after is computed from the same states.
func TestPromptsEndAnywhere(t *testing.T) {
	r, prompt := loadTiny(t, "config.json"), longest(t)
	want := all(t, r, 0, prompt[:130], 130)
	for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 129} {
		sameBits(t, fmt.Sprintf("a prompt of %d", n), all(t, r, 1, prompt[:n], n), want[:n])
	}
}

// story is a sequence: a prompt, and tokens after it that are given instead of chosen.
type story struct{ prompt, after []int32 }

// next is the part of the story from position at on that a step may take: up to chunks of the prompt, or some tokens after it.
func (y story) next(seq, at, chunks, decodes int) nntest.Chunk {
	if n := len(y.prompt); at < n {
		return nntest.Chunk{Seq: seq, Tokens: y.prompt[at:min(at+64*chunks, n)], All: true}
	}
	at -= len(y.prompt)
	return nntest.Chunk{Seq: seq, Tokens: y.after[at:min(at+decodes, len(y.after))], All: true, Form: nn.Decode}
}

func (y story) len() int { return len(y.prompt) + len(y.after) }

// tell runs stories side by side, each step with what chunks and decodes say for a sequence at that step; 0 sits a step out.
func tell(t *testing.T, r *nntest.Runner, stories []story, chunks, decodes func(seq, step int) int) [][][]float32 {
	t.Helper()
	rows, at := make([][][]float32, len(stories)), make([]int, len(stories))
	for seq := range stories {
		r.Reset(seq)
	}
	for step := 0; ; step++ {
		var batch []nntest.Chunk
		left := false
		for seq, y := range stories {
			left = left || at[seq] < y.len()
			if c := y.next(seq, at[seq], chunks(seq, step), decodes(seq, step)); len(c.Tokens) > 0 {
				batch, at[seq] = append(batch, c), at[seq]+len(c.Tokens)
			}
		}
		if !left {
			return rows
		}
		if len(batch) == 0 {
			continue
		}
		logits, err := r.Run(batch...)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range batch {
			for _, row := range logits[:len(c.Tokens)] {
				rows[c.Seq] = append(rows[c.Seq], slices.Clone(row))
			}
			logits = logits[len(c.Tokens):]
		}
	}
}

func always(n int) func(int, int) int { return func(int, int) int { return n } }

// Alone and whole, or in company at other stages, in chunks, and after the prompt one token at a step or several, as a resumed
// generation has them: not a bit changes.
func TestCompanyAndCutsChangeNothing(t *testing.T) {
	long := longest(t)
	stories := []story{{long[:130], long[130:140]}, {long[:1], long[1:70]}, {long[200:264], long[64:70]}, {long[300:363], long[:1]}}
	r := loadTiny(t, "config.json")
	var alone [][][]float32
	for _, y := range stories {
		alone = append(alone, tell(t, r, []story{y}, always(100), always(1))[0])
	}
	for name, cut := range map[string]struct{ chunks, decodes func(seq, step int) int }{
		"together": {always(1), always(1)},
		"ragged":   {func(seq, step int) int { return (seq + step) % 3 }, func(seq, step int) int { return (seq + 2*step) % 4 }},
		"replayed": {always(2), always(100)},
	} {
		for seq, rows := range tell(t, r, stories, cut.chunks, cut.decodes) {
			sameBits(t, fmt.Sprintf("%s, sequence %d", name, seq), rows, alone[seq])
		}
	}
}

// The two forms of the delta rule are one formula: a prompt computed token by token in the recurrent form gives the logits of the
// chunked form but for rounding.
func TestChunkedFormIsTheRecurrentForm(t *testing.T) {
	r, prompt := loadTiny(t, "config.json"), longest(t)
	chunked := all(t, r, 0, prompt, len(prompt))
	recurrent := tell(t, r, []story{{nil, prompt}}, always(0), always(50))[0]
	d := golden.Compare(slices.Concat(recurrent...), slices.Concat(chunked...))
	if d.Rel > 2e-5 {
		t.Errorf("logits are %.1e apart at %d", d.Rel, d.At)
	}
	t.Logf("%.1e apart over %d positions", d.Rel, len(prompt))
}
