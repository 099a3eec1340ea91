package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// What fails may pass: five quick attempts, then slow ones for ever; in between requests are told when.
func TestAModelThatDoesNotStartIsTriedForEver(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error { return errors.New("exited with status 3 before the handshake") }, func(w *world) {
		waiting := w.ask(100, 3)
		waiting.wait(w)
		var e *Unavailable
		if !errors.As(waiting.err, &e) || e.State != StateQuarantined || e.RetryAfter != firstSlow || !strings.Contains(e.Error(), "exited with status 3") {
			t.Errorf("who waited got %v", waiting.err)
		}
		if s := w.Models()[0]; !s.Retry.Equal(time.Now().Add(firstSlow)) {
			t.Errorf("the next attempt is told for %v, not in %v", s.Retry, firstSlow)
		}
		late := w.ask(200, 3)
		late.wait(w)
		if !errors.As(late.err, &e) || e.RetryAfter != firstSlow {
			t.Errorf("a request in quarantine got %v", late.err)
		}
		time.Sleep(time.Hour)
		want := []time.Duration{0, 0, 1, 3, 7, 22, 52, 112, 232, 472, 772, 1072}
		got := w.startTimes()
		for i, at := range want {
			if got[i] != at*time.Second {
				t.Fatalf("starts at %v, want those at %v s first", got, want)
			}
		}
		if last := got[len(got)-1] - got[len(got)-2]; last != longestSlow {
			t.Errorf("after an hour an attempt comes every %v, want %v", last, longestSlow)
		}
	})
}

// Six kills while loading, as the kernel does when memory runs out, are not the end.
func TestAModelComesBackWhenItsTroubleHasPassed(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(_ context.Context, p *fakeProcess, _ sdk.LoadRequest, _ func(sdk.Progress)) error {
			if p.number <= 6 {
				p.die(syscall.SIGKILL)
			}
			return nil
		}
		return nil
	}, func(w *world) {
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := w.Models()[0]; s.State != StateReady || s.Starts != 7 {
			t.Errorf("status %+v", s)
		}
		w.ask(100, 3).complete(w, 100, 3)
	})
}

// A stream waits for its model while that is tried again, also in quarantine: but not longer than a request waits for one that
// loads, and not for what does not pass.
func TestAStreamWaitsForAModelInQuarantine(t *testing.T) {
	for name, c := range map[string]struct {
		failures int
		err      error
		starts   int // until the stream ends
	}{
		"it comes back":        {6, errors.New("killed while it loaded"), 8},
		"it does not":          {100, errors.New("killed while it loaded"), 8},
		"it cannot come back":  {100, sdk.Errorf(sdk.ReasonCheckpoint, "overwritten"), 2},
		"others have to leave": {6, sdk.Errorf(sdk.ReasonMemory, "2 GB lack"), 4},
	} {
		inWorld(t, func(p *fakeProcess) error {
			p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
				if p.number > 1 && p.number <= 1+c.failures {
					return c.err
				}
				return nil
			}
			return slow(p)
		}, func(w *world) {
			w.Config().Server.Wait = time.Minute
			stream := w.ask(100, 5)
			time.Sleep(2500 * time.Millisecond)
			w.process(1).die(syscall.SIGKILL)
			if name == "it comes back" {
				stream.complete(w, 100, 5)
			}
			stream.wait(w)
			var e *Unavailable
			if name != "it comes back" && (!errors.As(stream.err, &e) || e.State != StateQuarantined) {
				t.Errorf("%s: %v", name, stream.err)
			}
			if n := len(w.startTimes()); n != c.starts {
				t.Errorf("%s: %d starts, want %d", name, n, c.starts)
			}
		})
	}
}

// A damaged checkpoint does not heal by itself: one attempt, the plugin's sentence is the reason, and the next attempts
// are seldom.
func TestALoadThatCannotSucceedIsSeldomRepeated(t *testing.T) {
	for name, setup := range map[string]func(p *fakeProcess) error{
		"load": func(p *fakeProcess) error {
			p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
				return sdk.Errorf(sdk.ReasonCheckpoint, "model.safetensors: cut off at byte 4096")
			}
			return nil
		},
		"start": func(*fakeProcess) error {
			return &StartFailure{Err: errors.New("model.safetensors: cut off at byte 4096"), Final: true}
		},
	} {
		inWorld(t, setup, func(w *world) {
			s := w.Models()[0]
			if s.State != StateQuarantined || s.Starts != 1 || s.Reason != "model.safetensors: cut off at byte 4096" {
				t.Errorf("%s: status %+v", name, s)
			}
			if name == "load" && !w.process(1).ended() {
				t.Error("its process was left running")
			}
			time.Sleep(10 * time.Hour)
			got := w.startTimes()
			want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}
			for i, at := range want {
				if got[i] != at*time.Minute {
					t.Fatalf("%s: starts at %v, want those at %v min first", name, got, want)
				}
			}
		})
	}
}

// Memory that lacks may be given back: no quick attempts, but no seldom ones either.
func TestALoadThatLacksMemoryIsRepeated(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
			return sdk.Errorf(sdk.ReasonMemory, "2 GB more are needed")
		}
		return nil
	}, func(w *world) {
		time.Sleep(2 * time.Minute)
		if got, want := w.startTimes(), []time.Duration{0, 15 * time.Second, 45 * time.Second, 105 * time.Second}; !slices.Equal(got, want) {
			t.Errorf("starts at %v, want %v", got, want)
		}
	})
}

// Weights that arrive are noticed once they have all arrived: not at every look at a download.
func TestAChangeOfWhatAStartDependsOnEndsTheWait(t *testing.T) {
	var arrived atomic.Bool
	inWorld(t, func(p *fakeProcess) error {
		p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
			if !arrived.Load() {
				return sdk.Errorf(sdk.ReasonNotFound, "no model.safetensors")
			}
			return nil
		}
		return nil
	}, func(w *world) {
		time.Sleep(10*time.Minute + time.Second)
		before := len(w.startTimes())
		for i := range 20 {
			w.touch(fmt.Sprint(i, " GB"))
			time.Sleep(markEvery)
		}
		synctest.Wait()
		if n := len(w.startTimes()); n != before {
			t.Errorf("%d starts while the weights arrived", n-before)
		}
		arrived.Store(true)
		time.Sleep(markEvery)
		synctest.Wait()
		if s := w.Models()[0]; s.State != StateReady || len(w.startTimes()) != before+1 {
			t.Errorf("status %+v after %v", s, w.startTimes())
		}
	})
}

// A change that comes while the start still fails is a change too.
func TestAChangeDuringAStartIsNoticed(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error {
		if p.number > 1 {
			return nil
		}
		p.load = func(context.Context, *fakeProcess, sdk.LoadRequest, func(sdk.Progress)) error {
			time.Sleep(time.Second)
			return sdk.Errorf(sdk.ReasonInvalid, "no")
		}
		return nil
	}, func(w *world) {
		w.touch("locked anew") // a second before it fails
		time.Sleep(time.Second + 2*markEvery)
		synctest.Wait()
		if s := w.Models()[0]; s.State != StateReady {
			t.Errorf("status %+v", s)
		}
	})
}
