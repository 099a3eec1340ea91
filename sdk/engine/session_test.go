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

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
)

// rowsOf are the logits of all rows of a session by definition: the first call's tokens are a prompt, the others an answer.
func rowsOf(form Form, calls [][]int32) (rows [][]float32) {
	history := uint64(0)
	for i, call := range calls {
		for _, id := range call {
			f := form
			if i == 0 {
				f = Prefill
			}
			history = extend(history, id, f)
			row := make([]float32, fakeVocab)
			fakeLogits(history, row)
			rows = append(rows, row)
		}
	}
	return rows
}

// Sessions, forks of them and answers, in too few blocks and slots for all: every row is what its history says.
func TestSessionsGiveTheLogitsOfTheirHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Vocab: fakeVocab, MaxSequences: rapid.IntRange(1, 3).Draw(t, "sequences"), Blocks: rapid.IntRange(5, 12).Draw(t, "blocks"),
			Context: 300, PrefixCache: rapid.Bool().Draw(t, "prefix"), PromptLogprobs: true, OneForm: rapid.Bool().Draw(t, "one form"),
			Stateful: rapid.Bool().Draw(t, "stateful"), Snapshots: rapid.IntRange(0, 2).Draw(t, "snapshots"), Keep: 4}
		form := Decode
		if c.OneForm {
			form = Prefill
		}
		c.StepTokens = c.MaxSequences - 1 + BlockSize + rapid.IntRange(0, 100).Draw(t, "more rows")
		m := newFakeModel(c)
		m.asked = true
		e, err := New(m, c)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		common := ids(150, 1)
		var work sync.WaitGroup
		problems := make(chan string, 100)
		for i := range rapid.IntRange(1, 4).Draw(t, "sessions") {
			calls := [][]int32{common[:rapid.IntRange(1, 150).Draw(t, "first")]}
			for range rapid.IntRange(0, 3).Draw(t, "calls") {
				calls = append(calls, ids(rapid.IntRange(1, 40).Draw(t, "more"), uint64(i)))
			}
			every := rapid.IntRange(1, 50).Draw(t, "rows")
			fork := rapid.Bool().Draw(t, "fork")
			work.Go(func() {
				if err := runSession(e, form, calls, every, fork); err != nil {
					problems <- err.Error()
				}
			})
			r := Request{Prompt: common[:rapid.IntRange(1, 150).Draw(t, "prompt")], MaxTokens: 20, EOS: []int32{0}, Choice: i}
			work.Go(func() {
				if p := runOne(e, form, r, c.Context, 1000); p != "" {
					problems <- p
				}
			})
		}
		work.Wait()
		close(problems)
		for p := range problems {
			t.Errorf("%s", p)
		}
		wantIdle(t, e)
		m.verify(t)
	})
}

// runSession makes calls and asks for every so manieth row, last first.
func runSession(e *Engine, form Form, calls [][]int32, every int, fork bool) error {
	s := e.Open()
	defer func() { s.Close() }()
	at := 0
	want := rowsOf(form, calls)
	for i, call := range calls {
		var rows []int
		for r := len(call) - 1; r >= 0; r -= every {
			rows = append(rows, r)
		}
		if i%2 == 1 {
			rows = nil
		}
		got, err := s.Forward(context.Background(), call, rows)
		if err != nil {
			return err
		}
		if rows == nil {
			rows = []int{len(call) - 1}
		}
		for j, r := range rows {
			if !slices.Equal(got[j], want[at+r]) {
				return fmt.Errorf("call %d of %d tokens: row %d is of another history", i, len(call), r)
			}
		}
		if at += len(call); s.Len() != at {
			return fmt.Errorf("the session has %d tokens, not %d", s.Len(), at)
		}
		if fork {
			f, err := s.Fork()
			if err != nil {
				return err
			}
			s.Close()
			s = f
		}
	}
	return nil
}

func TestASessionThatRestsLosesItsPlaceAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := start(t, Config{Blocks: 4, MaxSequences: 1, StepTokens: 128, Context: 250})
		s := e.Open()
		defer s.Close()
		calls := [][]int32{ids(100, 1), ids(5, 2)}
		if _, err := s.Forward(t.Context(), calls[0], nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the loop tells of it behind the answer
		if n := e.Stats().Running; n != 0 {
			t.Errorf("%d sequences run though the session rests", n)
		}
		if _, _, err := collect(e, Request{Prompt: ids(200, 3), MaxTokens: 3}); err != nil { // the only slot, and its blocks
			t.Fatal(err)
		}
		got, err := s.Forward(t.Context(), calls[1], nil)
		if err != nil || !slices.Equal(got[0], rowsOf(Decode, calls)[104]) {
			t.Errorf("after its place was taken: %v, or other logits", err)
		}
		if n := e.Stats().Preemptions; n != 0 {
			t.Errorf("%d preemptions are counted; nobody lost work", n)
		}
	})
}

func TestWhatASessionCannotBeAsked(t *testing.T) {
	e, _ := start(t, Config{Blocks: 4, MaxSequences: 1, StepTokens: 128, Context: 200, PromptLogprobs: true})
	s := e.Open()
	_, err := s.Forward(t.Context(), nil, nil)
	wantField(t, err, "tokens")
	_, err = s.Forward(t.Context(), []int32{fakeVocab}, nil)
	wantField(t, err, "tokens")
	_, err = s.Forward(t.Context(), []int32{1, 2}, []int{2})
	wantField(t, err, "rows")
	if _, err = s.Forward(t.Context(), ids(201, 1), nil); sdk.ReasonOf(err) != sdk.ReasonContext {
		t.Errorf("more than the context: %v", err)
	}
	if _, err = s.Forward(t.Context(), ids(200, 1), nil); err != nil {
		t.Errorf("after what was refused: %v", err)
	}
	s.Close()
	if _, err = s.Forward(t.Context(), []int32{1}, nil); sdk.ReasonOf(err) != sdk.ReasonNotFound {
		t.Errorf("after Close: %v", err)
	}
	wantIdle(t, e)
}

// Whoever leaves in the middle of a call has appended the tokens; a drain ends sessions that rest at once, others after their call.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Blocks: 10, MaxSequences: 2, StepTokens: 128, Context: 600, Vocab: fakeVocab}
		e, err := New(slowModel{newFakeModel(c), time.Second, 0}, c)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		s, rests := e.Open(), e.Open()
		calls := [][]int32{ids(300, 1), ids(5, 2)}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := s.Forward(ctx, calls[0], nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("left in the middle: %v", err)
		}
		if got, err := s.Forward(t.Context(), calls[1], nil); err != nil || !slices.Equal(got[0], rowsOf(Decode, calls)[304]) {
			t.Errorf("after a call that was left: %v, or other logits", err)
		}
		if _, err := rests.Forward(t.Context(), ids(3, 1), nil); err != nil {
			t.Error(err)
		}
		went := make(chan error)
		go func() {
			_, err := s.Forward(t.Context(), ids(100, 3), nil)
			went <- err
		}()
		time.Sleep(100 * time.Millisecond)
		if err := e.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-went; err != nil {
			t.Errorf("the call that was under way: %v", err)
		}
		for _, s := range []*Session{s, rests} {
			if _, err := s.Forward(t.Context(), ids(1, 1), nil); sdk.ReasonOf(err) != sdk.ReasonState {
				t.Errorf("after the drain: %v", err)
			}
		}
	})
}

// A final state is asked beside answers, which get their logits.
func TestFinalStatesComeBesideAnswers(t *testing.T) {
	c := roomy
	c.Hidden, c.PrefixCache, c.Keep = 2, true, roomy.Blocks
	e, _ := start(t, c)
	prompt := ids(150, 1)
	history := uint64(0)
	for _, id := range prompt {
		history = extend(history, id, Prefill)
	}
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			if got, err := e.Final(t.Context(), prompt); err != nil || !slices.Equal(got, []float32{float32(history % 1000), 149}) {
				t.Errorf("the final state is %v, %v", got, err)
			}
		})
		work.Go(func() {
			if p := runOne(e, Decode, Request{Prompt: prompt, MaxTokens: 20, EOS: []int32{0}, Choice: i}, c.Context, 1000); p != "" {
				t.Error(p)
			}
		})
	}
	work.Wait()
	wantIdle(t, e)
	e, _ = start(t, roomy)
	if _, err := e.Final(t.Context(), prompt); sdk.ReasonOf(err) != sdk.ReasonUnimplemented {
		t.Errorf("of a model that gives none: %v", err)
	}
}
