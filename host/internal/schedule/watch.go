// watch.go notices a process that is there but of no use: one that does not answer (frozen), and one that answers but whose work
// does not advance (deadlocked). The kernel tells of neither. Such a process is killed, and its requests go on in the next one.
package schedule

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

const (
	// healthEvery is how often a process is asked, at most, and how soon an answer is missed: then the model is not ready. From
	// a freeze to the kill it takes at most this long and what models.toml allows for an answer (30 s: a plugin may be busy on
	// every core).
	healthEvery = 4 * time.Second

	// generous is by how much longer a standstill may last where nothing tells whether work advances: while a model loads, and in
	// a plugin whose reports have no progress.
	generous = 5

	// looks is how many times a standstill is looked for while it may last.
	looks = 8
)

// pulse is when a process last showed that its work advances. Under the model's mu.
type pulse struct {
	at       time.Time
	progress uint64 // of the newest report that had one
	asking   int    // questions that wait for their answer
	stage    string // of Load, with its figures
}

func (p *pulse) beat() { p.at = time.Now() }

// told takes the progress of a report; 0 says nothing.
func (p *pulse) told(progress uint64) {
	if progress != 0 && progress != p.progress {
		p.progress = progress
		p.beat()
	}
}

// heard notes an event of f. Until sent the plugin is not waited for.
func (m *model) heard(f *flight, l *life, e sdk.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.pulse.beat()
	f.sending = true
	switch {
	case e.Token != nil:
		m.advance(f, l)
	case e.Finish != nil: // an answer that is whole weighs as much as one that gets on
		m.trouble = 0
		m.lived(l, enough)
	}
}

// sent notes that f's client has taken an event.
func (m *model) sent(f *flight, l *life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.pulse.beat()
	f.sending = false
}

// asks notes a question to l, by 1, or its end, by -1. One that is suspected and that l dies of has no end.
func (m *model) asks(l *life, by int, suspect bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.pulse.beat()
	l.pulse.asking += by
	if suspect {
		l.accused += by
	}
}

// loads notes a message of Load.
func (m *model) loads(l *life, p sdk.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l.pulse.beat()
	l.pulse.stage = stage(p)
}

// stage is how far a Load is, in words.
func stage(p sdk.Progress) string {
	if p.Total > 0 {
		return fmt.Sprintf("%s, %d of %d MB", p.Stage, p.Done/1e6, p.Total/1e6)
	}
	return p.Stage
}

// awaited says whether anybody waits for l to do something.
func (l *life) awaited() bool {
	if l.pulse.asking > 0 {
		return true
	}
	for f := range l.aboard {
		if !f.sending {
			return true
		}
	}
	return false
}

// condemn kills a process that is of no use. why completes "its plugin ...".
func (m *model) condemn(l *life, reason, why string) {
	l.doom.CompareAndSwap(nil, &why)
	m.host.o.Metrics.Kills.WithLabelValues(m.entry.ID, reason).Inc()
	m.log.Error("the plugin is killed: it "+why, "pid", l.PID(), "plugin", l.Path())
	l.Kill()
}

// end says how the process ended, as a clause. Valid after Done.
func (l *life) end() string {
	if why := l.doom.Load(); why != nil {
		return *why + " and was killed by the host"
	}
	return l.Exit().String()
}

// probe asks the process for signs of life, and kills it if it gives none.
func (m *model) probe(ctx context.Context, l *life) {
	limit := m.host.Config().Plugins.Health
	if limit <= 0 {
		return
	}
	every := min(healthEvery, limit/4)
	l.watch(ctx, every, func() (goOn bool) {
		if m.answers(ctx, l, every, limit) {
			return true
		}
		if ctx.Err() == nil {
			m.condemn(l, "silent", fmt.Sprintf("left a health check unanswered for %v", limit))
		}
		return false
	})
}

// watch looks at the process again and again, until it ends, ctx ends, or look has seen enough.
func (l *life) watch(ctx context.Context, every time.Duration, look func() (goOn bool)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.Done():
			return
		case <-ctx.Done():
			return
		}
		if !look() {
			return
		}
	}
}

// answers says whether the process answers a health check within limit. Whatever the answer is, it is one: only our own clock
// says that there was none. After window the model is not ready any more, until the answer comes.
func (m *model) answers(ctx context.Context, l *life, window, limit time.Duration) bool {
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- l.Health(limited) }()
	missed := time.NewTimer(window)
	defer missed.Stop()
	select {
	case <-answered:
		return limited.Err() == nil
	case <-missed.C:
	}
	m.silence(l, began)
	if err := <-answered; err != nil && limited.Err() != nil {
		return false
	}
	m.silence(l, time.Time{})
	return true
}

// silence notes since when l does not answer; the zero time says that it does again.
func (m *model) silence(l *life, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != l {
		return
	}
	if since.IsZero() {
		m.log.Info("the plugin answers health checks again", "pid", l.PID())
	} else {
		m.log.Warn("the plugin does not answer a health check", "pid", l.PID())
	}
	m.status.Silent = since
	m.gauges()
	m.change()
}

// guard waits for a standstill: somebody waits for the process, and nothing it tells shows that its work advances. While the model
// loads it ends the Load, with what stood still; then it kills the process.
func (m *model) guard(ctx context.Context, l *life, endLoad context.CancelCauseFunc) {
	limit := m.entry.Stall
	if limit <= 0 {
		return
	}
	l.watch(ctx, limit/looks, func() (goOn bool) {
		loading, why := m.standstill(l, limit)
		switch {
		case why == "":
			return true
		case loading:
			endLoad(fmt.Errorf("its plugin %s", why))
		default:
			m.condemn(l, "stalled", why)
		}
		return false
	})
}

// standstill says for how long, and at what, the work of l has stood still if that is too long; "" if it is not.
func (m *model) standstill(l *life, limit time.Duration) (loading bool, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !l.ready || l.pulse.progress == 0 {
		limit *= generous
	}
	still := time.Since(l.pulse.at)
	switch {
	case still < limit:
		return false, ""
	case !l.ready:
		return true, fmt.Sprintf("stood still for %v while it loaded (%s)", still.Round(time.Millisecond), cmp.Or(l.pulse.stage, "before the first stage"))
	case l.awaited():
		return false, fmt.Sprintf("made no progress for %v with %d requests on board", still.Round(time.Millisecond), len(l.aboard)+l.pulse.asking)
	}
	return false, ""
}
