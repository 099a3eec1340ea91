// retry.go is what comes between two starts of a model: how long the pause is, and what ends it earlier.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

const (
	// quickStarts is how many failed starts in a row are taken for bad luck; after them the model is in quarantine.
	quickStarts    = 5
	longestBackoff = 30 * time.Second

	// In quarantine, what may pass by itself is tried again after 15 seconds, then ever later.
	firstSlow, longestSlow = 15 * time.Second, 5 * time.Minute
	// What no repetition changes is tried again all the same: a change may be one that the mark does not show.
	firstRefused, longestRefused = time.Minute, time.Hour

	// markEvery is how often a waiting model looks whether what its start depends on has changed.
	markEvery = 2 * time.Second
)

// StartFailure is a process that did not come as far as ready. Options.Start may return one to say that trying again
// without a change changes nothing.
type StartFailure struct {
	Err   error
	Final bool
}

func (e *StartFailure) Error() string { return e.Err.Error() }
func (e *StartFailure) Unwrap() error { return e.Err }

// finalReasons are those of a Load that fails the same way however often it is tried. Memory is not among them: others
// may give some back.
var finalReasons = []sdk.Reason{sdk.ReasonCheckpoint, sdk.ReasonInvalid, sdk.ReasonNotFound, sdk.ReasonUnimplemented}

func asStartFailure(err error) *StartFailure {
	var f *StartFailure
	if errors.As(err, &f) {
		return f
	}
	return &StartFailure{Err: err}
}

// startError adds to a failed load how the process ended, if it did so by itself.
func startError(l *life, err error) error {
	var told *sdk.Error
	f := &StartFailure{Err: err}
	switch {
	case errors.As(err, &told):
		f.Final = slices.Contains(finalReasons, told.Reason)
	case errors.Is(err, client.ErrGone):
		f.Err = fmt.Errorf("its plugin %s while it loaded", l.end())
		if lines := l.Exit().LastLines; len(lines) > 0 {
			f.Err = fmt.Errorf("%w; its last lines: %s", f.Err, strings.Join(lines, " | "))
		}
	}
	return f
}

// wait is what comes between two starts. In quarantine new requests are refused at once; before it they wait too.
type wait struct {
	state State
	pause time.Duration
	final bool // what keeps the model from starting does not pass by itself
}

// backoff is the wait before the next start after n deaths and failed starts without a finished request between them.
func backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(time.Second<<min(n-2, 10), longestBackoff)
}

// slowly is the wait before the attempt that follows n in quarantine.
func slowly(n int, first, longest time.Duration) time.Duration {
	return min(first<<min(n, 10), longest)
}

// afterDeath is the wait after a process that had been ready.
func (m *model) afterDeath() wait {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trouble++
	return wait{state: StateRestarting, pause: backoff(m.trouble)}
}

// afterFailure is the wait after the failed-th failed start in a row.
func (m *model) afterFailure(f *StartFailure, failed int) wait {
	switch {
	case f.Final:
		return wait{StateQuarantined, slowly(failed-1, firstRefused, longestRefused), true}
	case sdk.ReasonOf(f.Err) == sdk.ReasonMemory:
		m.starve(true)
		return wait{state: StateQuarantined, pause: slowly(failed-1, firstSlow, longestSlow)}
	case failed >= quickStarts:
		return wait{state: StateQuarantined, pause: slowly(failed-quickStarts, firstSlow, longestSlow)}
	}
	return m.afterDeath()
}

func (m *model) starve(is bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hungry = is
}

// freed tells those who wait for memory that another model has given some back. They come together, so that the division
// is among them all.
func (h *Host) freed(by *model) {
	h.mu.Lock()
	models := slices.Clone(h.models)
	h.mu.Unlock()
	var woken []*model
	for _, m := range models {
		m.mu.Lock()
		if m.hungry && m != by {
			m.hungry, woken = false, append(woken, m)
		}
		m.mu.Unlock()
	}
	for _, m := range woken {
		h.memory.expect(m)
	}
	for _, m := range woken {
		select {
		case m.poke <- struct{}{}:
		default:
		}
	}
}

// rest waits before the next start. mark is what the last one depended on: a change of it, once it has settled, ends the
// wait, as do the end of ctx and a poke.
func (m *model) rest(ctx context.Context, w wait, why error, mark string) {
	m.set(func(s *Status) {
		s.State, s.Reason, s.Retry, s.PID = w.state, why.Error(), time.Now().Add(w.pause), 0
		m.hopeless = w.final
	})
	if w.state == StateQuarantined {
		m.log.Warn("the model is in quarantine: it is started again when the pause is over, when its checkpoint, its plugin or pio.lock changes, or by order",
			"pause", w.pause, "order", "piohost start "+m.entry.ID)
	}
	defer m.starve(false)
	timer := time.NewTimer(w.pause)
	defer timer.Stop()
	ticker := time.NewTicker(markEvery)
	defer ticker.Stop()
	last := mark
	for {
		select {
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		case <-m.poke:
			return
		case <-ticker.C:
		}
		now := m.host.o.Mark(m.entry)
		if now != mark && now == last { // a download under way changes from look to look
			m.log.Info("what the model's start depends on has changed; starting it again")
			return
		}
		last = now
	}
}
