package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
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
	if _, _, err = collect(e, Request{Prompt: ids(100, 1), MaxTokens: 30}); sdk.ReasonOf(err) != sdk.ReasonMemory {
		t.Errorf("one token more: %v", err)
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
		{Request{Prompt: []int32{1}, MaxTokens: -1}, sdk.ReasonInvalid, "max_tokens"},
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

func TestResumedEqualsUninterruptedAtEveryToken(t *testing.T) {
	e, _ := start(t, roomy)
	for _, p := range []Params{{}, {Temperature: 1, Seed: 5}, {Temperature: 1, Seed: 5, FrequencyPenalty: 1, RepetitionPenalty: 1.3}} {
		r := Request{Prompt: ids(70, 3), Sampling: p, MaxTokens: 80, EOS: []int32{0}}
		want, reason := alone(r, roomy.Context)
		for cut := range len(want) + 1 {
			r.Generated = want[:cut]
			answer, result, err := collect(e, r)
			if err != nil || !slices.Equal(answer, want) || result.Reason != reason || result.Completion != len(want) {
				t.Fatalf("cut at %d: %v, %+v, %v; want %v", cut, answer, result, err, want)
			}
		}
	}
	wantIdle(t, e)
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

// Any mix of requests, limits, cancellations and preemptions: each answer is what the request alone gets.
func TestRandomLoadChangesNoAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Vocab: fakeVocab, MaxSequences: rapid.IntRange(1, 5).Draw(t, "sequences"), Blocks: rapid.IntRange(3, 14).Draw(t, "blocks"),
			Context: rapid.IntRange(100, 600).Draw(t, "context"), PrefixCache: rapid.Bool().Draw(t, "prefix")}
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
		for i := range rapid.IntRange(1, 9).Draw(t, "requests") {
			own := rapid.IntRange(1, fits).Draw(t, "own")
			prompt := slices.Concat(common[:rapid.IntRange(0, fits-own).Draw(t, "shared")], ids(own, uint64(i)))
			r := Request{Prompt: prompt, Choice: i, MaxTokens: rapid.IntRange(1, 40).Draw(t, "max"), EOS: []int32{0},
				Sampling: Params{Temperature: rapid.SampledFrom([]float64{0, 1}).Draw(t, "temperature"), Seed: uint64(i)}}
			leave := rapid.IntRange(0, 60).Draw(t, "leave after") // most stay
			work.Go(func() {
				if problem := runOne(e, r, c.Context, leave); problem != "" {
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

func runOne(e *Engine, r Request, limit, leave int) string {
	want, reason := alone(r, limit)
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

func TestCancelFreesByTheEndOfTheRunningStep(t *testing.T) {
	inStep, finishStep := make(chan struct{}), make(chan struct{})
	e, m := start(t, roomy)
	m.before = func(b *Batch) error {
		if b.Rows[0].Form == Decode {
			inStep <- struct{}{}
			<-finishStep
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := e.Generate(ctx, Request{Prompt: ids(100, 1)}, func(Sampled) (bool, error) { return false, nil })
		done <- err
	}()
	<-inStep
	if e.Stats().BlocksUsed != 2 {
		t.Errorf("in the step: %+v", e.Stats())
	}
	cancel()
	close(finishStep)
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantIdle(t, e)
}

func TestCancelWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c := Config{Blocks: 2, MaxSequences: 1, StepTokens: 64, Context: 100}
		c.Hold = func(int) { <-hold }
		e, _ := start(t, c)
		var work sync.WaitGroup
		work.Go(func() { collect(e, Request{Prompt: ids(3, 1), MaxTokens: 1 << 10}) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		work.Go(func() {
			if _, err := e.Generate(ctx, Request{Prompt: ids(3, 1)}, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		if e.Stats().Waiting != 1 {
			t.Errorf("%+v", e.Stats())
		}
		cancel()
		synctest.Wait()
		if e.Stats().Waiting != 0 {
			t.Errorf("after leaving: %+v", e.Stats())
		}
		close(hold)
		work.Wait()
	})
}

func TestModelFailureFailsThoseOnBoardAndTheEngineGoesOn(t *testing.T) {
	e, m := start(t, roomy)
	failure := errors.New("the device is lost")
	fail := true
	m.before = func(b *Batch) error {
		if fail && b.Rows[0].Form == Decode {
			return failure
		}
		return nil
	}
	r := Request{Prompt: ids(10, 1), MaxTokens: 5, IgnoreEOS: true}
	answer, _, err := collect(e, r)
	if !errors.Is(err, failure) || len(answer) != 1 {
		t.Errorf("got %v after %d ids", err, len(answer))
	}
	wantIdle(t, e)
	fail = false
	if answer, result, err := collect(e, r); err != nil {
		t.Error(err)
	} else {
		wantSame(t, r, roomy.Context, answer, result)
	}
}

type modelFunc func(*Batch) ([][]float32, error)

func (f modelFunc) Step(b *Batch) ([][]float32, error) { return f(b) }

func TestModelThatBreaksItsContract(t *testing.T) {
	nan := make([]float32, fakeVocab)
	for i := range nan {
		nan[i] /= nan[i]
	}
	for name, c := range map[string]struct {
		step  modelFunc
		words string
	}{
		"panics":      {func(*Batch) ([][]float32, error) { panic("index out of range") }, "panicked: index out of range"},
		"no logits":   {func(*Batch) ([][]float32, error) { return nil, nil }, "0 rows of logits"},
		"short row":   {func(*Batch) ([][]float32, error) { return make([][]float32, 1), nil }, "0 logits in a row"},
		"not numbers": {func(*Batch) ([][]float32, error) { return [][]float32{nan}, nil }, "not numbers"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := New(c.step, roomy)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			for range 2 { // the engine survives
				if _, _, err := collect(e, Request{Prompt: []int32{1}}); err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("got %v", err)
				}
			}
			wantIdle(t, e)
		})
	}
}

func TestDrainFinishesWhatRunsAndTakesNothingNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c := roomy
		c.Hold = func(index int) {
			if index == 0 {
				<-hold
			}
		}
		e, _ := start(t, c)
		r := Request{Prompt: ids(3, 1), MaxTokens: 9, IgnoreEOS: true}
		var work sync.WaitGroup
		work.Go(func() {
			if answer, _, err := collect(e, r); err != nil || len(answer) != 9 {
				t.Errorf("%d ids, %v", len(answer), err)
			}
		})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request is on board; Drain returned %v", err)
		}
		if _, _, err := collect(e, r); sdk.ReasonOf(err) != sdk.ReasonState {
			t.Errorf("a new request while draining: %v", err)
		}
		close(hold)
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		wantIdle(t, e)
		work.Wait()
	})
}

func TestCloseFailsWhatIsOnBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		c := roomy
		c.MaxSequences = 1
		c.Hold = func(int) { <-hold }
		e, _ := start(t, c)
		var work sync.WaitGroup
		for range 3 {
			work.Go(func() {
				if _, _, err := collect(e, Request{Prompt: ids(3, 1)}); sdk.ReasonOf(err) != sdk.ReasonState {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		e.Close()
		e.Close()
		close(hold)
		work.Wait()
		if _, _, err := collect(e, Request{Prompt: ids(3, 1)}); sdk.ReasonOf(err) != sdk.ReasonState {
			t.Errorf("after Close: %v", err)
		}
		wantIdle(t, e)
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestEqualPromptsShareBlocks(t *testing.T) {
	c := roomy
	c.PrefixCache = true
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

func TestTokenAllocatesNothing(t *testing.T) {
	logits := make([]float32, fakeVocab)
	rows := make([][]float32, 0, 4)
	e, err := New(modelFunc(func(b *Batch) ([][]float32, error) {
		rows = rows[:0]
		for _, r := range b.Rows {
			if r.Output {
				logits[r.Pos%fakeVocab]++
				rows = append(rows, logits)
			}
		}
		return rows, nil
	}), Config{Blocks: 200, MaxSequences: 1, StepTokens: 64, Context: 12000, Vocab: fakeVocab})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	mallocs := func(tokens int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := e.Generate(t.Context(), Request{Prompt: []int32{1}, MaxTokens: tokens, Sampling: Params{Temperature: 1, TopK: 5}},
			func(Sampled) (bool, error) { return false, nil }); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	mallocs(10)
	few, many := mallocs(1000), mallocs(11000)
	if many > few+100 { // growing slices double now and then
		t.Errorf("1,000 tokens allocate %d times, 11,000 tokens %d times", few, many)
	}
}

func BenchmarkTokenOverhead(b *testing.B) {
	logits := make([]float32, fakeVocab)
	rows := [][]float32{logits}
	e, err := New(modelFunc(func(*Batch) ([][]float32, error) { return rows, nil }),
		Config{Blocks: 1 << 14, MaxSequences: 1, StepTokens: 64, Context: 1 << 20, Vocab: fakeVocab})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	n := min(b.N, 1<<20-1)
	b.ReportAllocs()
	if _, err := e.Generate(b.Context(), Request{Prompt: []int32{1}, MaxTokens: n}, func(Sampled) (bool, error) { return false, nil }); err != nil {
		b.Fatal(err)
	}
}
