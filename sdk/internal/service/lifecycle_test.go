package service

// lifecycle_test.go: the order of a process's life, whatever comes at the same time.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/waiting"
)

// owner is a fake that frees and drains, and keeps account of it.
type owner struct {
	fake
	unload func() error
	mu     sync.Mutex
	called []string
}

func (o *owner) note(what string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.called = append(o.called, what)
}

func (o *owner) calls() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.called)
}

func (o *owner) Drain(context.Context) error { o.note("drain"); return nil }
func (o *owner) Unload(context.Context) error {
	o.note("unload")
	if o.unload != nil {
		return o.unload()
	}
	return nil
}

// A model that was never loaded cannot be drained or freed, and an author need not think of it.
func TestAuthorIsAskedToFreeOnlyWhatWasLoaded(t *testing.T) {
	fails := func(context.Context, func(sdk.Progress)) error { return sdk.Errorf(sdk.ReasonCheckpoint, "damaged") }
	panics := func(context.Context, func(sdk.Progress)) error { panic("on purpose") }
	for name, test := range map[string]struct {
		load  func(context.Context, func(sdk.Progress)) error // nil: there is no Load
		want  []string
		loads bool
	}{
		"never loaded":    {},
		"Load failed":     {load: fails, loads: true},
		"Load panicked":   {load: panics, loads: true},
		"Load succeeded ": {loads: true, want: []string{"drain", "unload"}},
	} {
		t.Run(name, func(t *testing.T) {
			silence(t)
			o := &owner{fake: fake{load: test.load}}
			c := inProcess(t, o)
			if test.loads {
				_ = load(t, c)
			}
			if err := errors.Join(c.Drain(t.Context()), c.Unload(t.Context()), c.Unload(t.Context())); err != nil {
				t.Error(err)
			}
			if got := o.calls(); !slices.Equal(got, test.want) {
				t.Errorf("the author was asked to %q, want %q", got, test.want)
			}
		})
	}
}

func TestUnloadThatFailsIsToldAndNotAskedAgain(t *testing.T) {
	log := silence(t)
	o := &owner{unload: func() error { panic("freed twice") }}
	c := loaded(t, o)
	wantReason(t, "Unload", c.Unload(t.Context()), sdk.ReasonInternal)
	if !strings.Contains(log.String(), "lifecycle_test.go") {
		t.Errorf("the log does not have the stack:\n%s", log)
	}
	if err := c.Unload(t.Context()); err != nil || !slices.Equal(o.calls(), []string{"unload"}) {
		t.Errorf("a second time: %v, %q", err, o.calls())
	}
}

// SIGTERM may come while the host unloads: the process must not end in the middle.
func TestSecondUnloadWaitsForTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle()
		_, done, err := l.beginLoad(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done(nil)
		goOn := make(chan struct{})
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- l.free(t.Context(), func(context.Context) error { <-goOn; return nil }) }()
		synctest.Wait()
		twice := func(context.Context) error { return errors.New("freed twice") }
		go func() { second <- l.free(t.Context(), twice) }()
		synctest.Wait()
		select {
		case err := <-second:
			t.Errorf("the second returned before the first: %v", err)
		default:
		}
		hurried, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.free(hurried, twice); !errors.Is(err, context.Canceled) {
			t.Errorf("one who cannot wait: %v", err)
		}
		close(goOn)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
	})
}

// startLoading is a plugin whose Load waits until finish gets its outcome.
func startLoading(t *testing.T) (o *owner, c *client.Client, loaded chan error, finish chan error) {
	t.Helper()
	begun := make(chan struct{})
	finish, loaded = make(chan error, 1), make(chan error, 1)
	o = &owner{fake: fake{
		load: func(ctx context.Context, _ func(sdk.Progress)) error {
			close(begun)
			select {
			case err := <-finish:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error { return say(1, send) },
	}}
	c = inProcess(t, o)
	go func() { loaded <- load(t, c) }()
	<-begun
	return o, c, loaded, finish
}

// untilDraining returns when the plugin refuses because it is draining.
func untilDraining(t *testing.T, c *client.Client) {
	t.Helper()
	for !strings.Contains(load(t, c).Error(), "draining") {
	}
}

func TestLoadThatEndsAfterDrainDoesNotMakeTheProcessReadyAgain(t *testing.T) {
	for name, outcome := range map[string]error{"succeeds": nil, "fails": sdk.Errorf(sdk.ReasonMemory, "does not fit")} {
		t.Run(name, func(t *testing.T) {
			o, c, loaded, finish := startLoading(t)
			drained := make(chan error, 1)
			go func() { drained <- c.Drain(t.Context()) }()
			untilDraining(t, c)
			select {
			case err := <-drained:
				t.Errorf("Drain did not wait for Load: %v", err)
			default:
			}
			finish <- outcome
			if err := <-loaded; (err == nil) != (outcome == nil) {
				t.Errorf("Load: %v", err)
			}
			if err := <-drained; err != nil {
				t.Error(err)
			}
			_, err := ask(t.Context(), c)
			wantReason(t, "Generate after Drain", err, sdk.ReasonState)
			if !strings.Contains(err.Error(), "draining") {
				t.Errorf("Generate after Drain: %v", err)
			}
			if err := c.Unload(t.Context()); err != nil {
				t.Error(err)
			}
			want := []string{"unload"}
			if outcome != nil {
				want = nil
			}
			if got := o.calls(); !slices.Equal(got, want) {
				t.Errorf("the author was asked to %q, want %q", got, want)
			}
		})
	}
}

func TestUnloadEndsALoadUnderWay(t *testing.T) {
	o, c, loaded, _ := startLoading(t)
	if err := c.Unload(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-loaded; !errors.Is(err, client.ErrGone) {
		t.Errorf("Load ended with %v, want ErrGone", err)
	}
	if got := o.calls(); len(got) > 0 {
		t.Errorf("the author was asked to %q for a model that was not loaded", got)
	}
}

// After Unload nothing is admitted, whether or not the host has drained before.
func TestNothingIsAdmittedAfterUnload(t *testing.T) {
	for _, first := range []string{"fresh", "loaded"} {
		t.Run(first, func(t *testing.T) {
			asked := atomic.Bool{}
			p := &able{fake: fake{generate: func(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
				asked.Store(true)
				return say(1, send)
			}}}
			c := inProcess(t, p)
			if first == "loaded" {
				if err := load(t, c); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Unload(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, generate := ask(t.Context(), c)
			_, forward := c.Forward(t.Context(), sdk.ForwardRequest{Sequence: "a", Tokens: []int32{1}})
			for what, err := range map[string]error{
				"Load": load(t, c), "Generate": generate, "Forward": forward, "OpenSequence": c.OpenSequence(t.Context(), "a"),
			} {
				wantReason(t, what+" after Unload", err, sdk.ReasonState)
			}
			if asked.Load() {
				t.Error("Generate reached the author")
			}
			if err := c.Drain(t.Context()); err != nil {
				t.Errorf("Drain after Unload: %v", err)
			}
		})
	}
}

// hooked counts what hangs on a context.
type hooked struct {
	context.Context
	done chan struct{}
	now  atomic.Int64
}

func (h *hooked) Done() <-chan struct{} { return h.done }
func (h *hooked) Value(any) any         { return nil }
func (h *hooked) AfterFunc(func()) (stop func() bool) {
	h.now.Add(1)
	return func() bool { h.now.Add(-1); return true }
}

// A process lives for months; what each call leaves behind adds up.
func TestCallLeavesNothingBehind(t *testing.T) {
	life := &hooked{Context: t.Context(), done: make(chan struct{})}
	l := newLifecycle()
	l.ctx = life
	_, done, err := l.beginLoad(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done(nil)
	for range 3 {
		_, leave, err := l.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if life.now.Load() != 1 {
			t.Fatalf("%d hooks for one call", life.now.Load())
		}
		leave()
	}
	if n := life.now.Load(); n != 0 {
		t.Errorf("after 4 calls %d hooks are left", n)
	}
}

// Whatever moment Drain comes at, it returns only when nobody is left, and nobody comes later.
func TestDrainMeetsCallsAtAnyMoment(t *testing.T) {
	waiting.Bound(t)
	for range 200 {
		l := newLifecycle()
		_, done, err := l.beginLoad(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		done(nil)
		var over, late atomic.Bool
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					_, leave, err := l.enter(context.Background())
					if err != nil {
						return // draining
					}
					if over.Load() {
						late.Store(true)
					}
					leave()
				}
			})
		}
		l.drain()
		if err := l.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		over.Store(true)
		all.Wait()
		if late.Load() {
			t.Fatal("a call was inside when Drain had returned")
		}
	}
}
