package schedule

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// A restart by the operator is nobody's death: the requests on board go on in the next process, at any token.
func TestARestartMovesTheRequestsOnBoard(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		first, second := w.ask(100, 20), w.ask(200, 20)
		for n := range 5 {
			time.Sleep(2500 * time.Millisecond)
			if err := w.RestartModel(context.Background(), "alias"); err != nil {
				t.Fatal(err)
			}
			if !w.process(n + 1).ended() {
				t.Errorf("process %d was not asked to end", n+1)
			}
		}
		first.complete(w, 100, 20)
		second.complete(w, 200, 20)
		if s := w.Models()[0]; s.Deaths != 0 || s.Starts != 6 || s.State != StateReady {
			t.Errorf("status %+v", s)
		}
		if most := w.process(6).most; most != 2 {
			t.Errorf("after the restarts %d requests ran at once, want 2: they are no suspects", most)
		}
	})
}

// A question on its way is asked again, however often the operator restarts.
func TestARestartAsksQuestionsAgain(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.word = func(p *fakeProcess, _ string) {
			if p.number < 5 {
				<-p.calls
			}
		}
		return nil
	}, func(w *world) {
		type reply struct {
			ids []int32
			err error
		}
		got := make(chan reply)
		go func() {
			ids, err := w.Tokenize(context.Background(), "m", "four")
			got <- reply{ids, err}
		}()
		for range 4 {
			synctest.Wait()
			if err := w.RestartModel(context.Background(), "m"); err != nil {
				t.Fatal(err)
			}
		}
		if r := <-got; r.err != nil || len(r.ids) != 1 || r.ids[0] != 4 {
			t.Errorf("%v, %v", r.ids, r.err)
		}
	})
}

// A stop lets requests finish, refuses new ones with the reason, and leaves no process; a start is one, also for whoever
// waited.
func TestAStoppedModelIsGoneUntilItIsStarted(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		running := w.ask(100, 5)
		time.Sleep(1500 * time.Millisecond)
		stopped := make(chan error)
		go func() { stopped <- w.StopModel(context.Background(), "m") }()
		synctest.Wait()
		late := w.ask(200, 1)
		<-late.done
		var e *Unavailable
		if !errors.As(late.err, &e) || e.State != StateDraining || !strings.Contains(e.Reason, "piohost start m") {
			t.Errorf("a request during the drain: %v", late.err)
		}
		if s := w.Models()[0]; s.State != StateDraining {
			t.Errorf("status during the drain %+v", s)
		}
		running.complete(w, 100, 5)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if s := w.Models()[0]; s.State != StateStopped || s.PID != 0 || !w.process(1).ended() || s.Deaths != 0 {
			t.Errorf("status after the stop %+v", s)
		}
		late = w.ask(200, 1)
		<-late.done
		if !errors.As(late.err, &e) || e.State != StateStopped || e.RetryAfter != 0 || !strings.Contains(e.Reason, "piohost start m") {
			t.Errorf("a request to a stopped model: %v", late.err)
		}
		time.Sleep(time.Hour)
		if n := len(w.startTimes()); n != 1 {
			t.Errorf("%d starts", n)
		}
		if err := w.StartModel(context.Background(), "m"); err != nil {
			t.Error(err)
		}
		w.ask(300, 3).complete(w, 300, 3)
	})
}

func TestAStopCutsWhatDoesNotFinish(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		w.Config().Server.Drain = 5 * time.Second
		running := w.ask(100, 50)
		time.Sleep(1500 * time.Millisecond)
		if err := w.StopModel(context.Background(), "m"); err != nil {
			t.Error(err)
		}
		<-running.done
		var e *Unavailable
		if !errors.As(running.err, &e) || e.State != StateStopped || running.text != "100 101 102 103 104 105 " {
			t.Errorf("%q, %v", running.text, running.err)
		}
		if err := w.RestartModel(context.Background(), "m"); err != nil {
			t.Error(err)
		}
		w.ask(300, 3).complete(w, 300, 3)
	})
}

// Whoever gave the order may leave: it is carried out all the same.
func TestAStopOutlivesWhoeverOrderedIt(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		running := w.ask(100, 5)
		time.Sleep(1500 * time.Millisecond)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := w.StopModel(ctx, "m"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		running.complete(w, 100, 5)
		synctest.Wait()
		if s := w.Models()[0]; s.State != StateStopped {
			t.Errorf("status %+v", s)
		}
	})
}

// A start during a drain calls the stop off; what runs never notices.
func TestAStartOvertakesAStop(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		running := w.ask(100, 5)
		time.Sleep(1500 * time.Millisecond)
		stopped := make(chan error)
		go func() { stopped <- w.StopModel(context.Background(), "m") }()
		synctest.Wait()
		if err := w.StartModel(context.Background(), "m"); err != nil {
			t.Error(err)
		}
		if err := <-stopped; !errors.Is(err, errOvertaken) {
			t.Errorf("the stop: %v", err)
		}
		w.ask(200, 2).complete(w, 200, 2)
		running.complete(w, 100, 5)
		if s := w.Models()[0]; s.State != StateReady || s.Starts != 1 {
			t.Errorf("status %+v", s)
		}
	})
}

// An order ends every wait: for the next attempt in quarantine, for the next start after deaths, for a load.
func TestAnOrderEndsAWaitAtOnce(t *testing.T) {
	broken := true
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(ctx context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			if broken {
				return sdk.Errorf(sdk.ReasonInvalid, "no")
			}
			return nil
		}
		return nil
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		begin := time.Now()
		var e *Unavailable
		if err := w.StartModel(context.Background(), "m"); !errors.As(err, &e) || e.State != StateQuarantined || e.Reason != "no" {
			t.Errorf("a start that fails again: %v", err)
		}
		if s := w.Models()[0]; s.Retry.Sub(begin) != firstRefused {
			t.Errorf("the count of failures did not begin anew: next attempt in %v", s.Retry.Sub(begin))
		}
		broken = false
		if err := w.StartModel(context.Background(), "m"); err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		for range 3 {
			synctest.Wait()
			n := len(w.startTimes())
			w.process(n).die(syscall.SIGKILL)
			synctest.Wait()
		}
		if s := w.Models()[0]; s.State != StateRestarting {
			t.Fatalf("status %+v", s)
		}
		begin = time.Now()
		if err := w.StartModel(context.Background(), "m"); err != nil || time.Since(begin) != 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		w.process(len(w.startTimes())).die(syscall.SIGKILL)
		synctest.Wait()
		if s := w.Models()[0]; s.State != StateReady {
			t.Errorf("the count of deaths did not begin anew: %+v", s)
		}
	})
}

// A process that is being ended gets no requests any more: they wait for the next one.
func TestNobodyBoardsAProcessThatIsBeingEnded(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.unload = func() { time.Sleep(3 * time.Second) }
		return nil
	}, func(w *world) {
		restarted := make(chan error)
		go func() { restarted <- w.RestartModel(context.Background(), "m") }()
		synctest.Wait()
		w.ask(100, 3).complete(w, 100, 3)
		if err := <-restarted; err != nil || w.process(1).most != 0 || w.process(2).most != 1 {
			t.Errorf("%v; the first process had %d requests", err, w.process(1).most)
		}
	})
}

// The host of a command ends with its context.
func TestAHostEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p *fakeProcess
		h := New(Options{Config: emptyConfig(), Start: func(context.Context, config.Model) (Process, error) {
			p = newFakeProcess(1)
			return p, nil
		}})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			h.Run(ctx)
		}()
		synctest.Wait()
		if err := errors.Join(h.StopModel(ctx, "m"), h.StartModel(ctx, "m")); err != nil {
			t.Error(err)
		}
		cancel()
		<-ended
		if s := h.Models()[0]; s.State != StateStopped || s.Reason != "" || !p.ended() {
			t.Errorf("status %+v", s)
		}
	})
}

func TestAStopEndsALoad(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(ctx context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}, func(w *world) {
		begin := time.Now()
		if err := w.StopModel(context.Background(), "m"); err != nil || time.Since(begin) != 0 || !w.process(1).ended() {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if s := w.Models()[0]; s.State != StateStopped {
			t.Errorf("status %+v", s)
		}
	})
}

// A request whose model is restarted while it is ended by a drain of the host fails as such.
func TestOrdersToAnUnknownModel(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		for _, order := range []func(context.Context, string) error{w.StartModel, w.StopModel, w.RestartModel} {
			var unknown *UnknownModel
			if err := order(context.Background(), "x"); !errors.As(err, &unknown) {
				t.Errorf("got %v", err)
			}
		}
	})
}
