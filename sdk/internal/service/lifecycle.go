package service

// lifecycle.go: what may be called when. A process is loaded once; after Drain or Unload it admits nothing new. Of an author's
// methods only those that need no model are called before a Load has succeeded: Drain and Unload, too, wait for it.

import (
	"context"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
)

type phase int

const (
	fresh phase = iota
	loading
	ready
	failed   // Load failed; the process has no further use
	draining // or drained, or unloaded
)

// lifecycle counts the calls that use the model.
type lifecycle struct {
	mu      sync.Mutex
	phase   phase
	loaded  bool          // a Load has succeeded: the author holds a model, also after Drain
	freed   chan struct{} // nil until the author's Unload is called; closed when it has returned
	running int
	idle    chan struct{} // closed when running is 0; a new one with the first call
	ctx     context.Context
	cancel  context.CancelFunc // ends the calls that run
}

func newLifecycle() *lifecycle {
	ctx, cancel := context.WithCancel(context.Background())
	l := &lifecycle{idle: make(chan struct{}), ctx: ctx, cancel: cancel}
	close(l.idle)
	return l
}

// beginLoad admits the one Load; its outcome is told to the function returned. The context ends with ctx or with Unload.
func (l *lifecycle) beginLoad(ctx context.Context) (_ context.Context, done func(error), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phase {
	case fresh:
	case draining:
		return nil, nil, sdk.Errorf(sdk.ReasonState, "the plugin is draining")
	default:
		return nil, nil, sdk.Errorf(sdk.ReasonState, "this process was loaded before; a model needs a process of its own")
	}
	l.phase = loading
	ctx, leave := l.admit(ctx)
	return ctx, func(err error) {
		l.endLoad(err)
		leave()
	}, nil
}

func (l *lifecycle) endLoad(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded = err == nil
	switch {
	case l.phase != loading: // drained meanwhile
	case err != nil:
		l.phase = failed
	default:
		l.phase = ready
	}
}

// enter admits a call that uses the model. The context it returns ends with ctx or when the model is unloaded; leave must
// be called at the end.
func (l *lifecycle) enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.phase {
	case fresh, loading:
		return nil, nil, sdk.Errorf(sdk.ReasonState, "no model is loaded yet")
	case failed:
		return nil, nil, sdk.Errorf(sdk.ReasonState, "no model is loaded: Load failed")
	case draining:
		return nil, nil, sdk.Errorf(sdk.ReasonState, "the plugin is draining")
	}
	ctx, leave = l.admit(ctx)
	return ctx, leave, nil
}

// admit counts a call; l.mu is held.
func (l *lifecycle) admit(ctx context.Context) (context.Context, func()) {
	if l.running == 0 {
		l.idle = make(chan struct{})
	}
	l.running++
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(l.ctx, cancel)
	return ctx, func() {
		unhook()
		cancel()
		l.leave()
	}
}

func (l *lifecycle) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running--; l.running == 0 {
		close(l.idle)
	}
}

// drain admits nothing more.
func (l *lifecycle) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = draining
}

// wait returns when no call uses the model.
func (l *lifecycle) wait(ctx context.Context) error {
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// holds says whether the author holds a model.
func (l *lifecycle) holds() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded
}

// free calls the author's unload if there is a model, once. Whoever comes second waits for the first: the process must not
// end in the middle.
func (l *lifecycle) free(ctx context.Context, unload func(context.Context) error) error {
	l.mu.Lock()
	first := l.freed == nil
	if first {
		l.freed = make(chan struct{})
	}
	loaded, freed := l.loaded, l.freed
	l.mu.Unlock()
	if first {
		defer close(freed)
		if !loaded {
			return nil
		}
		return unload(ctx)
	}
	select {
	case <-freed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
