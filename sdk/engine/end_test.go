package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

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

// What is run between two steps never runs beside one, is told whether something is computed, and runs once the engine is idle, but not when it has ended.
func TestBetweenStepsNothingIsComputed(t *testing.T) {
	e, m := start(t, roomy)
	var stepping atomic.Bool
	inStep := make(chan struct{}, 1)
	m.before = func(*Batch) error {
		stepping.Store(true)
		select {
		case inStep <- struct{}{}:
		default:
		}
		time.Sleep(100 * time.Microsecond)
		stepping.Store(false)
		return nil
	}
	ran := 0
	between := func() bool {
		return e.Between(func() {
			ran++
			if stepping.Load() {
				t.Error("it runs beside a step")
			}
		})
	}
	if between() || ran != 1 {
		t.Errorf("of an idle engine: it ran %d times, or something was computed", ran)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		collect(e, Request{Prompt: ids(3, 1), MaxTokens: 50})
	}()
	<-inStep
	if !between() {
		t.Error("that something is computed was not told")
	}
	for range 20 {
		between()
	}
	<-done
	wantIdle(t, e)
	e.Close()
	if between() || ran != 22 {
		t.Errorf("it ran %d times of 22, or after the end", ran)
	}
}
