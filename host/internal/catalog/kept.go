package catalog

// kept.go has plugins stay for many questions: to start one costs more than what it then is asked.

import (
	"context"
	"errors"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// Keep has each plugin stay that is started to be asked, until end is called, and is then asked again. It is called before the Catalog is used
// by others.
func (c *Catalog) Keep() (end func()) {
	k := &keeper{begin: c.options.Start, all: map[string]*stay{}}
	c.options.Start = k.start
	return k.end
}

type keeper struct {
	begin StartFunc
	mu    sync.Mutex
	all   map[string]*stay // by path and hash
}

// stay is one plugin's.
type stay struct {
	mu      sync.Mutex
	running Running // nil: it is to be started
}

func (k *keeper) start(ctx context.Context, p Plugin) (Running, error) {
	k.mu.Lock()
	s := k.all[p.Path+p.SHA256]
	if s == nil {
		s = &stay{}
		k.all[p.Path+p.SHA256] = s
	}
	k.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		r, err := k.begin(ctx, p)
		if err != nil {
			return nil, err
		}
		s.running = r
	}
	return lent{s.running, s}, nil
}

func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range k.all {
		all.Go(func() { s.drop(nil) })
	}
	all.Wait()
}

// drop ends the process, if it is that one; nil is any.
func (s *stay) drop(r Running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil && (r == nil || s.running == r) {
		s.running.Close()
		s.running = nil
	}
}

// lent is a plugin for one question. One that does not answer is not asked again.
type lent struct {
	running Running
	stay    *stay
}

func (l lent) Close() {}

func (l lent) Describe(ctx context.Context) (sdk.Description, error) {
	d, err := l.running.Describe(ctx)
	l.judge(ctx, err)
	return d, err
}

func (l lent) Inspect(ctx context.Context, req sdk.InspectRequest) (sdk.Inspection, error) {
	answer, err := l.running.Inspect(ctx, req)
	l.judge(ctx, err)
	return answer, err
}

func (l lent) judge(ctx context.Context, err error) {
	if err != nil && (errors.Is(err, client.ErrGone) || ctx.Err() != nil) {
		l.stay.drop(l.running)
	}
}
