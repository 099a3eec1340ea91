package schedule

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/status"

	"github.com/inference-pio/inference-pio/sdk"
)

func TestAnAnswerSurvivesADeathAtEveryToken(t *testing.T) {
	const tokens = 6
	for at := range tokens {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			inWorld(t, func(p *fakeProcess) error {
				p.before = func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
					if p.number == 1 && index == at {
						p.die(syscall.SIGKILL)
					}
				}
				return nil
			}, func(w *world) {
				w.ask(100, tokens).complete(w, 100, tokens)
				synctest.Wait()
				if s := w.Models()[0]; s.Deaths != 1 || s.Starts != 2 || s.State != StateReady || s.Running != 0 || s.Waiting != 0 {
					t.Errorf("status %+v", s)
				}
				if n := w.startTimes(); n[1] != n[0] {
					t.Errorf("the first restart came after %v; expected at once", n[1])
				}
			})
		})
	}
}

// An answer that begins from another's ids survives deaths as well: what came since is in what it goes on from.
func TestAnAnswerThatBeganFromIDsSurvivesADeath(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.before = func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
			if p.number == 1 && index == 2 {
				p.die(syscall.SIGKILL)
			}
		}
		return nil
	}, func(w *world) {
		var ids []int32
		req := sdk.GenerateRequest{Chat: &sdk.Chat{}, MaxTokens: 5, Choice: 1, Resume: &sdk.Resume{Prompt: []int32{100}}}
		err := w.Generate(context.Background(), "m", req, func(e sdk.Event) error {
			if e.Start != nil {
				t.Error("a start, where its prompt was known")
			}
			if e.Token != nil {
				ids = append(ids, e.Token.ID)
			}
			return nil
		})
		if err != nil || !slices.Equal(ids, []int32{100, 101, 102, 103, 104}) {
			t.Errorf("%v, %v", ids, err)
		}
		synctest.Wait()
		if s := w.Models()[0]; s.Running != 0 || s.Waiting != 0 {
			t.Errorf("%d run and %d wait", s.Running, s.Waiting)
		}
	})
}

// The request that kills fails alone; those that were on board with it finish, and so does one that came later.
func TestARequestThatKillsFailsAlone(t *testing.T) {
	const poison = 666
	inWorld(t, func(p *fakeProcess) error {
		p.before = func(_ context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
			time.Sleep(time.Second) // so that all run together
			if req.Tokens[0] == poison && index == 2 {
				p.die(syscall.SIGSEGV)
			}
		}
		return nil
	}, func(w *world) {
		first := w.ask(100, 9)
		synctest.Wait() // suspects run in the order they came in
		bad := w.ask(poison, 9)
		synctest.Wait()
		last := w.ask(200, 9)
		time.Sleep(4 * time.Second)
		late := w.askWith(context.Background(), sdk.GenerateRequest{Tokens: []int32{300}, MaxTokens: 3}, nil)
		bad.wait(w)
		var told *sdk.Error
		if !errors.As(bad.err, &told) || told.Reason != sdk.ReasonInternal ||
			!strings.Contains(bad.err.Error(), "died 3 times of this request, the last time after 2 tokens: it was ended by SIGSEGV") {
			t.Errorf("the poison's error: %v", bad.err)
		}
		first.complete(w, 100, 9)
		last.complete(w, 200, 9)
		late.wait(w)
		var busy *Unavailable
		if late.err != nil && !errors.As(late.err, &busy) {
			t.Errorf("a late request: %v", late.err)
		}
		time.Sleep(longestBackoff)
		if s := w.Models()[0]; s.Deaths < 4 || s.Deaths > 5 || s.State != StateReady { // the first may find it alone already
			t.Errorf("%d deaths, %s; expected 2 together and 3 alone", s.Deaths, s.State)
		}
		w.ask(400, 3).complete(w, 400, 3)
	})
}

// While there are suspects a process has one request at a time.
func TestSuspectsRunOneByOne(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.before = func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
			time.Sleep(time.Second)
			if p.number == 1 && index == 4 || p.number == 2 && index == 6 {
				p.die(syscall.SIGKILL)
			}
		}
		return nil
	}, func(w *world) {
		var list []*outcome
		for i := range 4 {
			list = append(list, w.ask(int32(100*i+100), 10))
			synctest.Wait()
		}
		for i, o := range list {
			o.complete(w, int32(100*i+100), 10)
		}
		for n, want := range []int{4, 4, 1} {
			if got := w.process(n + 1).most; got != want {
				t.Errorf("process %d had %d requests at once, want %d", n+1, got, want)
			}
		}
	})
}

// An idle plugin that keeps dying is started again at once the first time, then ever later; an answer in between shows
// that it is of use and begins the count anew.
func TestBackoffGrowsUntilARequestFinishes(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error { return nil }, func(w *world) {
		for n, want := range []time.Duration{0, 1, 2, 4, 8, 16, 30, 30, 0, 1} {
			if n == 8 {
				w.ask(100, 3).complete(w, 100, 3)
			}
			died := time.Now()
			w.process(n + 1).die(syscall.SIGABRT)
			synctest.Wait()
			for len(w.startTimes()) == n+1 {
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
			}
			if got := time.Since(died); got != want*time.Second {
				t.Errorf("restart %d came after %v, want %v", n+1, got, want*time.Second)
			}
		}
	})
}

// A process whose calls fail but that does not exit is killed.
func TestAProcessThatOnlyLooksAliveIsKilled(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.before = func(_ context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
			if p.number == 1 && index == 2 {
				p.mu.Lock()
				p.cutCalls()
				p.mu.Unlock()
			}
		}
		return nil
	}, func(w *world) {
		begin := time.Now()
		w.ask(100, 5).complete(w, 100, 5)
		if e := w.process(1).Exit(); !e.Killed || time.Since(begin) != exitTime {
			t.Errorf("exit %v after %v", e, time.Since(begin))
		}
	})
}

// The kernel says nothing of a frozen process; its requests go on all the same.
func TestAFrozenProcessIsKilledAndItsRequestsGoOn(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		if p.number > 1 {
			return nil
		}
		p.health = func(ctx context.Context) error {
			p.freeze(ctx)
			return status.FromContextError(ctx.Err()).Err()
		}
		p.before = func(ctx context.Context, p *fakeProcess, _ sdk.GenerateRequest, index int) {
			if index == 1 {
				p.freeze(ctx)
			}
		}
		return nil
	}, func(w *world) {
		began := time.Now()
		o := w.ask(100, 3)
		time.Sleep(2*healthEvery - time.Millisecond)
		if s := w.Models()[0]; !s.Ready() || s.Why() != "" {
			t.Errorf("before an answer is missed: %q", s.Why())
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if s := w.Models()[0]; s.Ready() || s.State != StateReady || s.Why() != "its plugin has not answered a health check for 4s" {
			t.Errorf("after an answer was missed: %s, %q", s.State, s.Why())
		}
		time.Sleep(25 * time.Second)
		late := w.ask(200, 3) // waits for the next process
		o.complete(w, 100, 3)
		late.complete(w, 200, 3)
		if took := time.Since(began); took > 35*time.Second {
			t.Errorf("it took %v", took)
		}
		if e := w.process(1).Exit(); !e.Killed || w.process(1).most != 1 {
			t.Errorf("the frozen process: %v, %d requests", e, w.process(1).most)
		}
		if s := w.Models()[0]; !s.Ready() || s.Deaths != 1 {
			t.Errorf("afterwards: %s, %q, %d deaths", s.State, s.Why(), s.Deaths)
		}
	})
}

// A process that answers late, though in time, is not killed; meanwhile nobody is sent there.
func TestAProcessThatAnswersLateIsNotReadyMeanwhile(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		asked := 0
		p.health = func(ctx context.Context) error {
			if asked++; asked == 1 {
				time.Sleep(25 * time.Second)
			}
			return nil
		}
		return nil
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		if s := w.Models()[0]; s.Ready() {
			t.Error("ready without an answer")
		}
		var e *Unavailable
		if o := w.ask(100, 3); true {
			o.wait(w)
			if !errors.As(o.err, &e) || e.State != StateReady || e.Reason != "its plugin has not answered a health check for 16s" {
				t.Errorf("a request meanwhile: %v", o.err)
			}
		}
		time.Sleep(10 * time.Second)
		if s := w.Models()[0]; !s.Ready() || s.Deaths != 0 {
			t.Errorf("after the answer: %s, %q, %d deaths", s.State, s.Why(), s.Deaths)
		}
		w.ask(100, 3).complete(w, 100, 3)
	})
}

// A resumed answer that begins anew or repeats a token is the plugin's mistake and never reaches the client.
func TestNothingReachesTheClientTwice(t *testing.T) {
	for _, wrong := range []sdk.Event{
		{Start: &sdk.Start{}},
		{Token: &sdk.Token{Index: 1, ID: 7, Text: "again"}},
		{Token: &sdk.Token{Index: 3, ID: 7, Text: "skipped"}},
	} {
		f := &flight{model: newModel(New(Options{Config: emptyConfig()}), emptyConfig().Models[0], nil), send: func(sdk.Event) error {
			t.Errorf("%+v was passed on", wrong)
			return nil
		}, start: &sdk.Start{}, ids: []int32{1, 2}}
		if err := f.receive(&life{}, wrong); sdk.ReasonOf(err) != sdk.ReasonInternal {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// When the process dies after the last event nobody minds.
func TestADeathAfterTheFinishIsNoFailure(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error { return nil }, func(w *world) {
		o := w.askWith(context.Background(), sdk.GenerateRequest{Tokens: []int32{100}, MaxTokens: 3}, func(e sdk.Event) error {
			if e.Finish != nil {
				w.process(1).die(syscall.SIGKILL)
			}
			return nil
		})
		o.complete(w, 100, 3)
	})
}

// A resumed answer begins where it stopped: with the prompt as it was read, the ids so far, and inside its reasoning or not.
func TestAResumeBringsBackTheStart(t *testing.T) {
	for _, inside := range []bool{false, true} {
		resumes := make(chan sdk.Resume, 1)
		inWorld(t, func(p *fakeProcess) error {
			p.inside = inside
			p.before = func(_ context.Context, p *fakeProcess, req sdk.GenerateRequest, index int) {
				switch {
				case p.number == 1 && index == 2:
					p.die(syscall.SIGKILL)
				case p.number == 2 && index == 2:
					resumes <- *req.Resume
				}
			}
			return nil
		}, func(w *world) {
			w.ask(100, 4).complete(w, 100, 4)
			want := sdk.Resume{Prompt: []int32{100}, Generated: []int32{100, 101}, InReasoning: inside}
			if got := <-resumes; !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}
