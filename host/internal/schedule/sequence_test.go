package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

func (w *world) open() string {
	w.t.Helper()
	s, err := w.OpenSequence(context.Background(), "m")
	if err != nil {
		w.t.Fatal(err)
	}
	return s.ID
}

// step appends tokens and expects the logits of the last one.
func (w *world) step(id string, replayed bool, calls ...[]int32) {
	w.t.Helper()
	r, err := w.Forward(context.Background(), id, calls[len(calls)-1], nil)
	rows := rowsOf(calls)
	if err != nil || !slices.Equal(r.Logits, rows[len(rows)-1]) || r.Length != len(rows) || r.Replayed != replayed {
		w.t.Errorf("call %d: %+v, %v; want the logits %v of %d tokens, replayed %v", len(calls), r, err, rows[len(rows)-1], len(rows), replayed)
	}
}

func ids(list ...int32) []int32 { return list }

func reasonIs(t *testing.T, what string, err error, want sdk.Reason, words string) {
	t.Helper()
	if err == nil || sdk.ReasonOf(err) != want || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v; want %s with %q", what, err, want, words)
	}
}

func TestASequenceIsAppendedTo(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		s, err := w.OpenSequence(context.Background(), "alias")
		if err != nil || s.Model != "m" || s.Idle != 5*time.Minute || len(s.ID) < 26 {
			t.Errorf("%+v, %v", s, err)
		}
		w.step(s.ID, false, ids(1, 2, 3))
		w.step(s.ID, false, ids(1, 2, 3), ids(4))
		r, err := w.Forward(context.Background(), s.ID, ids(5, 6), []int{1, 0, 1})
		want := rowsOf([][]int32{ids(1, 2, 3), ids(4), ids(5, 6)})
		if err != nil || !slices.Equal(r.Logits, slices.Concat(want[5], want[4], want[5])) {
			t.Errorf("rows in an order: %+v, %v; want of %v", r, err, want)
		}
		if err := w.CloseSequence(context.Background(), s.ID); err != nil {
			t.Error(err)
		}
		_, err = w.Forward(context.Background(), s.ID, ids(7), nil)
		reasonIs(t, "a closed one", err, sdk.ReasonNotFound, "no such sequence")
		synctest.Wait()
		if n := len(w.process(1).sequences); n != 0 {
			t.Errorf("the plugin has %d sequences", n)
		}
		var unknown *UnknownModel
		if _, err := w.OpenSequence(context.Background(), "none"); !errors.As(err, &unknown) {
			t.Errorf("an unknown model: %v", err)
		}
	})
}

func TestAForkGoesOnAlone(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		a := w.open()
		w.step(a, false, ids(1, 2))
		w.step(a, false, ids(1, 2), ids(3))
		f, err := w.ForkSequence(context.Background(), a)
		if err != nil {
			t.Fatal(err)
		}
		w.step(f.ID, false, ids(1, 2), ids(3), ids(9))
		w.step(a, false, ids(1, 2), ids(3), ids(4))
		if err := w.CloseSequence(context.Background(), a); err != nil {
			t.Error(err)
		}
		w.step(f.ID, false, ids(1, 2), ids(3), ids(9), ids(8))
		w.process(1).die(syscall.SIGKILL)
		w.step(f.ID, true, ids(1, 2), ids(3), ids(9), ids(8), ids(7))
	})
}

// After a death a fork of what no process has is brought there when it is used, and so is its origin.
func TestAForkAfterADeath(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		a, empty := w.open(), w.open()
		w.step(a, false, ids(1, 2))
		w.process(1).die(syscall.SIGKILL)
		f, err := w.ForkSequence(context.Background(), a)
		if err != nil {
			t.Fatal(err)
		}
		w.step(f.ID, true, ids(1, 2), ids(3))
		w.step(a, true, ids(1, 2), ids(4))
		w.step(empty, false, ids(5)) // nothing was lost
	})
}

// What the first call appended is computed in another form than the rest: a replay keeps them apart.
func TestASequenceSurvivesADeathAtEveryCall(t *testing.T) {
	calls := [][]int32{ids(1, 2, 3), ids(4), ids(5, 6), ids(7)}
	for at := range calls {
		for _, during := range []bool{false, true} {
			t.Run(fmt.Sprint(at, during), func(t *testing.T) {
				inWorld(t, func(p *fakeProcess) error {
					p.forward = func(_ context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
						if during && p.number == 1 && slices.Equal(req.Tokens, calls[at]) {
							p.die(syscall.SIGKILL)
						}
						return nil
					}
					return nil
				}, func(w *world) {
					id := w.open()
					for i := range calls {
						if !during && i == at {
							w.process(1).die(syscall.SIGKILL)
						}
						w.step(id, i == at && at > 0, calls[:i+1]...)
					}
					if n := len(w.process(2).sequences[id+".2"]); n != len(calls)-max(at-2, 0) {
						t.Errorf("the next process was called %d times", n)
					}
				})
			})
		}
	}
}

// A call that kills each process it is made of fails, and the sequence goes on without it.
func TestACallThatKillsFails(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.forward = func(_ context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
			if req.Tokens[0] == 66 {
				p.die(syscall.SIGSEGV)
			}
			return nil
		}
		return nil
	}, func(w *world) {
		id := w.open()
		w.step(id, false, ids(1, 2))
		_, err := w.Forward(context.Background(), id, ids(66), nil)
		reasonIs(t, "poison", err, sdk.ReasonInternal, "died 4 times over this request")
		w.step(id, true, ids(1, 2), ids(3))
	})
}

// A call that its client gives up has appended nothing, whatever the plugin did with it.
func TestACallThatIsGivenUpHasAppendedNothing(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.forward = func(ctx context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
			if req.Tokens[0] == 66 {
				<-ctx.Done()
				p.mu.Lock()
				p.sequences[req.Sequence] = append(p.sequences[req.Sequence], req.Tokens)
				p.mu.Unlock()
				return ended(ctx)
			}
			return nil
		}
		return nil
	}, func(w *world) {
		id := w.open()
		w.step(id, false, ids(1, 2))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := w.Forward(ctx, id, ids(66), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		w.step(id, true, ids(1, 2), ids(3))
		synctest.Wait()
		if n := len(w.process(1).sequences); n != 1 {
			t.Errorf("the plugin has %d sequences", n)
		}
	})
}

// A process that has given logits, or a vector, was of use: the next start comes at once.
func TestLogitsEndTheBackoff(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		id := w.open()
		for i := range 8 {
			if i%2 == 0 {
				w.step(id, i > 0, append(slices.Repeat([][]int32{ids(1)}, i/2), ids(1))...)
			} else if _, err := w.Embed(context.Background(), "m", sdk.EmbedRequest{Texts: []string{"a"}}); err != nil {
				t.Error(err)
			}
			w.process(i + 1).die(syscall.SIGKILL)
			synctest.Wait()
		}
		if n := w.startTimes(); len(n) != 9 || n[8] != 0 {
			t.Errorf("starts at %v", n)
		}
	})
}

// What the plugin refuses leaves the sequence as it was; what it loses, or miscounts, is computed again.
func TestWhatAPluginDoesWithASequence(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.forward = func(_ context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
			switch p.mu.Lock(); req.Tokens[0] {
			case 66:
				p.mu.Unlock()
				return sdk.Errorf(sdk.ReasonInvalid, "there is no id 66")
			case 67:
				clear(p.sequences)
			case 68:
				p.sequences[req.Sequence] = append(p.sequences[req.Sequence], ids(1))
			}
			p.mu.Unlock()
			return nil
		}
		return nil
	}, func(w *world) {
		id := w.open()
		w.step(id, false, ids(1, 2))
		_, err := w.Forward(context.Background(), id, ids(66), nil)
		reasonIs(t, "refused", err, sdk.ReasonInvalid, "no id 66")
		w.step(id, false, ids(1, 2), ids(3))
		other := w.open()
		_, err = w.Forward(context.Background(), other, ids(67), nil)
		reasonIs(t, "lost every time", err, sdk.ReasonNotFound, "no sequence")
		w.step(id, true, ids(1, 2), ids(3), ids(4))
		_, err = w.Forward(context.Background(), id, ids(68), nil)
		reasonIs(t, "miscounted", err, sdk.ReasonInternal, "says that the sequence has 6 positions; it has 5")
		w.step(id, true, ids(1, 2), ids(3), ids(4), ids(5))
	})
}

func TestWhatIsNotSentToAPlugin(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error { p.vocab = 1 << 20; return nil }, func(w *world) {
		id := w.open()
		w.step(id, false, ids(1, 2))
		for _, c := range []struct {
			tokens []int32
			rows   []int
			reason sdk.Reason
			words  string
		}{
			{nil, nil, sdk.ReasonInvalid, "at least one token id"},
			{ids(1), []int{1}, sdk.ReasonInvalid, "rows has 1, and there are 1 tokens"},
			{ids(1), []int{-1}, sdk.ReasonInvalid, "rows has -1"},
			{make([]int32, 1<<20-1), nil, sdk.ReasonContext, "the sequence has 2 tokens and would have 1048577"},
			{make([]int32, 16), make([]int, 16), sdk.ReasonInvalid, "rows has 16 elements; a plugin can send the logits of at most 15 rows at once"},
		} {
			_, err := w.Forward(context.Background(), id, c.tokens, c.rows)
			reasonIs(t, c.words, err, c.reason, c.words)
		}
		w.step(id, false, ids(1, 2), ids(3))
	})
}

// Calls on one sequence come one after the other, each whole.
func TestCallsOnOneSequenceAreSerialised(t *testing.T) {
	var mu sync.Mutex
	running, most := 0, 0
	inWorld(t, func(p *fakeProcess) error {
		p.forward = func(context.Context, *fakeProcess, sdk.ForwardRequest) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}
		return nil
	}, func(w *world) {
		id := w.open()
		lengths := make(chan int, 5)
		for range 5 {
			go func() {
				r, err := w.Forward(context.Background(), id, ids(1, 2), nil)
				if err != nil {
					t.Error(err)
				}
				lengths <- r.Length
			}()
		}
		for i := range 5 {
			if n := <-lengths; n != 2*i+2 {
				t.Errorf("answer %d: length %d", i, n)
			}
		}
		if most != 1 {
			t.Errorf("%d at once", most)
		}
	})
}

func TestASequenceWithoutCallsIsClosed(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.forward = func(context.Context, *fakeProcess, sdk.ForwardRequest) error {
			time.Sleep(9 * time.Minute) // a call is no pause
			return nil
		}
		return nil
	}, func(w *world) {
		id := w.open()
		time.Sleep(5*time.Minute - time.Second)
		w.step(id, false, ids(1))
		time.Sleep(5*time.Minute - time.Second)
		w.step(id, false, ids(1), ids(2))
		time.Sleep(5*time.Minute + time.Second)
		synctest.Wait()
		_, err := w.Forward(context.Background(), id, ids(3), nil)
		reasonIs(t, "too late", err, sdk.ReasonNotFound, "server.sequence_idle")
		if n := len(w.process(1).sequences); n != 0 {
			t.Errorf("the plugin has %d sequences", n)
		}
	})
}

func TestOpenSequencesAreBounded(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		w.Config().Server.MaxOpenSequences = 2
		a := w.open()
		w.open()
		_, err := w.OpenSequence(context.Background(), "m")
		reasonIs(t, "a third", err, sdk.ReasonOverloaded, "2 open sequences, the most it may (server.max_open_sequences)")
		_, err = w.ForkSequence(context.Background(), a)
		reasonIs(t, "a fork", err, sdk.ReasonOverloaded, "server.max_open_sequences")
		if err := w.CloseSequence(context.Background(), a); err != nil {
			t.Error(err)
		}
		w.open()
		time.Sleep(5*time.Minute + time.Second)
		w.open()
		w.open()
	})
}

// A restart is a death that the host wanted; a stop ends sequences, and says so as long as somebody may ask.
func TestOrdersAndSequences(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		id := w.open()
		w.step(id, false, ids(1, 2))
		if err := w.RestartModel(context.Background(), "m"); err != nil {
			t.Fatal(err)
		}
		w.step(id, true, ids(1, 2), ids(3))
		if err := w.StopModel(context.Background(), "m"); err != nil {
			t.Fatal(err)
		}
		_, err := w.Forward(context.Background(), id, ids(4), nil)
		reasonIs(t, "stopped", err, sdk.ReasonNotFound, `closed with its model "m": an operator stopped it`)
		if err := w.StartModel(context.Background(), "m"); err != nil {
			t.Fatal(err)
		}
		_, err = w.Forward(context.Background(), id, ids(4), nil)
		reasonIs(t, "started again", err, sdk.ReasonNotFound, `closed with its model "m"`)
		time.Sleep(6 * time.Minute)
		_, err = w.Forward(context.Background(), id, ids(4), nil)
		reasonIs(t, "later", err, sdk.ReasonNotFound, "no such sequence")
	})
}

// A reload ends the sequences of an entry that differs, with the reason; others go on in the process that they have.
func TestAReloadAndSequences(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		old := w.Config().Models[0]
		id := w.open()
		w.step(id, false, ids(1, 2))
		apply(t, w, w.next(old, config.Model{ID: "new", Devices: []string{"cpu"}}), Changes{Added: []string{"new"}})
		w.step(id, false, ids(1, 2), ids(3))
		changed := old
		changed.Threads = 3
		apply(t, w, w.next(changed), Changes{Changed: []string{"m"}, Removed: []string{"new"}})
		_, err := w.Forward(context.Background(), id, ids(4), nil)
		reasonIs(t, "changed", err, sdk.ReasonNotFound, `closed with its model "m": its entry in models.toml was changed`)
		w.step(w.open(), false, ids(1))
	})
}

// A call that runs when its model is stopped is waited for, and then told.
func TestADrainWaitsForACallAndEndsIt(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.forward = func(ctx context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
			if req.Tokens[0] == 66 {
				<-ctx.Done()
				return ended(ctx)
			}
			time.Sleep(30 * time.Second)
			return nil
		}
		return nil
	}, func(w *world) {
		a, b := w.open(), w.open()
		told := make(chan error, 1)
		go func() {
			_, err := w.Forward(context.Background(), b, ids(66), nil)
			told <- err
		}()
		go w.step(a, false, ids(1))
		synctest.Wait()
		if err := w.StopModel(context.Background(), "m"); err != nil {
			t.Error(err)
		}
		if err := <-told; !strings.Contains(fmt.Sprint(err), "an operator stopped it") {
			t.Errorf("cut: %v", err)
		}
	})
}

func TestASequenceEndsWithItsWeights(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.weights = fmt.Sprint("weights ", max(p.number, 2))
		p.forward = func(_ context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
			if req.Tokens[0] == 66 && p.number < 3 {
				return sdk.Errorf(sdk.ReasonChanged, "overwritten")
			}
			return nil
		}
		return nil
	}, func(w *world) {
		fresh, begun := w.open(), w.open()
		w.step(begun, false, ids(1))
		w.process(1).die(syscall.SIGKILL)
		w.step(begun, true, ids(1), ids(2)) // of the same weights
		w.step(fresh, false, ids(66))       // the next process has others
		_, err := w.Forward(context.Background(), begun, ids(3), nil)
		reasonIs(t, "begun with others", err, sdk.ReasonChanged, "with other weights after 2 tokens of this sequence")
		w.Config().Server.MaxOpenSequences = 2
		w.open() // the one that ended does not count
	})
}

// A call waits for a model that restarts as a request does, and is told when that is hopeless.
func TestACallWaitsForTheNextProcess(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
			if p.number > 1 {
				time.Sleep(5 * time.Second)
			}
			if p.number > 2 {
				return sdk.Errorf(sdk.ReasonCheckpoint, "it is damaged")
			}
			return nil
		}
		return nil
	}, func(w *world) {
		id := w.open()
		w.step(id, false, ids(1))
		w.process(1).die(syscall.SIGKILL)
		w.step(id, true, ids(1), ids(2))
		w.process(2).die(syscall.SIGKILL)
		var gone *Unavailable
		if _, err := w.Forward(context.Background(), id, ids(3), nil); !errors.As(err, &gone) || gone.State != StateQuarantined {
			t.Errorf("no next process: %v", err)
		}
	})
}

func TestEmbedAsksTheModel(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		r, err := w.Embed(context.Background(), "alias", sdk.EmbedRequest{Texts: []string{"ab", "c"}})
		if err != nil || len(r.Vectors) != 2 || r.Vectors[0][0] != 2 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Clients step and fork while processes die at any time, are restarted by order, lose sequences and refuse calls: no row is ever
// another than its history says, and no call fails but those that were refused.
func TestSequencesAmongDeaths(t *testing.T) {
	for seed := range uint64(20) {
		inWorld(t, func(p *fakeProcess) error {
			p.forward = func(ctx context.Context, p *fakeProcess, req sdk.ForwardRequest) error {
				time.Sleep(time.Duration(req.Tokens[0]%7) * 20 * time.Millisecond)
				p.mu.Lock()
				defer p.mu.Unlock()
				if req.Tokens[0] == 11 && strings.HasSuffix(req.Sequence, ".1") {
					delete(p.sequences, req.Sequence)
				}
				if req.Tokens[0] == 999 {
					return sdk.Errorf(sdk.ReasonInvalid, "no")
				}
				return p.gone(ctx)
			}
			return nil
		}, func(w *world) {
			over := make(chan struct{})
			var work, trouble sync.WaitGroup
			trouble.Go(func() {
				random := rand.New(rand.NewPCG(seed, 0))
				for {
					select {
					case <-over:
						return
					case <-time.After(time.Duration(500+random.IntN(500)) * time.Millisecond):
					}
					w.mu.Lock()
					p := w.procs[len(w.procs)-1]
					w.mu.Unlock()
					p.die(syscall.SIGKILL)
				}
			})
			for client := range uint64(4) {
				work.Go(func() { clientOf(w, rand.New(rand.NewPCG(seed, client+1))) })
			}
			work.Wait()
			close(over)
			trouble.Wait()
		})
	}
}

// clientOf makes calls on a sequence and the forks of it, in turn.
func clientOf(w *world, random *rand.Rand) {
	type branch struct {
		id    string
		calls [][]int32
	}
	branches := []branch{{id: w.open()}}
	for range 15 {
		b := &branches[random.IntN(len(branches))]
		if random.IntN(4) == 0 {
			f, err := w.ForkSequence(context.Background(), b.id)
			if err != nil {
				w.t.Errorf("fork: %v", err)
				return
			}
			branches = append(branches, branch{f.ID, slices.Clone(b.calls)})
			continue
		}
		if random.IntN(5) == 0 {
			_, err := w.Forward(context.Background(), b.id, ids(999), nil)
			reasonIs(w.t, "refused", err, sdk.ReasonInvalid, "no")
			continue
		}
		b.calls = append(b.calls, nil)
		for range 1 + random.IntN(3) {
			b.calls[len(b.calls)-1] = append(b.calls[len(b.calls)-1], 1+random.Int32N(12))
		}
		r, err := w.Forward(context.Background(), b.id, b.calls[len(b.calls)-1], nil)
		rows := rowsOf(b.calls)
		if err != nil || !slices.Equal(r.Logits, rows[len(rows)-1]) || r.Length != len(rows) {
			w.t.Errorf("call %d: %+v, %v; want %v", len(b.calls), r, err, rows[len(rows)-1])
			return
		}
	}
}
