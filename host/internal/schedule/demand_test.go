package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// comes is an entry that is loaded on demand and leaves after five minutes.
func comes(id string) config.Model {
	return config.Model{ID: id, OnDemand: true, KeepAlive: 5 * time.Minute}
}

// costly is a checkpoint that takes 3024 bytes, all that it has use for, and three seconds to load; a token takes one.
func costly(_ string, p *fakeProcess) error {
	p.inspect = takes(2000, 1)
	p.load = func(ctx context.Context, _ *fakeProcess, _ sdk.LoadRequest, progress func(sdk.Progress)) error {
		for n := range int64(3) {
			progress(sdk.Progress{Stage: "weights", Done: n * 1e6, Total: 3e6})
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	p.before = func(context.Context, *fakeProcess, sdk.GenerateRequest, int) { time.Sleep(time.Second) }
	return nil
}

// ask generates n tokens of a model in the background.
func (w *town) ask(ctx context.Context, id string, n int) *outcome {
	o := &outcome{done: make(chan struct{})}
	go func() {
		defer close(o.done)
		o.err = w.Generate(ctx, id, sdk.GenerateRequest{Tokens: []int32{100}, MaxTokens: n}, func(e sdk.Event) error {
			if e.Token != nil {
				o.text += e.Token.Text
			}
			if e.Finish != nil {
				o.finish = e.Finish
			}
			return nil
		})
	}()
	return o
}

// whole fails the test unless o is an answer of n tokens; it waits for it.
func (o *outcome) whole(t *testing.T, n int) {
	t.Helper()
	<-o.done
	if words := len(strings.Fields(o.text)); o.err != nil || o.finish == nil || words != n {
		t.Errorf("%d tokens of %d, finish %v, error %v", words, n, o.finish, o.err)
	}
}

func (w *town) processes(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.procs[id])
}

func TestAModelComesWithItsFirstRequestAndLeaves(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a"), {ID: "b"}}, func(id string, p *fakeProcess) error {
		if id == "b" {
			return nil // takes nothing
		}
		return costly(id, p)
	}, func(w *town) {
		w.stand("a unloaded, b ready 0")
		if p := w.newest("a"); w.processes("a") != 1 || !p.ended() || p.loaded.Path != "" || !w.status("a").Ready() || w.status("a").Share != 0 {
			t.Errorf("before the first request %d processes were there; %+v", w.processes("a"), w.status("a"))
		}
		if !strings.Contains(w.log.String(), `msg="what the model takes when it is loaded" model=a least="3.0 KiB" wanted="3.0 KiB"`) {
			t.Error("what it takes is not told before it is loaded")
		}
		began := time.Now()
		w.ask(context.Background(), "a", 2).whole(t, 2)
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("the first answer took %v", took)
		}
		s := w.status("a")
		if left := time.Until(s.Until); s.State != StateReady || left != 5*time.Minute || s.Share != 3024 || s.Rate != 0.2 || !s.OnDemand {
			t.Errorf("loaded: %+v; it leaves in %v", s, left)
		}
		if s := w.status("b"); !s.Until.IsZero() || s.OnDemand {
			t.Errorf("the other is %+v", s)
		}
		time.Sleep(299 * time.Second)
		late := w.ask(context.Background(), "a", 2)
		synctest.Wait()
		if s := w.status("a"); !s.Until.IsZero() || s.Running != 1 {
			t.Errorf("in use: %+v", s)
		}
		late.whole(t, 2)
		time.Sleep(5*time.Minute - 1)
		w.stand("a ready 3024, b ready 0")
		time.Sleep(1)
		w.stand("a unloaded, b ready 0")
		s = w.status("a")
		if !w.newest("a").ended() || s.PID != 0 || s.Share != 0 || s.Deaths != 0 || s.Reason != "nobody has asked for it for 5m0s" || s.Rate != 0 {
			t.Errorf("unloaded: %+v", s)
		}
		w.ask(context.Background(), "a", 1).whole(t, 1)
		if n := w.processes("a"); n != 3 {
			t.Errorf("%d processes", n)
		}
	})
}

// Who waits for a load hears of it, and may leave; the others go on.
func TestRequestsDuringALoadHearOfItAndMayLeave(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a")}, costly, func(w *town) {
		var heard []string
		patient := w.ask(OnWait(context.Background(), func(s Status) { heard = append(heard, fmt.Sprintf("%s %d", s.State, s.Progress.Done)) }), "a", 1)
		ctx, cancel := context.WithCancel(context.Background())
		other := w.ask(ctx, "a", 1)
		time.Sleep(1500 * time.Millisecond)
		cancel()
		<-other.done
		if !errors.Is(other.err, context.Canceled) || w.status("a").State != StateLoading {
			t.Errorf("%v, the model is %s", other.err, w.status("a").State)
		}
		patient.whole(t, 1)
		if len(heard) < 2 || heard[0] != "loading 1000000" && heard[0] != "loading 0" {
			t.Errorf("heard %q", heard)
		}
	})
}

func TestWhoeverWasUsedLongestAgoMakesRoom(t *testing.T) {
	pinned, first := comes("pinned"), comes("first")
	pinned.Pin, first.Priority = true, 1
	models := []config.Model{pinned, first, comes("a"), comes("b"), comes("c")}
	inTown(t, 4*3024+100, models, costly, func(w *town) {
		for _, id := range []string{"pinned", "first", "a", "b", "a"} {
			w.ask(context.Background(), id, 1).whole(t, 1)
		}
		w.stand("pinned ready 3024, first ready 3024, a ready 3024, b ready 3024, c unloaded")
		w.ask(context.Background(), "c", 1).whole(t, 1) // b is the oldest that is neither pinned nor of a higher priority
		w.stand("pinned ready 3024, first ready 3024, a ready 3024, b unloaded, c ready 3024")
		if s := w.status("b"); s.Reason != "it made room for another model" {
			t.Error(s.Reason)
		}
		w.ask(context.Background(), "b", 1).whole(t, 1)
		w.stand("pinned ready 3024, first ready 3024, a unloaded, b ready 3024, c ready 3024")
	})
}

// An answer under way is waited for, however long it takes and whoever waits; who comes meanwhile waits, too.
func TestRunningAnswersAreWaitedFor(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a"), comes("b")}, costly, func(w *town) {
		w.Config().Server.Wait = 2 * time.Minute
		long := w.ask(context.Background(), "a", 40)
		time.Sleep(10 * time.Second)
		other := w.ask(context.Background(), "b", 2)
		time.Sleep(time.Second)
		again := w.ask(context.Background(), "a", 2)
		synctest.Wait()
		if s := w.status("b"); s.State != StateStarting || s.Reason != "it waits for room: it takes at least 3.0 KiB, and there are a (3.0 KiB)" {
			t.Errorf("b is %s: %q", s.State, s.Reason)
		}
		if s := w.status("a"); s.Running != 1 || s.Waiting != 1 {
			t.Errorf("a has %d running and %d waiting", s.Running, s.Waiting)
		}
		long.whole(t, 40)
		other.whole(t, 2)
		again.whole(t, 2)
		if w.status("a").Deaths+w.status("b").Deaths > 0 || w.newest("a").number != 3 {
			t.Errorf("a is in process %d", w.newest("a").number)
		}
	})
}

// A model that is never idle makes room all the same, and comes back to those who wait for it.
func TestABusyModelDoesNotKeepOthersAway(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a"), comes("b")}, costly, func(w *town) {
		w.Config().Server.Wait = time.Minute
		var all []*outcome
		var other *outcome
		for n := range 60 { // each takes five seconds, and every second one comes
			all = append(all, w.ask(context.Background(), "a", 5))
			if n == 20 {
				other = w.ask(context.Background(), "b", 1)
			}
			time.Sleep(time.Second)
		}
		select {
		case <-other.done:
		default:
			t.Error("the other model was not loaded while requests to the first kept coming")
		}
		other.whole(t, 1)
		for _, o := range all {
			o.whole(t, 5)
		}
	})
}

// Room that somebody else leaves meanwhile is enough: whoever was asked to make some stays.
func TestWhoeverIsFirstMakesRoom(t *testing.T) {
	inTown(t, 2*3024+100, []config.Model{comes("a"), comes("b"), comes("c")}, costly, func(w *town) {
		w.Config().Server.Wait = 2 * time.Minute
		long, short := w.ask(context.Background(), "a", 60), w.ask(context.Background(), "b", 10)
		time.Sleep(5 * time.Second)
		third := w.ask(context.Background(), "c", 1)
		time.Sleep(time.Second)
		more := w.ask(context.Background(), "a", 1) // waits as long as it is not certain that a stays
		short.whole(t, 10)
		third.whole(t, 1)
		more.whole(t, 1)
		select {
		case <-long.done:
			t.Error("the long answer was waited for")
		default:
		}
		long.whole(t, 60)
		w.stand("a ready 3024, b unloaded, c ready 3024")
	})
}

// Twenty entries of which two fit serve whoever comes.
func TestManyModelsTakeTurns(t *testing.T) {
	const entries, requests = 20, 400
	var models []config.Model
	for i := range entries {
		models = append(models, comes(fmt.Sprint("m", i)))
	}
	var mu sync.Mutex
	loaded, most := 0, 0
	inTown(t, 2*3024+500, models, func(id string, p *fakeProcess) error {
		_ = costly(id, p)
		inner, here := p.load, false
		p.load = func(ctx context.Context, p *fakeProcess, req sdk.LoadRequest, progress func(sdk.Progress)) error {
			mu.Lock()
			here = true
			loaded++
			most = max(most, loaded)
			mu.Unlock()
			return inner(ctx, p, req, progress)
		}
		p.unload = func() {
			mu.Lock()
			defer mu.Unlock()
			if here {
				loaded--
			}
		}
		return nil
	}, func(w *town) {
		w.Config().Server.Wait = 2 * time.Minute
		random := rand.New(rand.NewPCG(1, 2))
		type asked struct {
			*outcome
			n int
		}
		var all []asked
		for range requests {
			time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
			n := 1 + random.IntN(4)
			all = append(all, asked{w.ask(context.Background(), fmt.Sprint("m", min(random.IntN(entries), random.IntN(entries))), n), n})
		}
		for _, o := range all {
			o.whole(t, o.n)
		}
		if most != 2 {
			t.Errorf("%d were loaded at once", most)
		}
		for _, s := range w.Models() {
			if s.Deaths > 0 || s.State == StateQuarantined {
				t.Errorf("%s is %s after %d deaths: %s", s.ID, s.State, s.Deaths, s.Reason)
			}
		}
	})
}

// Shares are as if all had come together: who comes first does not take what keeps the others away.
func TestWhoComesFirstLeavesRoom(t *testing.T) {
	sized := func(_ string, p *fakeProcess) error {
		p.inspect = takes(2000, 8) // at least 3024, at most 10192
		return nil
	}
	three := []config.Model{comes("a"), comes("b"), comes("c")}
	inTown(t, 12_000, three, sized, func(w *town) {
		w.stand("a unloaded, b unloaded, c unloaded")
		for _, id := range []string{"b", "a", "c"} {
			w.ask(context.Background(), id, 1).whole(t, 1)
		}
		w.stand("a ready 4000, b ready 4000, c ready 4000")
	})
	inTown(t, 8_000, three, sized, func(w *town) { // two fit
		w.ask(context.Background(), "b", 1).whole(t, 1)
		w.ask(context.Background(), "c", 1).whole(t, 1)
		w.stand("a unloaded, b ready 4000, c ready 4000")
	})
}

// What cannot fit is known before anybody asks, and nobody leaves for it.
func TestWhatCannotFitIsKnownBefore(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a"), comes("large")}, func(id string, p *fakeProcess) error {
		_ = costly(id, p)
		if id == "large" {
			p.inspect = takes(5000, 1)
		}
		return nil
	}, func(w *town) {
		w.ask(context.Background(), "a", 1).whole(t, 1)
		const want = "there is not enough memory for it: it takes at least 5.9 KiB"
		if s := w.status("large"); s.State != StateUnloaded || !strings.HasPrefix(s.Reason, want) {
			t.Errorf("%s: %s", s.State, s.Reason)
		}
		o := w.ask(context.Background(), "large", 1)
		<-o.done
		var e *Unavailable
		if !errors.As(o.err, &e) || !strings.Contains(e.Reason, want) {
			t.Errorf("a request gets %v", o.err)
		}
		w.stand("a ready 3024, large quarantined")
		time.Sleep(3 * time.Minute)
		w.ask(context.Background(), "a", 1).whole(t, 1)
		time.Sleep(3 * time.Minute) // nobody has asked for large again
		w.stand("a ready 3024, large unloaded")
	})
}

// A model that does not load is tried at once when somebody asks again after it was given up.
func TestAFailedLoadIsForgottenWithTime(t *testing.T) {
	broken := true
	inTown(t, 4_000, []config.Model{comes("a")}, func(id string, p *fakeProcess) error {
		_ = costly(id, p)
		if broken {
			p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
				return sdk.Errorf(sdk.ReasonCheckpoint, "a tensor is missing")
			}
		}
		return nil
	}, func(w *town) {
		o := w.ask(context.Background(), "a", 1)
		<-o.done
		var e *Unavailable
		if !errors.As(o.err, &e) || e.State != StateQuarantined || e.Reason != "a tensor is missing" {
			t.Error(o.err)
		}
		time.Sleep(6 * time.Minute)
		w.stand("a unloaded")
		broken = false
		w.ask(context.Background(), "a", 1).whole(t, 1)
	})
}

func TestARequestSaysHowLongItsModelStays(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a"), {ID: "b"}}, func(id string, p *fakeProcess) error {
		if id == "b" {
			return nil
		}
		return costly(id, p)
	}, func(w *town) {
		ctx := context.Background()
		if err := w.Load(KeepAlive(ctx, time.Hour), "a"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Minute)
		w.stand("a ready 3024, b ready 0")
		w.ask(KeepAlive(ctx, -1), "a", 1).whole(t, 1)
		time.Sleep(24 * time.Hour)
		if s := w.status("a"); s.State != StateReady || !s.Until.IsZero() {
			t.Errorf("%+v", s)
		}
		w.ask(KeepAlive(ctx, 0), "a", 1).whole(t, 1)
		w.stand("a unloaded, b ready 0")
		w.ask(ctx, "a", 1).whole(t, 1) // as its entry says, again
		if left := time.Until(w.status("a").Until); left != 5*time.Minute {
			t.Errorf("it leaves in %v", left)
		}
		running := w.ask(ctx, "a", 5)
		synctest.Wait()
		if err := errors.Join(w.Unload("a"), w.Unload("b")); err != nil {
			t.Error(err)
		}
		w.stand("a ready 3024, b unloaded")
		running.whole(t, 5)
		w.stand("a unloaded, b unloaded")
		w.ask(ctx, "b", 1).whole(t, 1)
		var unknown *UnknownModel
		if err := w.Unload("x"); !errors.As(err, &unknown) {
			t.Error(err)
		}
		if err := w.Load(ctx, "x"); !errors.As(err, &unknown) {
			t.Error(err)
		}
	})
}

// A sequence outlives the process that its model had.
func TestSequencesOutliveAnUnload(t *testing.T) {
	inTown(t, 4_000, []config.Model{{ID: "a", OnDemand: true, KeepAlive: time.Minute}}, costly, func(w *town) {
		s, err := w.OpenSequence(context.Background(), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Forward(context.Background(), s.ID, []int32{1, 2, 3}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.stand("a unloaded")
		got, err := w.Forward(context.Background(), s.ID, []int32{4}, nil)
		want := rowsOf([][]int32{{1, 2, 3}, {4}})
		if err != nil || !got.Replayed || got.Length != 4 || !reflect.DeepEqual(got.Logits, want[3]) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// What is loaded at the start is as it always was, until it has been away once.
func TestModelsOfTheStart(t *testing.T) {
	models := []config.Model{{ID: "a"}, {ID: "b", KeepAlive: time.Minute}, {ID: "c", KeepAlive: time.Minute}, comes("d")}
	inTown(t, 2*3024+100, models, costly, func(w *town) {
		time.Sleep(5 * time.Second)
		w.stand("a ready 3024, b ready 3024, c quarantined, d unloaded")
		w.ask(context.Background(), "d", 1).whole(t, 1) // b and a are as old as each other, a is before b
		w.stand("a unloaded, b ready 3024, c quarantined, d ready 3024")
		w.ask(context.Background(), "a", 1).whole(t, 1)
		if s := w.status("a"); s.State != StateReady || !s.OnDemand || !s.Until.IsZero() {
			t.Errorf("a is %+v", s)
		}
		time.Sleep(20 * time.Minute) // b and d have left; c came in their room and has left as well
		w.stand("a ready 3024, b unloaded, c unloaded, d unloaded")
	})
}

func TestOrdersAndModelsThatAreAway(t *testing.T) {
	inTown(t, 4_000, []config.Model{comes("a")}, costly, func(w *town) {
		ctx := context.Background()
		if err := w.StartModel(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		w.stand("a ready 3024")
		time.Sleep(5 * time.Minute)
		w.stand("a unloaded")
		if err := w.StopModel(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		w.stand("a stopped")
		o := w.ask(ctx, "a", 1)
		if <-o.done; o.err == nil {
			t.Error("a model that an operator has stopped was loaded")
		}
		if err := w.RestartModel(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		w.stand("a ready 3024")
		w.newest("a").die(syscall.SIGKILL)
		time.Sleep(4 * time.Second)
		w.stand("a ready 3024")
		if s := w.status("a"); s.Deaths != 1 {
			t.Errorf("%+v", s)
		}
		loading := make(chan error, 1)
		if err := w.Unload("a"); err != nil {
			t.Error(err)
		}
		go func() { loading <- w.StartModel(ctx, "a") }()
		if err := <-loading; err != nil {
			t.Error(err)
		}
	})
}

// How long a model stays is changed without a new process; an entry that is away is changed and taken out as others are.
func TestAReloadOfModelsThatComeAndGo(t *testing.T) {
	inTown(t, 8_000, []config.Model{comes("a"), comes("b"), comes("c")}, costly, func(w *town) {
		w.ask(context.Background(), "a", 1).whole(t, 1)
		next := *w.Config()
		a, b := comes("a"), comes("b")
		a.KeepAlive, b.Context = time.Hour, 500
		a.Devices, b.Devices = []string{"cpu"}, []string{"cpu"}
		next.Models = []config.Model{a, b}
		changes, err := w.Apply(&next)
		if err != nil || !reflect.DeepEqual(changes, Changes{Removed: []string{"c"}, Changed: []string{"b"}}) {
			t.Errorf("%+v, %v", changes, err)
		}
		w.stand("a ready 3024, b unloaded")
		time.Sleep(59 * time.Minute)
		w.stand("a ready 3024, b unloaded")
		if n := w.processes("a"); n != 2 {
			t.Errorf("a has had %d processes", n)
		}
		time.Sleep(2 * time.Minute)
		w.stand("a unloaded, b unloaded")
		start := *w.Config()
		a.OnDemand, a.KeepAlive = false, 0
		start.Models = []config.Model{a, b}
		if _, err := w.Apply(&start); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Second)
		w.stand("a ready 3024, b unloaded")
	})
}
