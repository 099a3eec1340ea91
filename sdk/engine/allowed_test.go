package engine

import (
	"math"
	"slices"
	"sync"
	"testing"
)

// every allows the ids of which the n-th of an answer may be: those that leave the rest n%step, and an end every tenth time alone.
func every(step int32, r *Request) func() []uint32 {
	n := int32(len(r.Generated))
	return func() []uint32 {
		mask := make([]uint32, (fakeVocab+31)/32)
		for id := range int32(fakeVocab) {
			if id%step == n%step {
				mask[id/32] |= 1 << (id % 32)
			}
		}
		n++
		return mask
	}
}

// masked is the answer by definition.
func masked(r Request, step int32) []int32 {
	s := NewSampler(r.Sampling, r.Choice)
	s.Prompt(r.Prompt...)
	history, answer := uint64(0), []int32(nil)
	for _, id := range r.Prompt {
		history = extend(history, id, Prefill)
	}
	for len(answer) < r.MaxTokens {
		logits := make([]float32, fakeVocab)
		fakeLogits(history, logits)
		for id := range logits {
			if int32(id)%step != int32(len(answer))%step {
				logits[id] = float32(math.Inf(-1))
			}
		}
		id, _, err := s.Sample(logits, len(r.Prompt)+len(answer))
		if err != nil {
			panic(err)
		}
		answer = append(answer, id)
		s.Answer(id)
		history = extend(history, id, Decode)
	}
	return answer
}

// Sequences of one batch have masks of their own, also when they are resumed at any token and when they share a prompt.
func TestEachSequenceIsHeldToItsOwnMask(t *testing.T) {
	e, _ := start(t, roomy)
	var work sync.WaitGroup
	for _, step := range []int32{1, 2, 3, 7} {
		for _, p := range []Params{{}, {Temperature: 1, Seed: 5}, {Temperature: 1, Seed: 6, TopK: 3, RepetitionPenalty: 1.2}} {
			work.Go(func() {
				r := Request{Prompt: ids(70, 3), Sampling: p, MaxTokens: 30}
				want := masked(r, step)
				for cut := range want {
					again := r
					again.Generated = want[:cut]
					again.Allowed = every(step, &again)
					if step == 1 {
						again.Allowed = nil
					}
					answer, _, err := collect(e, again)
					if err != nil || !slices.Equal(answer, want) {
						t.Errorf("one in %d, cut at %d: %v, %v; want %v", step, cut, answer, err, want)
						return
					}
				}
			})
		}
	}
	work.Wait()
	wantIdle(t, e)
}

// Where a mask leaves ends alone, the answer ends, whatever min_tokens says.
func TestAMaskOfEndsAloneEndsTheAnswer(t *testing.T) {
	e, _ := start(t, roomy)
	n := 0
	r := Request{Prompt: ids(10, 1), MaxTokens: 20, MinTokens: 15, EOS: []int32{0, -1}, Allowed: func() []uint32 {
		if n++; n > 4 {
			return []uint32{1}
		}
		return []uint32{math.MaxUint32, math.MaxUint32}
	}}
	answer, result, err := collect(e, r)
	if err != nil || len(answer) != 5 || answer[4] != 0 || slices.Contains(answer[:4], 0) || result.Completion != 5 {
		t.Errorf("%v, %+v, %v", answer, result, err)
	}
}
