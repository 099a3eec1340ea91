// sequences.go is the table of open sequences: how many a model may have, and when one that nobody uses is closed.
package schedule

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
)

// sequences has the open ones by their ids. One whose model has ended stays as long as it would have without a call, to say so.
type sequences struct {
	mu   sync.Mutex
	all  map[string]*sequence
	open map[*model]int
}

func newSequences() *sequences {
	return &sequences{all: map[string]*sequence{}, open: map[*model]int{}}
}

// idleOf is how long a sequence stays open without a call.
func idleOf(s config.Server) time.Duration { return cmp.Or(s.SequenceIdle, config.DefaultSequenceIdle) }

// add takes a new sequence in, with a call under way on it.
func (t *sequences) add(s *sequence, limits config.Server) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := cmp.Or(limits.MaxOpenSequences, config.DefaultOpenSequences)
	if t.open[s.model] >= most {
		return sdk.Errorf(sdk.ReasonOverloaded, "the model %q has %d open sequences, the most it may (server.max_open_sequences); close some, or wait until they are: each is after %v without a call",
			s.model.entry.ID, most, idleOf(limits))
	}
	t.open[s.model]++
	t.all[s.id] = s
	s.calls = 1
	s.lease = time.AfterFunc(24*time.Hour, func() { t.expire(s) }) // until the call is over
	return nil
}

// take begins a call on a sequence.
func (t *sequences) take(id string) (*sequence, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.all[id]
	if s == nil {
		return nil, sdk.Errorf(sdk.ReasonNotFound, "there is no such sequence; one is closed when nobody asks anything of it for a while (server.sequence_idle)")
	}
	if s.ctx.Err() != nil {
		return nil, context.Cause(s.ctx)
	}
	s.calls++
	return s, nil
}

// leave ends a call on a sequence; without another one it has idle to live.
func (t *sequences) leave(s *sequence, idle time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.ctx.Err() != nil {
		t.lessen(s)
	}
	if s.calls--; s.calls == 0 && t.all[s.id] == s {
		s.until = time.Now().Add(idle)
		s.lease.Reset(idle)
	}
}

// expire closes a sequence that nobody has used.
func (t *sequences) expire(s *sequence) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.calls > 0 || time.Now().Before(s.until) {
		return // it is in use, and leave comes back to it
	}
	t.drop(s)
	s.let() // nobody has the turn, and nobody can take it any more
}

// remove takes a sequence out, for good.
func (t *sequences) remove(s *sequence, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.end(why)
	t.drop(s)
}

// drop takes a sequence out. mu is held.
func (t *sequences) drop(s *sequence) {
	if t.all[s.id] != s {
		return
	}
	delete(t.all, s.id)
	s.lease.Stop()
	t.lessen(s)
}

// lessen counts a sequence off, once. mu is held.
func (t *sequences) lessen(s *sequence) {
	if s.counted {
		return
	}
	s.counted = true
	if t.open[s.model]--; t.open[s.model] == 0 {
		delete(t.open, s.model)
	}
}

// endAll ends those of a model that has no next process.
func (t *sequences) endAll(m *model, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.all {
		if s.model == m && s.ctx.Err() == nil {
			s.end(sdk.Errorf(sdk.ReasonNotFound, "the sequence was closed with its model %q: %s", m.entry.ID, cmp.Or(why, "the host is shutting down")))
			t.lessen(s)
		}
	}
}
