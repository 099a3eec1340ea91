package nntest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/golden"
)

// agree.go has the tests of a Suite that compare with the reference.

// EveryLayer compares embeddings, each layer, the final hidden state and the logits with the reference's, for each spelling of the
// config that a checkpoint has: config.json and config.v5.json must be one model. The first tensor that differs is named.
func (s Suite) EveryLayer(t *testing.T) { s.each(t, s.everyLayer) }

func (s Suite) everyLayer(t testing.TB, dir string) {
	for _, config := range []string{"config.json", "config.v5.json"} {
		if _, err := os.Stat(filepath.Join(dir, config)); err != nil && config != "config.json" {
			continue
		}
		o := s.open(t, dir, config)
		how, err := o.SeeingLayers(dir, Bound, func(prompt []int32) Chunk {
			c := Chunk{Tokens: prompt}
			if look := o.sight(t, o.caseOf(t, prompt)); look != nil {
				look(&c, 0)
			}
			return c
		})
		if err != nil {
			t.Errorf("%s: %v", config, err)
		}
		t.Logf("%s: %s", config, how)
	}
}

// Greedy generates all cases of golden.json: the tokens must be the reference's.
func (s Suite) Greedy(t *testing.T) { s.each(t, s.greedy) }

func (s Suite) greedy(t testing.TB, dir string) {
	o := s.open(t, dir, "config.json")
	for _, c := range o.cases(t) {
		got, err := o.Continue(0, o.story(t, c), 512, len(c.Greedy))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.Greedy) {
			t.Errorf("%s (thinking %v, smallest margin %v):\n got %v\nwant %v", c.Name, c.Think, c.Margin, got, c.Greedy)
		}
	}
}

// Perplexity compares that of perplexity.json's documents with the reference's, with a cache in f32 and in bf16.
func (s Suite) Perplexity(t *testing.T) { s.each(t, s.perplexity) }

func (s Suite) perplexity(t testing.TB, dir string) {
	want, err := ReadPerplexity(dir)
	if err != nil {
		t.Fatal(err)
	}
	for cache, bound := range map[cuda.DType]float64{cuda.F32: 1e-4, cuda.BF16: fastBound} {
		if s.On != nil && cache == cuda.BF16 {
			alone := s
			alone.On = nil
			s.beside(t, alone, dir, want.tenth(), cache, cache, fastBound)
			continue
		}
		perplexity, reference := s.openWith(t, dir, "config.json", cache).measured(t, want), math.Exp(want.NLL/float64(want.Tokens))
		off := math.Abs(perplexity/reference - 1)
		if !(off <= bound) {
			t.Errorf("a cache in %s: perplexity %v, the reference has %v: %.4f %% apart", cache, perplexity, reference, 100*off)
		}
		t.Logf("a cache in %s: perplexity %.8f, reference %.8f, %.5f %% apart", cache, perplexity, reference, 100*off)
	}
}

// deviceBound is how far the perplexity may be from the CPU's with the same weights and the same cache: sums have another order, by some 1e-6.
const deviceBound = 1e-4

// tenth is each tenth document: a device whose tests are slow goes through these.
func (p Perplexity) tenth() (some [][]int32) {
	for i := 0; i < len(p.Documents); i += 10 {
		some = append(some, p.Documents[i])
	}
	return some
}

// beside compares the perplexity of documents with that of another suite.
func (s Suite) beside(t testing.TB, other Suite, dir string, documents [][]int32, cache, others cuda.DType, bound float64) {
	t.Helper()
	mean := func(s Suite, cache cuda.DType) float64 {
		sum, tokens, err := s.openWith(t, dir, "config.json", cache).NLL(documents)
		if err != nil {
			t.Fatal(err)
		}
		return sum / float64(tokens)
	}
	off := math.Abs(math.Exp(mean(s, cache)-mean(other, others)) - 1)
	if !(off <= bound) {
		t.Errorf("%s, a cache in %v: the perplexity is %.5f %% from the cpu's, more than %.5f %%", s.Numerics, cache, 100*off, 100*bound)
	}
	t.Logf("%s, a cache in %v: the perplexity is %.5f %% from the cpu's", s.Numerics, cache, 100*off)
}

// measured is the perplexity of the reference's documents.
func (o opened) measured(t testing.TB, want Perplexity) float64 {
	t.Helper()
	sum, tokens, err := o.NLL(want.Documents)
	if err != nil {
		t.Fatal(err)
	}
	if tokens != want.Tokens {
		t.Fatalf("%d tokens, the reference counts %d", tokens, want.Tokens)
	}
	return math.Exp(sum / float64(tokens))
}

// fastBound is how far the perplexity may be from the reference's with a cache in bf16, of whose numbers each is within 2^-9.
const fastBound = 1e-3

// UnusualShapes compares every layer of the checkpoints in testdata/shapes with golden.safetensors beside them. A prompt in chunks must be
// the whole prompt there too.
func (s Suite) UnusualShapes(t *testing.T) {
	configs, err := filepath.Glob("testdata/shapes/*/config.json")
	if err != nil || len(configs) != s.Shapes {
		t.Fatalf("%d checkpoints in testdata/shapes, not %d, %v", len(configs), s.Shapes, err)
	}
	for _, config := range configs {
		t.Run(filepath.Base(filepath.Dir(config)), func(t *testing.T) { s.shape(t, filepath.Dir(config)) })
	}
}

func (s Suite) shape(t testing.TB, dir string) {
	r, _ := s.Load(t, Read(t, dir, "config.json"), Checkpoint(t, dir), Limits{Rows: 256, Sequences: 2, Positions: 256})
	how, err := r.Layers(dir, Bound)
	if err != nil {
		t.Error(err)
	}
	t.Log(how)
	prompt := make([]int32, 130)
	for i := range prompt {
		prompt[i] = int32(i * i % 33)
	}
	SameBits(t, "chunked", All(t, r, 1, prompt, 64), All(t, r, 0, prompt, len(prompt)))
}

// SameForms compares what is generated with the same tokens as a prompt: within Forms for a model of two forms, to the bit for others.
// Many generated tokens in a step, as a resumed generation has them, must have the bits they had one by one.
func (s Suite) SameForms(t *testing.T) { s.each(t, s.forms) }

func (s Suite) forms(t testing.TB, dir string) {
	o := s.open(t, dir, "config.json")
	y := o.longest(t)
	whole, most := o.Rows(t, 0, y, len(y.Prompt), 1), 0.0
	for _, at := range []int{0, 1, 63, 64, 65, 128, 200} {
		after := 70
		if at == 0 {
			after = len(y.Prompt)
		}
		rest := y.beginning(at, after)
		got := o.Rows(t, 1, rest, at, 70)
		for _, together := range []int{1, 2, 17} {
			SameBits(t, fmt.Sprintf("after %d positions %d at a time", at, together), o.Rows(t, 1, rest, at, together), got)
		}
		d := golden.Compare(slices.Concat(got...), slices.Concat(whole[:len(got)]...))
		if most = max(most, d.Rel); !(d.Rel <= s.Forms) {
			t.Errorf("after %d positions what is generated is %.1e away from the prompt, at logit %d", at, d.Rel, d.At)
		}
	}
	t.Logf("at most %.1e apart", most)
}

func (o opened) cases(t testing.TB) []Case {
	t.Helper()
	cases, err := Cases(o.dir)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// caseOf is the case with a prompt; one that is in no case has no name and nothing to see.
func (o opened) caseOf(t testing.TB, prompt []int32) Case {
	t.Helper()
	cases := o.cases(t)
	if i := slices.IndexFunc(cases, func(c Case) bool { return slices.Equal(c.Prompt, prompt) }); i >= 0 {
		return cases[i]
	}
	return Case{Prompt: prompt}
}

// named are the stories of the suite's special cases.
func (o opened) named(t testing.TB) (stories []Story) {
	t.Helper()
	cases := o.cases(t)
	for _, name := range o.suite.Cases {
		i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
		if i < 0 {
			t.Fatal(fmt.Errorf("%s: golden.json has no %s", o.dir, name))
		}
		stories = append(stories, o.story(t, cases[i]))
	}
	return stories
}

// longest is the story with the longest prompt.
func (o opened) longest(t testing.TB) Story {
	t.Helper()
	return o.story(t, Longest(o.cases(t)))
}

// Longest is the case with the longest prompt.
func Longest(cases []Case) Case {
	return slices.MaxFunc(cases, func(a, b Case) int { return len(a.Prompt) - len(b.Prompt) })
}

// story is a case with the reference's answer.
func (o opened) story(t testing.TB, c Case) Story {
	t.Helper()
	return Story{c.Prompt, c.Greedy, o.sight(t, c)}
}

func (o opened) sight(t testing.TB, c Case) Sight {
	t.Helper()
	if o.suite.Sight == nil || len(c.Images) == 0 {
		return nil
	}
	return o.suite.Sight(t, o.model, o.dir, c)
}
