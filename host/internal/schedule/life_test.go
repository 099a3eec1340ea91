package schedule

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

func emptyConfig() *config.Config {
	return &config.Config{Models: []config.Model{{ID: "m", Devices: []string{"cpu"}}}}
}

func TestAModelComesUpAndAnswers(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error { return nil }, func(w *world) {
		w.ask(100, 3).complete(w, 100, 3)
		if want := []State{StateStarting, StateLoading, StateReady}; !slices.Equal(w.states, want) {
			t.Errorf("states %v, want %v", w.states, want)
		}
		s := w.Models()[0]
		if s.PID != 1001 || s.Path != "/plugins/fake" || s.Table.Context != 1<<20 || s.Fingerprint() != "fake-0.1.0-none" {
			t.Errorf("status %+v", s)
		}
		if err := w.Generate(context.Background(), "alias", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 1}, func(sdk.Event) error { return nil }); err != nil {
			t.Errorf("by its alias: %v", err)
		}
		var unknown *UnknownModel
		if err := w.Generate(context.Background(), "x", sdk.GenerateRequest{}, nil); !errors.As(err, &unknown) || unknown.Known[0] != "m" {
			t.Errorf("an unknown model: %v", err)
		}
	})
}

func TestADeathWhileLoadingCountsAsAFailedStart(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(_ context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			if p.number < 3 {
				p.die(syscall.SIGBUS)
			}
			return nil
		}
		return nil
	}, func(w *world) {
		w.ask(100, 3).complete(w, 100, 3)
		if got, want := w.startTimes(), []time.Duration{0, 0, time.Second}; !slices.Equal(got, want) {
			t.Errorf("starts at %v, want %v", got, want)
		}
	})
}

func TestARequestWaitsForALoadingModelButNotForEver(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(ctx context.Context, _ *fakeProcess, _ sdk.LoadRequest, progress func(sdk.Progress)) error {
			progress(sdk.Progress{Stage: "map", Done: 30e6, Total: 90e6})
			select {
			case <-time.After(15 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}, func(w *world) {
		begin := time.Now()
		early := w.ask(100, 3)
		time.Sleep(8 * time.Second)
		late := w.ask(200, 3)
		early.wait(w)
		var e *Unavailable
		if !errors.As(early.err, &e) || e.State != StateLoading || e.Reason != "map, 30 of 90 MB" || time.Since(begin) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), early.err)
		}
		late.complete(w, 200, 3)
		if took := time.Since(begin); took != 15*time.Second {
			t.Errorf("the late one was answered after %v", took)
		}
	})
}

func TestDrainLetsRunningRequestsFinish(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		running := w.ask(100, 5)
		time.Sleep(1500 * time.Millisecond)
		closing, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			w.Close(closing)
		}()
		synctest.Wait()
		late := w.ask(200, 1)
		late.wait(w)
		var e *Unavailable
		if !errors.As(late.err, &e) || e.State != StateDraining || !w.Draining() {
			t.Errorf("a new request: %v", late.err)
		}
		running.complete(w, 100, 5)
		<-closed
	})
}

func TestDrainCutsWhatDoesNotFinish(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		running := w.ask(100, 50)
		time.Sleep(1500 * time.Millisecond)
		closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.Close(closing)
		running.wait(w)
		var e *Unavailable
		if !errors.As(running.err, &e) || e.State != StateDraining || running.text != "100 101 102 103 104 105 " {
			t.Errorf("%q, %v", running.text, running.err)
		}
	})
}

// slow makes a token a second.
func slow(p *fakeProcess) error {
	p.before = func(ctx context.Context, _ *fakeProcess, _ sdk.GenerateRequest, _ int) {
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return nil
}

func TestAClientThatLeavesEndsItsRequestAtOnce(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		ctx, cancel := context.WithCancel(context.Background())
		o := w.askWith(ctx, sdk.GenerateRequest{Tokens: []int32{100}, MaxTokens: 50}, nil)
		time.Sleep(2500 * time.Millisecond)
		begin := time.Now()
		cancel()
		o.wait(w)
		if !errors.Is(o.err, context.Canceled) || time.Since(begin) != 0 {
			t.Errorf("%v after %v", o.err, time.Since(begin))
		}
		stuck := errors.New("the pipe is broken")
		o = w.askWith(context.Background(), sdk.GenerateRequest{Tokens: []int32{100}, MaxTokens: 50}, func(sdk.Event) error { return stuck })
		o.wait(w)
		if !errors.Is(o.err, stuck) {
			t.Errorf("the receiver's error came back as %v", o.err)
		}
		synctest.Wait()
		if s := w.Models()[0]; s.Running != 0 || s.Waiting != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestOrdersAreAnsweredAndBudgetsOutliveTheProcess(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.order = func(o sdk.Order) sdk.Report {
			if o.Move != nil && o.Move.Module != "layers.1" {
				return sdk.Report{Done: &sdk.OrderDone{Error: "no module " + o.Move.Module}}
			}
			return sdk.Report{Moves: 1, Modules: []sdk.ModuleReport{{ID: "layers.1"}}, StateUsed: 0.5}
		}
		return nil
	}, func(w *world) {
		ctx := context.Background()
		r, err := w.Order(ctx, "m", sdk.Order{Query: &sdk.QueryOrder{}})
		if err != nil || len(r.Modules) != 1 {
			t.Errorf("query: %+v, %v", r, err)
		}
		if s := w.Models()[0].Report; s.Moves != 1 || s.StateUsed != 0.5 || s.Modules != nil {
			t.Errorf("the newest report: %+v", s)
		}
		if _, err := w.Order(ctx, "m", sdk.Order{Move: &sdk.MoveOrder{Module: "layers.9"}}); err == nil || !strings.Contains(err.Error(), "no module layers.9") {
			t.Errorf("a refused order: %v", err)
		}
		want := []sdk.DeviceBudget{{Name: "cpu"}, {Name: "far", Bytes: 1000}}
		if got := w.process(1).loaded.Devices; !reflect.DeepEqual(got, want) {
			t.Errorf("the first load got %v", got)
		}
		if _, err := w.Order(ctx, "m", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 300}}); err != nil {
			t.Fatal(err)
		}
		w.process(1).die(syscall.SIGKILL)
		synctest.Wait()
		want[1].Bytes = 300
		if got := w.process(2).loaded.Devices; !reflect.DeepEqual(got, want) {
			t.Errorf("the second load got %v", got)
		}
	})
}

// An order on its way when the process dies is answered by the death.
func TestAnOrderToADyingProcessFails(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.reports = nil // it never says a word
		return nil
	}, func(w *world) {
		failed := make(chan error)
		go func() {
			_, err := w.Order(context.Background(), "m", sdk.Order{Query: &sdk.QueryOrder{}})
			failed <- err
		}()
		synctest.Wait()
		w.process(1).die(syscall.SIGKILL)
		if err := <-failed; !errors.Is(err, client.ErrGone) {
			t.Errorf("got %v", err)
		}
	})
}

func TestBudgetsDivideADeviceAmongItsUsers(t *testing.T) {
	c := &config.Config{
		Devices: []config.Device{{Name: "cpu", Memory: 90}, {Name: "far", Memory: 101, Copy: 2e9, Read: 3e9}},
		Models: []config.Model{
			{ID: "a", Devices: []string{"cpu", "far"}},
			{ID: "b", Devices: []string{"cpu", "far"}, Priority: 5},
			{ID: "c", Devices: []string{"cpu"}},
		},
	}
	far := func(n int64) sdk.DeviceBudget {
		return sdk.DeviceBudget{Name: "far", Bytes: n, CopyRate: 2e9, ReadRate: 3e9}
	}
	cpu := sdk.DeviceBudget{Name: "cpu"} // its share comes with the load
	want := map[string][]sdk.DeviceBudget{"a": {cpu, far(50)}, "b": {cpu, far(51)}, "c": {cpu}}
	if got := Budgets(c); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// An order that the plugin does not answer ends at its deadline; a budget has one of its own, and whoever gives the order may set
// another. What is not even read is not piled up.
func TestAnOrderEndsAtItsDeadline(t *testing.T) {
	for name, setup := range map[string]func(p *fakeProcess) error{
		"mute": func(p *fakeProcess) error { p.mute = true; return nil },
		"deaf": func(p *fakeProcess) error { p.deaf = true; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, setup, func(w *world) {
				short, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				defer cancel()
				for _, c := range []struct {
					ctx         context.Context
					order       sdk.Order
					after, said time.Duration
				}{
					{short, sdk.Order{Move: &sdk.MoveOrder{}}, 3 * time.Second, 3 * time.Second},
					{context.Background(), sdk.Order{Move: &sdk.MoveOrder{}}, orderTime, orderTime},
					{context.Background(), sdk.Order{Query: &sdk.QueryOrder{}}, orderTime, orderTime},
					{context.Background(), sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 7, Deadline: 5 * time.Second}}, 5*time.Second + orderGrace, 5 * time.Second},
				} {
					began := time.Now()
					_, err := w.Order(c.ctx, "m", c.order)
					var late *Unanswered
					if !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) || late.After != c.said || time.Since(began) != c.after {
						t.Errorf("%+v: after %v: %v", c.order, time.Since(began), err)
					}
				}
				if got := w.models[0].devices[1].Bytes; got != 1000 {
					t.Errorf("a budget that nobody confirmed is remembered: %d", got)
				}
				if !w.process(1).deaf {
					return
				}
				var refused int
				for range 2 * maxOrders {
					ctx, cancel := context.WithCancel(context.Background())
					cancel()
					if _, err := w.Order(ctx, "m", sdk.Order{Query: &sdk.QueryOrder{}}); sdk.ReasonOf(err) == sdk.ReasonOverloaded {
						refused++
					}
				}
				if refused < maxOrders {
					t.Errorf("%d of %d orders were refused", refused, 2*maxOrders)
				}
			})
		})
	}
}

// A budget that is ordered while the model loads is the next Load's: the one under way reads what it was given.
func TestABudgetDuringALoadIsTheNextOnes(t *testing.T) {
	var loading chan []sdk.DeviceBudget
	inWorld(t, func(p *fakeProcess) error {
		if p.number == 1 {
			loading = make(chan []sdk.DeviceBudget) // of the bubble
		}
		p.load = func(ctx context.Context, p *fakeProcess, req sdk.LoadRequest, _ func(sdk.Progress)) error {
			if p.number == 1 {
				time.Sleep(time.Minute)
			}
			loading <- req.Devices
			return nil
		}
		return nil
	}, func(w *world) {
		if _, err := w.Order(context.Background(), "m", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 300}}); err != nil {
			t.Fatal(err)
		}
		if d := <-loading; d[1].Bytes != 1000 {
			t.Errorf("the Load under way sees %v", d)
		}
		synctest.Wait()
		w.process(1).die(syscall.SIGKILL)
		if d := <-loading; d[1].Bytes != 300 {
			t.Errorf("the next one sees %v", d)
		}
	})
}
