package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func TestResumedEqualsUninterruptedAtEveryToken(t *testing.T) {
	e, _ := start(t, roomy)
	for _, p := range []Params{{}, {Temperature: 1, Seed: 5}, {Temperature: 1, Seed: 5, FrequencyPenalty: 1, RepetitionPenalty: 1.3}} {
		for _, forced := range [][]int32{nil, {7, 7, 8, 9, 30}} {
			for _, least := range []int{0, 40} {
				r := Request{Prompt: ids(70, 3), Sampling: p, MaxTokens: 80, MinTokens: least, EOS: []int32{0, 1, 2, 3}, Forced: forced}
				want, reason := alone(r, roomy.Context)
				for cut := range len(want) + 1 {
					r.Generated = want[:cut]
					answer, result, err := collect(e, r)
					if err != nil || !slices.Equal(answer, want) || result.Reason != reason || result.Completion != len(want) {
						t.Fatalf("cut at %d: %v, %+v, %v; want %v", cut, answer, result, err, want)
					}
				}
			}
		}
	}
	wantIdle(t, e)
}

// Any mix of requests, limits, cancellations and preemptions: each answer is what the request alone gets.
func TestRandomLoadChangesNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Vocab: fakeVocab, MaxSequences: rapid.IntRange(1, 5).Draw(t, "sequences"), Blocks: rapid.IntRange(3, 14).Draw(t, "blocks"),
			Context: rapid.IntRange(100, 600).Draw(t, "context"), PrefixCache: rapid.Bool().Draw(t, "prefix"),
			PromptLogprobs: true, OneForm: rapid.Bool().Draw(t, "one form"), Stateful: rapid.Bool().Draw(t, "stateful"),
			Snapshots: rapid.IntRange(0, 3).Draw(t, "snapshots"), ChunkMultiple: rapid.SampledFrom([]int{0, 1, 16}).Draw(t, "chunks"),
			StepTime: rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Second}).Draw(t, "step time")}
		c.Keep = rapid.IntRange(0, c.Blocks).Draw(t, "keep")
		form := Decode
		if c.OneForm {
			form = Prefill
		}
		c.StepTokens = c.MaxSequences - 1 + BlockSize + rapid.IntRange(0, 200).Draw(t, "more rows")
		m := newFakeModel(c)
		e, err := New(m, c)
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer e.Close()
		fits := min(c.Context-1, c.Blocks*BlockSize-40)
		common := ids(fits, 1) // prompts share beginnings
		var work sync.WaitGroup
		failures := make(chan string, 100)
		var before Request
		for i := range rapid.IntRange(1, 9).Draw(t, "requests") {
			own := rapid.IntRange(1, fits).Draw(t, "own")
			prompt := slices.Concat(common[:rapid.IntRange(0, fits-own).Draw(t, "shared")], ids(own, uint64(i)))
			switch kind := rapid.SampledFrom([]string{"new", "again", "next turn"}).Draw(t, "kind"); {
			case before.Prompt == nil || kind == "new":
			case kind == "again":
				prompt = before.Prompt
			default:
				answer, _ := aloneIn(form, before, c.Context)
				if next := slices.Concat(before.Prompt, answer, prompt[:min(len(prompt), 30)]); len(next) <= fits {
					prompt = next
				}
			}
			most := rapid.IntRange(1, 40).Draw(t, "max")
			r := Request{Prompt: prompt, Choice: i, MaxTokens: most, MinTokens: rapid.IntRange(0, most).Draw(t, "min"), EOS: []int32{0},
				Sampling: Params{Temperature: rapid.SampledFrom([]float64{0, 1}).Draw(t, "temperature"), Seed: uint64(i),
					RepetitionPenalty: rapid.SampledFrom([]float64{0, 1.5}).Draw(t, "penalty")},
				ScorePrompt: rapid.IntRange(0, 3).Draw(t, "score") == 0,
				Forced:      ids(rapid.IntRange(0, 3).Draw(t, "forced"), uint64(i))}
			before = r
			leave := rapid.IntRange(0, 60).Draw(t, "leave after") // most stay
			work.Go(func() {
				if problem := runOne(e, form, r, c.Context, leave); problem != "" {
					failures <- problem
				}
			})
		}
		work.Wait()
		close(failures)
		for f := range failures {
			t.Errorf("%s", f)
		}
		wantIdle(t, e)
		m.verify(t)
	})
}

func runOne(e *Engine, form Form, r Request, limit, leave int) string {
	want, reason := aloneIn(form, r, limit)
	if leave < len(want) { // be resumed from there on, after leaving
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n := 0
		_, err := e.Generate(ctx, r, func(Sampled) (bool, error) {
			if n++; n > leave {
				cancel()
			}
			return false, nil
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			return err.Error()
		}
		r.Generated = want[:leave]
	}
	answer, result, err := collect(e, r)
	if err != nil || !slices.Equal(answer, want) || result.Reason != reason {
		return fmt.Sprintf("prompt of %d: got %v, %+v, %v; want %v, %s", len(r.Prompt), answer, result, err, want, reason)
	}
	return ""
}

func TestPreemptedSequenceGoesOnWithTheSameTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Blocks: 5, MaxSequences: 4, StepTokens: 128, Context: 320, Vocab: fakeVocab}
		e, _ := start(t, c)
		together := make(chan struct{})
		var work sync.WaitGroup
		for i := range 4 { // each grows to three blocks
			work.Go(func() {
				r := Request{Prompt: ids(60, uint64(i)), MaxTokens: 120, IgnoreEOS: true, Sampling: Params{Temperature: 1, Seed: uint64(i)}}
				var answer []int32
				result, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) {
					<-together
					answer = append(answer, s.ID)
					return false, nil
				})
				if want, reason := alone(r, c.Context); err != nil || !slices.Equal(answer, want) || result.Reason != reason {
					t.Errorf("request %d: got %v, %v; want %v", i, answer, err, want)
				}
			})
		}
		synctest.Wait()
		close(together)
		work.Wait()
		if e.Stats().Preemptions == 0 {
			t.Error("nothing was preempted: the test shows nothing")
		}
		wantIdle(t, e)
	})
}
