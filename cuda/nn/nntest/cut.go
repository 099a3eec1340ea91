package nntest

import (
	"fmt"
	"testing"
)

// cut.go has the tests of a Suite that compare the model with itself: however a sequence is cut, and whoever is computed beside
// it, no bit changes.

// Chunked runs the longest prompt and those of Cases in chunks of several lengths: they must be the whole prompt.
func (s Suite) Chunked(t *testing.T) { s.each(t, s.chunked) }

func (s Suite) chunked(t testing.TB, dir string) {
	o := s.open(t, dir, "config.json")
	sizes := []int{64, 128, 192}
	if s.Cut <= 1 {
		sizes = append(sizes, 100, 7, 1)
	}
	for i, y := range append(o.named(t), o.longest(t)) {
		y.After = nil
		want := o.Rows(t, 0, y, len(y.Prompt), 1)
		for _, size := range sizes {
			SameBits(t, fmt.Sprintf("prompt %d in chunks of %d", i, size), o.Rows(t, 1, y, size, 1), want)
		}
	}
}

// Borders runs prompts that end around the borders of blocks, and three tokens after them: each is what the longer prompt has at
// that place. Of a model of two forms the tokens after them are left out.
func (s Suite) Borders(t *testing.T) { s.each(t, s.borders) }

func (s Suite) borders(t testing.TB, dir string) {
	o, after := s.open(t, dir, "config.json"), 3
	if s.Forms > 0 {
		after = 0
	}
	for _, y := range append(o.named(t), o.longest(t)) {
		whole := y.beginning(min(200, len(y.Prompt)), 0)
		want := o.Rows(t, 0, whole, len(whole.Prompt), 1)
		for _, n := range []int{1, 2, 63, 64, 65, 127, 128, 129, 191, 192, 193} {
			if n+after > len(want) {
				break
			}
			SameBits(t, fmt.Sprintf("a prompt of %d and %d tokens", n, after), o.Rows(t, 1, y.beginning(n, after), n, 1), want[:n+after])
		}
	}
}

// Company runs sequences alone and whole, then side by side: at the same pace, at a ragged one that mixes prompts of all stages and
// generated tokens in a step, and with many generated tokens in a step, as a resumed generation has them.
func (s Suite) Company(t *testing.T) { s.each(t, s.company) }

func (s Suite) company(t testing.TB, dir string) {
	o := s.open(t, dir, "config.json")
	stories := o.neighbours(t)
	alone := make([][][]float32, len(stories))
	for i, y := range stories {
		alone[i] = o.Rows(t, 0, y, len(y.Prompt), 1)
	}
	cut := max(1, s.Cut)
	for name, pace := range map[string]Pace{
		"together": Steady(64, 1),
		"replayed": Steady(128, 100),
		"ragged": func(seq, step int) (int, int) {
			if cut == 1 {
				return (step*5 + seq*17) % 23, (seq + 2*step) % 4
			}
			return (seq + step) % 3 * cut, (seq + 2*step) % 4
		},
	} {
		got, err := o.Tell(stories, pace)
		if err != nil {
			t.Fatal(err)
		}
		for seq, rows := range got {
			SameBits(t, fmt.Sprintf("%s, sequence %d", name, seq), rows, alone[seq])
		}
	}
}

// neighbours are two pieces of the longest prompt, one of them hardly prompted, and two cases or those of the suite.
func (o opened) neighbours(t testing.TB) []Story {
	t.Helper()
	long, cases := o.longest(t), o.cases(t)
	stories := []Story{long.beginning(min(130, len(long.Prompt)), 10), long.beginning(1, 69)}
	if len(o.suite.Cases) > 0 {
		return append(stories, o.named(t)...)
	}
	return append(stories, o.story(t, cases[0]), o.story(t, cases[len(cases)-1]))
}
