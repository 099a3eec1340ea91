package engine

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLongPromptDoesNotStarveAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, m := start(t, Config{Blocks: 64, MaxSequences: 4, StepTokens: 67, Context: 4096})
		queued := make(chan struct{})
		var work sync.WaitGroup
		work.Go(func() {
			_, err := e.Generate(t.Context(), Request{Prompt: ids(5, 1), MaxTokens: 60, IgnoreEOS: true}, func(Sampled) (bool, error) {
				<-queued
				return false, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		work.Go(func() {
			if _, _, err := collect(e, Request{Prompt: ids(2000, 2), MaxTokens: 1}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(queued)
		work.Wait()
		mixed := 0
		for _, rows := range m.steps {
			if last := rows[len(rows)-1]; last.Form == Prefill && last.Pos > 5 && rows[0].Form == Decode {
				mixed++
			}
		}
		if mixed < 30 { // 2000 positions in chunks of 64 are 32 steps
			t.Errorf("only %d chunks of the long prompt went along with the answer", mixed)
		}
	})
}

func TestSlowClientStallsOnlyItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := start(t, roomy)
		gate := make(chan struct{})
		slow := Request{Prompt: ids(70, 1), MaxTokens: 30, IgnoreEOS: true, Sampling: Params{Temperature: 1}}
		var work sync.WaitGroup
		work.Go(func() {
			var answer []int32
			result, err := e.Generate(t.Context(), slow, func(s Sampled) (bool, error) {
				if s.Index == 3 {
					<-gate
				}
				answer = append(answer, s.ID)
				return false, nil
			})
			if err != nil {
				t.Error(err)
			}
			wantSame(t, slow, roomy.Context, answer, result)
		})
		began := time.Now()
		if _, _, err := collect(e, Request{Prompt: ids(70, 2), MaxTokens: 200, IgnoreEOS: true}); err != nil {
			t.Error(err)
		}
		if waited := time.Since(began); waited > patience { // of the bubble's clock: only waiting counts
			t.Errorf("the other request waited %v for the slow client", waited)
		}
		close(gate)
		work.Wait()
		wantIdle(t, e)
	})
}

func TestClientThatNeverListensLosesItsPlaceNotItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Blocks: 8, MaxSequences: 1, StepTokens: 128, Context: 512, Vocab: fakeVocab}
		e, _ := start(t, c)
		gate, stuck := make(chan struct{}), make(chan struct{})
		r := Request{Prompt: ids(70, 1), MaxTokens: 30, IgnoreEOS: true, Sampling: Params{Temperature: 1}}
		var work sync.WaitGroup
		work.Go(func() {
			var answer []int32
			result, err := e.Generate(t.Context(), r, func(s Sampled) (bool, error) {
				if answer = append(answer, s.ID); len(answer) == 5 {
					close(stuck)
					<-gate
				}
				return false, nil
			})
			if err != nil {
				t.Error(err)
			}
			wantSame(t, r, c.Context, answer, result)
		})
		<-stuck
		if _, _, err := collect(e, Request{Prompt: ids(20, 2), MaxTokens: 9}); err != nil {
			t.Error(err)
		}
		if e.Stats().Preemptions != 1 {
			t.Errorf("%d preemptions; the only slot had to change hands once", e.Stats().Preemptions)
		}
		close(gate)
		work.Wait()
		wantIdle(t, e)
	})
}

func TestHoldKeepsTheTokenBackAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, held := make(chan struct{}), make(chan int, 1)
		c := roomy
		c.Hold = func(index int) {
			if index == 4 {
				held <- index
				<-release
			}
		}
		e, _ := start(t, c)
		got := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, err := e.Generate(t.Context(), Request{Prompt: ids(3, 1), MaxTokens: 9, IgnoreEOS: true}, func(Sampled) (bool, error) {
				got++
				return false, nil
			}); err != nil {
				t.Error(err)
			}
		}()
		<-held
		synctest.Wait()
		if got != 5 {
			t.Errorf("%d tokens were emitted while index 4 was held", got)
		}
		close(release)
		<-done
		if got != 9 {
			t.Errorf("%d tokens in the end", got)
		}
	})
}
