package servetest

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// prefixes.go has a plugin compute prompts that begin as others did: what is taken from the prefix cache, from a request beside, or
// from a state that was kept changes no bit of an answer.

// scored is an answer with its logprobs, and how many positions of the prompt were found.
type scored struct {
	tokens []sdk.Token
	cached int
}

// ask runs a request that wants logprobs.
func ask(t testing.TB, c *client.Client, req sdk.GenerateRequest) (a scored, err error) {
	t.Helper()
	req.ID, req.Sampling.Logprobs, req.Sampling.TopLogprobs = t.Name(), true, 5
	err = c.Generate(t.Context(), req, func(e sdk.Event) error {
		if e.Token != nil {
			a.tokens = append(a.tokens, *e.Token)
		}
		if e.Finish != nil {
			a.cached = e.Finish.CachedTokens
		}
		return nil
	})
	return a, err
}

// drawn asks for some tokens behind a prompt.
func drawn(prompt []int32, choice int) sdk.GenerateRequest {
	one, all := 1.0, 0
	return sdk.GenerateRequest{Tokens: prompt, MaxTokens: 70, IgnoreEOS: true, Choice: choice,
		Sampling: sdk.Sampling{Seed: 5, Temperature: &one, TopP: &one, TopK: &all}}
}

// Prefixes asks for the same prompt again, for several answers to it at once, for the next turn of the conversation and for another
// prompt that begins alike, and compares each answer with that of a process that has computed nothing before.
func (p Plugin) Prefixes(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) { p.prefixes(t, dir) })
}

func (p Plugin) prefixes(t *testing.T, dir string) {
	load := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, MaxSequences: 4, StepTokens: 131}}
	first := p.prompt(t, dir, 300)
	one, err := ask(t, p.Loaded(t, load), drawn(first, 0))
	if err != nil {
		t.Fatal(err)
	}
	answer := IDs(one.tokens)
	next := slices.Concat(first, answer, p.prompt(t, dir, 40))
	apart := slices.Concat(first[:200], p.prompt(t, dir, 90))
	beginning := func(n int) int { return n / 64 * 64 }
	story := []struct {
		name   string
		prompt []int32
		choice int
		least  int // positions that must be found; what the family keeps of answers decides on more
	}{
		{"first", first, 0, 0},
		{"again", first, 0, beginning(len(first) - 1)},
		{"another choice", first, 1, beginning(len(first) - 1)},
		{"the next turn", next, 0, beginning(len(first) - 1)},
		{"the next turn again", next, 0, beginning(len(next) - 1)},
		{"another that begins alike", apart, 0, 0},
		{"and the same once more", slices.Concat(first[:200], p.prompt(t, dir, 70)), 0, beginning(200)},
	}
	warm := p.Loaded(t, load)
	for _, s := range story {
		fresh, err := ask(t, p.Loaded(t, load), drawn(s.prompt, s.choice))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ask(t, warm, drawn(s.prompt, s.choice))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.tokens, fresh.tokens) {
			t.Errorf("%s: ids %v, of a fresh process %v, or their logprobs differ", s.name, IDs(got.tokens), IDs(fresh.tokens))
		}
		if fresh.cached != 0 || got.cached < s.least || got.cached >= len(s.prompt) {
			t.Errorf("%s: %d of %d positions were found, at least %d should be; by a fresh process %d", s.name, got.cached, len(s.prompt), s.least, fresh.cached)
		}
	}
	p.together(t, load, first)
}

// together asks for several answers to one prompt at once.
func (p Plugin) together(t *testing.T, load sdk.LoadRequest, prompt []int32) {
	t.Helper()
	c := p.Loaded(t, load)
	answers := make([]scored, 4)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			var err error
			if answers[i], err = ask(t, c, drawn(prompt, i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	computed := 0
	for i, got := range answers {
		fresh, err := ask(t, p.Loaded(t, load), drawn(prompt, i))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.tokens, fresh.tokens) {
			t.Errorf("choice %d of several: ids %v, alone %v, or their logprobs differ", i, IDs(got.tokens), IDs(fresh.tokens))
		}
		computed += len(prompt) - got.cached
	}
	// Whoever comes when the first has been computed already finds its whole blocks alone.
	if most := len(prompt) + len(answers)*64; computed > most {
		t.Errorf("%d answers computed %d positions of a prompt of %d", len(answers), computed, len(prompt))
	}
}

// prompt is that many ids of a checkpoint's own prompts.
func (p Plugin) prompt(t testing.TB, dir string, n int) (ids []int32) {
	t.Helper()
	for _, g := range Cases(t, dir) {
		if len(g.Images) == 0 {
			ids = append(ids, g.IDs...)
		}
	}
	for len(ids) < n {
		ids = append(ids, ids...)
	}
	return ids[:n]
}

// Chunks computes a prompt in pieces of many sizes: where they end changes no bit.
func (p Plugin) Chunks(t *testing.T) {
	p.Each(t, func(t *testing.T, dir string) {
		var want []sdk.Token
		for _, rows := range []int{512, 64, 80, 100, 128, 144} {
			load := sdk.LoadRequest{InspectRequest: sdk.InspectRequest{Path: dir, MaxSequences: 1, StepTokens: rows}}
			got, err := ask(t, p.Loaded(t, load), drawn(p.prompt(t, dir, 300), 0))
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got.tokens
			}
			if !reflect.DeepEqual(got.tokens, want) {
				t.Errorf("in steps of %d rows: ids %v, in one step %v, or their logprobs differ", rows, IDs(got.tokens), IDs(want))
			}
		}
	})
}
