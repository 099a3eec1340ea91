package engine

import (
	"strconv"
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

// Who was slow once and listens again holds nobody up, and keeps its place.
func TestAClientThatWasSlowOnceIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Blocks: 16, MaxSequences: 1, StepTokens: 128, Context: 512, Vocab: fakeVocab}
		e, err := New(slowModel{newFakeModel(c), 20 * time.Millisecond, 0}, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		var since time.Time
		var other sync.WaitGroup
		_, err = e.Generate(t.Context(), Request{Prompt: ids(10, 1), MaxTokens: 150, IgnoreEOS: true}, func(s Sampled) (bool, error) {
			switch s.Index {
			case 3:
				time.Sleep(3 * patience)
				other.Go(func() { // it waits for the place
					if _, _, err := collect(e, Request{Prompt: ids(10, 2), MaxTokens: 1}); err != nil {
						t.Error(err)
					}
				})
			case 4:
				since = time.Now()
			case 149:
				if took := time.Since(since); took != 145*20*time.Millisecond {
					t.Errorf("145 steps of 20 ms took %v", took)
				}
			}
			return false, nil
		})
		if err != nil {
			t.Error(err)
		}
		other.Wait()
		if s := e.Stats(); s.Preemptions != 0 {
			t.Errorf("%d preemptions of a client that listened", s.Preemptions)
		}
	})
}

// Of those whose callers do not listen the last one gives way, before any that is listened to.
func TestWhoGivesWay(t *testing.T) {
	now := time.Unix(1, 0)
	for _, c := range []struct{ late, want string }{ // by arrival: l is late, o runs, - waits
		{"ooo", "2"}, {"lol", "2"}, {"llo", "1"}, {"loo", "0"}, {"oll", "2"}, {"ll-", "1"}, {"l-o", "0"}, {"o--", "0"}, {"---", ""},
	} {
		s, got := &scheduler{}, ""
		for i, kind := range c.late {
			q := &sequence{arrival: uint64(i), phase: running}
			switch kind {
			case 'l':
				q.late = now
			case '-':
				q.phase = waiting
			}
			s.running = append(s.running, q)
		}
		if q := s.victim(); q != nil {
			got = strconv.FormatUint(q.arrival, 10)
		}
		if got != c.want {
			t.Errorf("%s: %q gives way, not %q", c.late, got, c.want)
		}
	}
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
