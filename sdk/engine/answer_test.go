package engine

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

var roomy = Config{Blocks: 64, MaxSequences: 8, StepTokens: 256, Context: 1024, Vocab: fakeVocab}

func TestAnswerIsTheModels(t *testing.T) {
	e, _ := start(t, roomy)
	for _, n := range []int{1, 63, 64, 65, 128, 500} {
		r := Request{Prompt: ids(n, 1), Sampling: Params{Temperature: 1, Seed: uint64(n)}, MaxTokens: 150, EOS: []int32{0}}
		answer, result, err := collect(e, r)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, r, roomy.Context, answer, result)
	}
	wantIdle(t, e)
}

func TestAnswerFillsTheContextAndNoMore(t *testing.T) {
	e, _ := start(t, Config{Blocks: 4, MaxSequences: 1, StepTokens: 64, Context: 130})
	r := Request{Prompt: ids(100, 1), IgnoreEOS: true, EOS: []int32{0}}
	answer, result, err := collect(e, r)
	if err != nil || len(answer) != 30 || result.Reason != sdk.FinishLength {
		t.Errorf("%d ids, %+v, %v; the context has room for 30", len(answer), result, err)
	}
	r.MaxTokens = 1000
	if answer, result, err = collect(e, r); err != nil || len(answer) != 30 || result.Reason != sdk.FinishLength {
		t.Errorf("with a larger max_tokens: %d ids, %+v, %v", len(answer), result, err)
	}
}

func TestAnswerFillsTheCacheExactly(t *testing.T) {
	e, _ := start(t, Config{Blocks: 2, MaxSequences: 2, StepTokens: 128, Context: 1000})
	answer, result, err := collect(e, Request{Prompt: ids(100, 1)})
	if err != nil || len(answer) != 29 || result.Reason != sdk.FinishLength { // 128 positions, and an id that needs none
		t.Errorf("%d ids, %+v, %v; the cache has room for 29", len(answer), result, err)
	}
	for _, most := range []int{30, 64_000, math.MaxInt} { // a max_tokens is no more than a bound
		if more, result, err := collect(e, Request{Prompt: ids(100, 1), MaxTokens: most}); err != nil || !slices.Equal(more, answer) || result.Reason != sdk.FinishLength {
			t.Errorf("max_tokens %d: %d ids, %+v, %v", most, len(more), result, err)
		}
	}
	if _, _, err = collect(e, Request{Prompt: ids(129, 1)}); sdk.ReasonOf(err) != sdk.ReasonMemory {
		t.Errorf("a prompt larger than the cache: %v", err)
	}
}

func TestBadRequestsAreRefusedWithTheNumbers(t *testing.T) {
	e, _ := start(t, roomy)
	for _, c := range []struct {
		r      Request
		reason sdk.Reason
		words  string
	}{
		{Request{}, sdk.ReasonInvalid, "empty"},
		{Request{Prompt: []int32{1, fakeVocab}}, sdk.ReasonInvalid, "token 1 is 40"},
		{Request{Prompt: []int32{-1}}, sdk.ReasonInvalid, "token 0 is -1"},
		{Request{Prompt: []int32{1}, Forced: []int32{fakeVocab}}, sdk.ReasonInvalid, "token 1 is 40"},
		{Request{Prompt: []int32{1}, MaxTokens: -1}, sdk.ReasonInvalid, "max_tokens"},
		{Request{Prompt: []int32{1}, MinTokens: -1}, sdk.ReasonInvalid, "min_tokens"},
		{Request{Prompt: []int32{1}, MaxTokens: 3, MinTokens: 4}, sdk.ReasonInvalid, "min_tokens"},
		{Request{Prompt: []int32{1}, Sampling: Params{TopP: 2}}, sdk.ReasonInvalid, "top_p"},
		{Request{Prompt: ids(1024, 1)}, sdk.ReasonContext, "1024 tokens; the context holds 1024"},
	} {
		_, _, err := collect(e, c.r)
		if sdk.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.words) {
			t.Errorf("got %v; want %s with %q", err, c.reason, c.words)
		}
	}
	for _, c := range []Config{{}, {Blocks: 1, MaxSequences: 1, StepTokens: 63, Context: 9, Vocab: 9},
		{Blocks: 1, MaxSequences: 9, StepTokens: 71, Context: 9, Vocab: 9}, {Blocks: 1, MaxSequences: 1, StepTokens: 64, Context: 1, Vocab: 9}} {
		if _, err := New(newFakeModel(c), c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// Ends are not drawn before there are so many ids, and are from then on; how likely an id is does not change with that.
func TestNoEndBeforeMinTokens(t *testing.T) {
	e, _ := start(t, roomy)
	r := Request{Prompt: ids(10, 1), MaxTokens: 60, Sampling: Params{Logprobs: true}}
	free, _, err := collect(e, r)
	if err != nil {
		t.Fatal(err)
	}
	r.EOS = []int32{free[3], -1, fakeVocab, 1 << 30} // what a checkpoint may say
	for _, least := range []int{0, 3, 4, 20, 60} {
		r.MinTokens = least
		var answer []int32
		result, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) {
			if answer = append(answer, s.ID); s.Logprob.Logprob > 0 || s.Index == 3 && least == 4 && s.Logprob.Logprob >= -0.01 {
				t.Errorf("at least %d: id %d has the logprob %v", least, s.Index, s.Logprob.Logprob)
			}
			return false, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Index(answer, free[3])
		switch {
		case least <= 3 && !slices.Equal(answer, free[:4]):
			t.Errorf("at least %d: %v; want %v", least, answer, free[:4])
		case len(answer) < least, at >= 0 && at < least, at >= 0 && at != len(answer)-1, (at < 0) != (result.Reason == sdk.FinishLength):
			t.Errorf("at least %d: %v, %+v; %d is an end", least, answer, result, free[3])
		}
	}
}

// A request that finds every place taken tells how long it waited for one.
func TestTheWaitForAPlaceIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := roomy
		c.MaxSequences = 1
		m := newFakeModel(c)
		m.before = func(*Batch) error { time.Sleep(time.Second); return nil }
		e, err := New(m, c)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		r := Request{Prompt: ids(10, 1), MaxTokens: 5, IgnoreEOS: true}
		var first, second Result
		var work sync.WaitGroup
		work.Go(func() { _, first, _ = collect(e, r) })
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		work.Go(func() { _, second, _ = collect(e, r) })
		work.Wait()
		if first.Queued != 0 || second.Queued != 3500*time.Millisecond {
			t.Errorf("the first waited %s, the second %s", first.Queued, second.Queued)
		}
	})
}

func TestAnswersOfOneRequestDifferByChoice(t *testing.T) {
	e, _ := start(t, roomy)
	r := Request{Prompt: ids(10, 1), Sampling: Params{Temperature: 1}, MaxTokens: 20, IgnoreEOS: true}
	first, _, _ := collect(e, r)
	r.Choice = 1
	second, _, _ := collect(e, r)
	if len(first) != 20 || slices.Equal(first, second) {
		t.Errorf("choices 0 and 1: %v and %v", first, second)
	}
}

// Forced ids come whatever the model says, and are described by what it does say.
func TestForcedIDsBeginTheAnswer(t *testing.T) {
	e, _ := start(t, roomy)
	free := Request{Prompt: ids(10, 1), MaxTokens: 6, IgnoreEOS: true, Sampling: Params{Logprobs: true, TopLogprobs: fakeVocab / 2}}
	chosen, _, err := collect(e, free)
	if err != nil {
		t.Fatal(err)
	}
	forced := free
	forced.Forced = []int32{(chosen[0] + 1) % fakeVocab, 0, 5}
	var first *sdk.TokenLogprob
	var answer []int32
	result, err := e.Generate(t.Context(), forced, func(s Sampled) (bool, error) {
		if answer = append(answer, s.ID); s.Index == 0 {
			first = s.Logprob
		}
		return false, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, forced, roomy.Context, answer, result)
	if !slices.Equal(answer[:3], forced.Forced) || first.Top[0].ID != chosen[0] || first.Logprob >= first.Top[0].Logprob {
		t.Errorf("answer %v, the first is %+v; unforced it is %v", answer, first, chosen)
	}
	forced.MaxTokens = 2
	if answer, result, err = collect(e, forced); err != nil || !slices.Equal(answer, forced.Forced[:2]) || result.Reason != sdk.FinishLength {
		t.Errorf("with room for two: %v, %+v, %v", answer, result, err)
	}
}

func TestPromptsAreScored(t *testing.T) {
	c := roomy
	c.PromptLogprobs, c.PrefixCache, c.Keep = true, true, c.Blocks
	e, m := start(t, c)
	for _, n := range []int{1, 2, 64, 65, 300, 300} { // the last could be found in the prefix cache
		r := Request{Prompt: ids(n, 1), MaxTokens: 4, IgnoreEOS: true, ScorePrompt: true, Sampling: Params{TopLogprobs: 3}}
		m.steps = nil
		answer, result, err := collect(e, r) // which compares the scores
		if err != nil {
			t.Fatalf("a prompt of %d: %v", n, err)
		}
		wantSame(t, r, c.Context, answer, result)
		if len(m.steps) < blocksFor(n) {
			t.Errorf("a prompt of %d took %d steps; one block may go into each", n, len(m.steps))
		}
	}
	wantIdle(t, e)
}

func TestScoresThatCannotBeAreRefused(t *testing.T) {
	r := Request{Prompt: ids(10, 1), ScorePrompt: true}
	e, _ := start(t, roomy)
	_, _, err := collect(e, r)
	wantField(t, err, "prompt_logprobs")
	c := Config{Blocks: 2000, MaxSequences: 1, StepTokens: 64, Context: 1 << 17, PromptLogprobs: true}
	e, _ = start(t, c)
	r = Request{Prompt: ids(1<<16, 1), ScorePrompt: true, Sampling: Params{TopLogprobs: maxTopLogprobs}}
	_, _, err = collect(e, r)
	wantField(t, err, "prompt_logprobs")
}

func TestEqualPromptsShareBlocks(t *testing.T) {
	c := roomy
	c.PrefixCache, c.Keep = true, c.Blocks
	e, m := start(t, c)
	r := Request{Prompt: ids(300, 1), MaxTokens: 5, IgnoreEOS: true}
	if _, result, err := collect(e, r); err != nil || result.Cached != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	m.steps = nil
	answer, result, err := collect(e, r)
	if err != nil || result.Cached != 256 {
		t.Fatalf("%+v, %v; four whole blocks were in the cache", result, err)
	}
	wantSame(t, r, c.Context, answer, result)
	if rows := m.steps[0]; len(rows) != 300-256 {
		t.Errorf("the second prompt took %d rows", len(rows))
	}
	r.Prompt = r.Prompt[:256] // all of it is known, yet its last row must be computed
	if answer, result, err = collect(e, r); err != nil || result.Cached != 192 {
		t.Errorf("%+v, %v", result, err)
	}
	wantSame(t, r, c.Context, answer, result)
	wantIdle(t, e)
}

func TestStopAndErrorOfEmitEndTheAnswer(t *testing.T) {
	e, _ := start(t, roomy)
	r := Request{Prompt: ids(3, 1), MaxTokens: 9, IgnoreEOS: true}
	result, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) { return s.Index == 3, nil })
	if err != nil || result.Reason != sdk.FinishStop || result.Completion != 4 {
		t.Errorf("stopped at index 3: %+v, %v", result, err)
	}
	result, err = e.Generate(t.Context(), r, func(s Sampled) (bool, error) { return s.Index == 8, nil })
	if err != nil || result.Reason != sdk.FinishStop {
		t.Errorf("stopped with the last token: %+v, %v", result, err)
	}
	broken := errors.New("the client left")
	if _, err = e.Generate(t.Context(), r, func(s Sampled) (bool, error) { return false, broken }); err != broken {
		t.Errorf("got %v", err)
	}
	wantIdle(t, e)
}
