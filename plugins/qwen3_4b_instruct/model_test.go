package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/nn"
	"github.com/inference-pio/inference-pio/cuda/nn/nntest"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// The same model in bf16, one file, and in FP8 with block scales, six shards; the reference computed both, the second with the
// dequantized weights.
const (
	tiny    = "testdata/tiny"
	tinyFP8 = "testdata/tiny-fp8"
)

var checkpoints = []string{tiny, tinyFP8}

// load binds a config to weights and gives a runner for it.
func load(t testing.TB, config []byte, src weights.Source, l nntest.Limits) (*nntest.Runner, *nn.Bound) {
	t.Helper()
	return loadLayers(t, config, 0, src, l)
}

// loadLayers is load with the first layers only; 0 is all.
func loadLayers(t testing.TB, config []byte, layers int, src weights.Source, l nntest.Limits) (*nntest.Runner, *nn.Bound) {
	t.Helper()
	c, err := ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	m := New(c, layers)
	bound, err := nn.Bind(m, src, nn.BindOptions{Prefix: "model.", Ignore: m.IgnoreTensor, FP8Block: m.FP8Block()})
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

func loadTiny(t testing.TB, dir, config string) *nntest.Runner {
	t.Helper()
	r, _ := load(t, read(t, dir, config), checkpoint(t, dir), nntest.Limits{Rows: 1024, Sequences: 4, Positions: 1024})
	return r
}

// each runs a test with both checkpoints.
func each(t *testing.T, f func(t *testing.T, dir string)) {
	for _, dir := range checkpoints {
		t.Run(filepath.Base(dir), func(t *testing.T) { f(t, dir) })
	}
}

func goldenCases(t *testing.T, dir string) []nntest.Case {
	t.Helper()
	cases, err := nntest.Cases(dir)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// Both computations are in f32 on the same weights, so they differ by the order of sums alone: some 1e-6 of the largest value.
// 1e-4 is far above that and far below any mistake.
const bound = 1e-4

func TestEveryLayerIsTheReferences(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		for _, config := range []string{"config.json", "config.v5.json"} { // both spellings must be one model
			how, err := loadTiny(t, dir, config).Layers(dir, bound)
			if err != nil {
				t.Errorf("%s: %v", config, err)
			}
			t.Logf("%s: %s", config, how)
		}
	})
}

func TestGreedyTokensAreTheReferences(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		r := loadTiny(t, dir, "config.json")
		for _, c := range goldenCases(t, dir) {
			got, err := r.Generate(0, c.Prompt, 512, len(c.Greedy))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.Greedy) {
				t.Errorf("%s (smallest margin %v):\n got %v\nwant %v", c.Name, c.Margin, got, c.Greedy)
			}
		}
	})
}

func TestPerplexityIsTheReferences(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		want, err := nntest.ReadPerplexity(dir)
		if err != nil {
			t.Fatal(err)
		}
		sum, tokens, err := loadTiny(t, dir, "config.json").NLL(want.Documents)
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
	})
}

// longest is the golden case with the longest prompt.
func longest(t *testing.T) []int32 {
	t.Helper()
	return slices.MaxFunc(goldenCases(t, tiny), func(a, b nntest.Case) int { return len(a.Prompt) - len(b.Prompt) }).Prompt
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
	each(t, func(t *testing.T, dir string) {
		r, prompt := loadTiny(t, dir, "config.json"), longest(t)
		want := all(t, r, 0, prompt, len(prompt))
		for _, chunk := range []int{64, 128, 192, 7} { // off the borders as well: this model's forms are one
			sameBits(t, "chunked", all(t, r, 1, prompt, chunk), want)
		}
	})
}

// Prompts of every length about the size of a block are beginnings of one another, and what is decoded after them is what the
// longer prompt has at that place.
func TestPromptsAroundTheBorders(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		r, prompt := loadTiny(t, dir, "config.json"), longest(t)[:140]
		want := all(t, r, 0, prompt, len(prompt))
		for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 129} {
			got := all(t, r, 1, prompt[:n], n)
			for _, next := range prompt[n : n+3] {
				logits, err := r.Run(nntest.Chunk{Seq: 1, Tokens: []int32{next}, Form: nn.Decode})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, slices.Clone(logits[0]))
			}
			sameBits(t, fmt.Sprintf("a prompt of %d and three tokens", n), got, want[:n+3])
		}
	})
}

func TestSequencesDoNotFeelEachOther(t *testing.T) {
	each(t, func(t *testing.T, dir string) {
		cases, r := goldenCases(t, dir), loadTiny(t, dir, "config.json")
		prompts := [][]int32{cases[0].Prompt, cases[3].Prompt, longest(t)[:100], {7}}
		alone := make([][][]float32, len(prompts))
		for i, p := range prompts {
			alone[i] = all(t, r, 0, p, 64)
		}
		together := inCompany(t, r, prompts)
		for seq := range prompts {
			sameBits(t, "in company", together[seq], alone[seq])
		}
	})
}

// inCompany runs prompts in ragged chunks, so that steps mix prompts at all stages.
func inCompany(t *testing.T, r *nntest.Runner, prompts [][]int32) [][][]float32 {
	t.Helper()
	for seq := range prompts {
		r.Reset(seq)
	}
	together, at := make([][][]float32, len(prompts)), make([]int, len(prompts))
	for step := 0; ; step++ {
		var chunks []nntest.Chunk
		var whose []int
		for seq, p := range prompts {
			n := min(len(p)-at[seq], 1+(step*5+seq*17)%23)
			if n > 0 {
				chunks = append(chunks, nntest.Chunk{Seq: seq, Tokens: p[at[seq] : at[seq]+n], All: true})
				whose, at[seq] = append(whose, slices.Repeat([]int{seq}, n)...), at[seq]+n
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
