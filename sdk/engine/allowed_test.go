package engine

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
)

// every allows the ids of which the n-th of an answer may be: those that leave the rest n%step, and an end every tenth time alone.
func every(step int32, r *Request) func() Next {
	n := int32(len(r.Generated))
	return func() Next {
		mask := make([]uint32, (fakeVocab+31)/32)
		for id := range int32(fakeVocab) {
			if id%step == n%step {
				mask[id/32] |= 1 << (id % 32)
			}
		}
		n++
		return Next{Allowed: mask}
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
					again.Next = every(step, &again)
					if step == 1 {
						again.Next = nil
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
	r := Request{Prompt: ids(10, 1), MaxTokens: 20, MinTokens: 15, EOS: []int32{0, -1}, Next: func() Next {
		if n++; n > 4 {
			return Next{Allowed: []uint32{1}}
		}
		return Next{Allowed: []uint32{math.MaxUint32, math.MaxUint32}}
	}}
	answer, result, err := collect(e, r)
	if err != nil || len(answer) != 5 || answer[4] != 0 || slices.Contains(answer[:4], 0) || result.Completion != 5 {
		t.Errorf("%v, %+v, %v", answer, result, err)
	}
}

// given gives two ids behind each multiple of three, and more of them at the beginning.
func given(r *Request) func() Next {
	n := len(r.Generated)
	return func() Next {
		if n%3 != 0 {
			n++ // the one that is sampled then
			return Next{}
		}
		n += 2
		return Next{Given: []int32{int32(n % 7), 5}}
	}
}

// Ids that are given come at once, take no step of their own, and change the rest as if the model had said them; cut anywhere and resumed, too.
func TestGivenIdsTakeNoSteps(t *testing.T) {
	for _, c := range []Config{roomy, {Blocks: 6, MaxSequences: 2, StepTokens: 130, Context: 300, PrefixCache: true, Keep: 2, OneForm: true}} {
		e, m := start(t, c)
		for _, p := range []Params{{}, {Temperature: 1, Seed: 5, FrequencyPenalty: 1}} {
			r := Request{Prompt: ids(70, 3), Sampling: p, MaxTokens: 31}
			r.Next = given(&r)
			steps := len(m.steps)
			want, result, err := collect(e, r)
			if err != nil || len(want) != 31 || result.Completion != 31 || result.Reason != sdk.FinishLength {
				t.Fatalf("%v, %+v, %v", want, result, err)
			}
			if took := len(m.steps) - steps; took > 14 {
				t.Errorf("31 ids, of which 20 were given, took %d steps", took)
			}
			form := Decode
			if c.OneForm {
				form = Prefill
			}
			history, s := uint64(0), NewSampler(p, 0)
			s.Prompt(r.Prompt...)
			for _, id := range r.Prompt {
				history = extend(history, id, Prefill)
			}
			for i, id := range want {
				logits := make([]float32, fakeVocab)
				fakeLogits(history, logits)
				switch drawn, _, _ := s.Sample(logits, len(r.Prompt)+i); {
				case i%3 == 0 && id != int32((i+2)%7), i%3 == 1 && id != 5, i%3 == 2 && id != drawn:
					t.Fatalf("id %d is %d in %v", i, id, want)
				}
				s.Answer(id)
				history = extend(history, id, form)
			}
			for cut := range want {
				if cut%3 != 0 { // the caller knows what is left of those that are given
					continue
				}
				again := r
				again.Generated = want[:cut]
				again.Next = given(&again)
				if got, _, err := collect(e, again); err != nil || !slices.Equal(got, want) {
					t.Fatalf("cut at %d: %v, %v; want %v", cut, got, err, want)
				}
			}
		}
		wantIdle(t, e)
	}
}

// An answer may end among ids that are given.
func TestAnswersEndAmongGivenIds(t *testing.T) {
	e, _ := start(t, roomy)
	r := Request{Prompt: ids(10, 1), MaxTokens: 20, Next: func() Next { return Next{Given: []int32{4, 5, 6}} }}
	count := 0
	result, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) { count++; return s.Index == 4, nil })
	if err != nil || result.Reason != sdk.FinishStop || result.Completion != 5 || count != 5 {
		t.Errorf("%+v, %v, %d", result, err, count)
	}
	r.EOS = []int32{6}
	if got, result, err := collect(e, r); err != nil || !slices.Equal(got, []int32{4, 5, 6}) || result.Reason != sdk.FinishStop {
		t.Errorf("%v, %+v, %v", got, result, err)
	}
	wantIdle(t, e)
}
