package schedule

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// next is a copy of the host's configuration with other models.
func (w *world) next(models ...config.Model) *config.Config {
	c := *w.Config()
	c.Models = models
	return &c
}

// known are the models' ids and states.
func (w *world) known() map[string]State {
	states := map[string]State{}
	for _, s := range w.Models() {
		states[s.ID] = s.State
	}
	return states
}

func apply(t *testing.T, w *world, c *config.Config, want Changes) {
	t.Helper()
	got, err := w.Apply(c)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("changes %+v, %v; want %+v", got, err, want)
	}
	synctest.Wait()
}

func TestAModelComesAndGoesWhileAnotherAnswers(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		old := w.Config().Models[0]
		stream := w.ask(100, 20)
		time.Sleep(1500 * time.Millisecond)
		apply(t, w, w.next(config.Model{ID: "new", Devices: []string{"cpu"}}, old), Changes{Added: []string{"new"}})
		other := w.askModel(context.Background(), "new", sdk.GenerateRequest{Tokens: []int32{500}, MaxTokens: 4}, nil)
		time.Sleep(1500 * time.Millisecond)
		apply(t, w, w.next(old), Changes{Removed: []string{"new"}}) // waits for its request
		other.complete(w, 500, 4)
		if !w.process(2).ended() || len(w.Models()) != 1 {
			t.Errorf("it is not gone: %v", w.known())
		}
		var unknown *UnknownModel
		if err := w.Generate(context.Background(), "new", sdk.GenerateRequest{}, nil); !errors.As(err, &unknown) {
			t.Errorf("a model that is gone: %v", err)
		}
		stream.complete(w, 100, 20)
		if s := w.Models()[0]; s.Starts != 1 {
			t.Errorf("the one that stayed: %+v", s)
		}
	})
}

func TestARemovedModelsRequestsAreCutInTheEnd(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		w.Config().Server.Drain = 5 * time.Second
		other := config.Model{ID: "other", Devices: []string{"cpu"}}
		apply(t, w, w.next(append(w.Config().Models, other)...), Changes{Added: []string{"other"}})
		stream := w.ask(100, 50)
		time.Sleep(1500 * time.Millisecond)
		begin := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			apply(t, w, w.next(other), Changes{Removed: []string{"m"}})
		}()
		synctest.Wait()
		if got, want := w.known(), (map[string]State{"m": StateDraining, "other": StateReady}); !reflect.DeepEqual(got, want) {
			t.Errorf("during the drain %v", got)
		}
		for _, order := range []func(context.Context, string) error{w.StartModel, w.RestartModel, w.StopModel} {
			if err := order(context.Background(), "m"); err == nil {
				t.Error("a model on its way out took an order")
			}
		}
		<-done
		<-stream.done
		var e *Unavailable
		if !errors.As(stream.err, &e) || e.State != StateStopped || !strings.Contains(e.Reason, "no longer in models.toml") || time.Since(begin) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), stream.err)
		}
	})
}

// An entry that differs finishes its requests with the process they began with; requests that come meanwhile wait for the
// next one. Two that differ do so one after the other.
func TestChangedEntriesAreReplacedOneAfterTheOther(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		a := w.Config().Models[0]
		b := config.Model{ID: "b", Devices: []string{"cpu"}}
		apply(t, w, w.next(a, b), Changes{Added: []string{"b"}})
		onA, onB := w.ask(100, 5), w.askModel(context.Background(), "b", sdk.GenerateRequest{Tokens: []int32{200}, MaxTokens: 8}, nil)
		time.Sleep(1500 * time.Millisecond)
		a.Context, b.Context = 50, 60
		done := make(chan struct{})
		go func() {
			defer close(done)
			apply(t, w, w.next(a, b), Changes{Changed: []string{"m", "b"}})
		}()
		synctest.Wait()
		late := w.ask(300, 2)
		lateB := w.askModel(context.Background(), "b", sdk.GenerateRequest{Tokens: []int32{400}, MaxTokens: 1}, nil)
		lateB.complete(w, 400, 1) // b still answers as it was
		if w.process(2).ended() {
			t.Error("both were ended at once")
		}
		onA.complete(w, 100, 5)
		late.complete(w, 300, 2)
		onB.complete(w, 200, 8)
		<-done
		if p, q := w.process(3), w.process(4); p.entry.Context != 50 || q.entry.Context != 60 || p.aboard+q.aboard != 0 {
			t.Errorf("new processes of %+v and %+v", p.entry, q.entry)
		}
	})
}

// A changed entry that does not start is quarantined; the next configuration mends it.
func TestAChangeForTheWorseAndBack(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		if p.entry.Context > 100 {
			return &StartFailure{Err: errors.New("too long"), Final: true}
		}
		return nil
	}, func(w *world) {
		m := w.Config().Models[0]
		m.Context = 1000
		apply(t, w, w.next(m), Changes{Changed: []string{"m"}})
		if s := w.Models()[0]; s.State != StateQuarantined || s.Reason != "too long" {
			t.Errorf("status %+v", s)
		}
		m.Context = 100
		apply(t, w, w.next(m), Changes{Changed: []string{"m"}})
		w.ask(100, 3).complete(w, 100, 3)
	})
}

// Another name, another line and another order are no reason to restart.
func TestAliasesChangeWithoutARestart(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		stream := w.ask(100, 5)
		time.Sleep(1500 * time.Millisecond)
		m := w.Config().Models[0]
		m.Aliases, m.Line = []string{"nick"}, 77
		apply(t, w, w.next(m), Changes{})
		var unknown *UnknownModel
		if _, err := w.Tokenize(context.Background(), "alias", "x"); !errors.As(err, &unknown) {
			t.Errorf("by its old alias: %v", err)
		}
		if _, err := w.Tokenize(context.Background(), "nick", "x"); err != nil {
			t.Errorf("by its new alias: %v", err)
		}
		stream.complete(w, 100, 5)
		if n := len(w.startTimes()); n != 1 {
			t.Errorf("%d starts", n)
		}
	})
}

// What an operator has stopped stays stopped.
func TestAStoppedModelStaysStoppedWhenItsEntryChanges(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		if err := w.StopModel(context.Background(), "m"); err != nil {
			t.Fatal(err)
		}
		m := w.Config().Models[0]
		m.Context = 50
		apply(t, w, w.next(m), Changes{Changed: []string{"m"}})
		if s := w.Models()[0]; s.State != StateStopped || len(w.startTimes()) != 1 {
			t.Errorf("status %+v", s)
		}
		if err := w.StartModel(context.Background(), "m"); err != nil || w.process(2).entry.Context != 50 {
			t.Errorf("%v", err)
		}
	})
}

// A device that another entry comes to use is divided anew: by order, and where that is refused by a restart that moves
// the requests.
func TestAnEntryThatComesTakesItsShareOfADevice(t *testing.T) {
	for name, c := range map[string]struct {
		refusal string
		starts  int
	}{"obeyed": {"", 1}, "refused": {"700 bytes cannot be freed", 2}} {
		inWorld(t, func(p *fakeProcess) error {
			p.order = func(o sdk.Order) sdk.Report { return sdk.Report{Done: &sdk.OrderDone{Error: c.refusal}} }
			return slow(p)
		}, func(w *world) {
			stream := w.ask(100, 9)
			time.Sleep(1500 * time.Millisecond)
			apply(t, w, w.next(w.Config().Models[0], config.Model{ID: "b", Devices: []string{"cpu", "far"}}), Changes{Added: []string{"b"}})
			stream.complete(w, 100, 9)
			if s := w.Models()[0]; s.Starts != c.starts || s.Deaths != 0 {
				t.Errorf("%s: status %+v", name, s)
			}
			m, b := w.models[0], w.models[1]
			if m.devices[1].Bytes+b.devices[1].Bytes != 1000 {
				t.Errorf("%s: %v and %v of 1000", name, m.devices, b.devices)
			}
		})
	}
}

// What an operator has ordered is no matter of models.toml: a file that says of the device what it said leaves it.
func TestABudgetThatWasOrderedOutlivesAReload(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		if _, err := w.Order(context.Background(), "m", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 300}}); err != nil {
			t.Fatal(err)
		}
		apply(t, w, w.next(w.Config().Models...), Changes{})
		w.process(1).die(syscall.SIGKILL)
		synctest.Wait()
		if got := w.process(2).loaded.Devices[1].Bytes; got != 300 {
			t.Errorf("the next process got %d bytes", got)
		}
	})
}

// Memory that comes free ends the wait of those that lack it.
func TestMemoryThatComesFreeStartsAModelThatLackedIt(t *testing.T) {
	full := true
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
			if p.entry.ID == "b" && full {
				return sdk.Errorf(sdk.ReasonMemory, "2 GB lack")
			}
			return nil
		}
		return nil
	}, func(w *world) {
		apply(t, w, w.next(w.Config().Models[0], config.Model{ID: "b", Devices: []string{"cpu"}}), Changes{Added: []string{"b"}})
		if s := w.known(); s["b"] != StateQuarantined {
			t.Fatalf("states %v", s)
		}
		full = false
		begin := time.Now()
		if err := w.StopModel(context.Background(), "m"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := w.known(); s["b"] != StateReady || time.Since(begin) != 0 {
			t.Errorf("states %v after %v", s, time.Since(begin))
		}
	})
}

func TestAHostThatDrainsTakesNoConfiguration(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		c := w.Config()
		w.Close(context.Background())
		if _, err := w.Apply(c); !errors.Is(err, errNotRunning) {
			t.Errorf("got %v", err)
		}
	})
}
