// supervise.go is the life of a model: start, load, watch, and again.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/process"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

const (
	// exitTime is how long a process whose calls fail may take to be gone before it is killed.
	exitTime = 2 * time.Second
	// vanishTime is how long a killed process may take; one that hangs in a device driver may take for ever.
	vanishTime = 5 * time.Second
	// stopTime bounds the orderly end of a process; process.Stop has a shorter bound of its own.
	stopTime = 15 * time.Second
)

// supervise runs the model until ctx ends or its entry is gone; then no process is left.
func (m *model) supervise(ctx context.Context) {
	failed := 0
	for {
		turn, wish, why := m.turn(ctx)
		switch {
		case ctx.Err() != nil, wish == wishEnd:
			m.yield()
			m.rests(why)
			return
		case wish == wishStop:
			m.yield()
			m.rests(why)
			<-turn.Done()
			continue
		case m.leaves():
			m.unloaded()
			continue
		case !m.isCalled():
			m.away(turn)
			continue
		}
		if !m.pushes() { // whoever makes room is waited for by nobody
			m.host.memory.expect(m)
		}
		mark := m.host.o.Mark(m.entry)
		err := m.live(turn, func() { failed = 0 })
		if turn.Err() == nil {
			m.again(turn, &failed, err, mark)
		}
		if turn.Err() != nil {
			failed = 0
		}
	}
}

// rests is the end of a turn after which nothing runs.
func (m *model) rests(why string) {
	m.host.sequences.endAll(m, why)
	m.set(func(s *Status) { s.State, s.Reason, s.PID, s.Retry = StateStopped, why, 0, time.Time{} })
}

// again waits for the next start after a life that ended with err.
func (m *model) again(turn context.Context, failed *int, err error, mark string) {
	var refused *StartFailure
	switch {
	case forsakes(err):
		if !m.forsake(err) {
			m.rest(turn, m.afterDeath(), err, mark)
		}
		return // to the next start at once: it is another
	case outdates(err):
		m.settleFiles(turn, err)
		return
	}
	if !errors.As(err, &refused) {
		m.rest(turn, m.afterDeath(), err, mark)
		return
	}
	*failed++
	m.host.o.Metrics.Starts.WithLabelValues(m.entry.ID, "failed").Inc()
	w := m.afterFailure(refused, *failed)
	m.log.Error("the model did not start", "attempt", *failed, "next_in", w.pause, "error", err)
	if _, _, held := m.host.memory.held(m); !held || w.state == StateQuarantined {
		m.yield() // nobody waits for one that may not come for long
	}
	m.rest(turn, w, err, mark)
}

// live takes one process from its start to its end, and returns how it ended. ready is called when it answers requests.
func (m *model) live(ctx context.Context, ready func()) error {
	began := time.Now()
	m.set(func(s *Status) { s.State, s.Progress, s.LoadRate = StateStarting, sdk.Progress{}, 0; s.Starts++ })
	p, err := m.host.o.Start(ctx, m.entry)
	if err != nil {
		return asStartFailure(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the Scheduler stream and the health checks
	l := newLife(p)
	defer l.letGo(nil)
	m.rank(l)
	if err := m.load(ctx, l); err != nil {
		m.end(l)
		m.mu.Lock()
		m.life, m.status.Silent = nil, time.Time{}
		m.host.cores.leave(l)
		m.mu.Unlock()
		return startError(l, err)
	}
	took := time.Since(began)
	ready()
	m.host.o.Metrics.Starts.WithLabelValues(m.entry.ID, "ok").Inc()
	m.host.o.Metrics.LoadSeconds.WithLabelValues(m.entry.ID).Observe(took.Seconds())
	m.tell(m.snapshot().Table)
	m.log.Info("the model is ready", "pid", p.PID(), "plugin", p.Path(), "seconds", took.Seconds())
	m.set(func(s *Status) {
		s.State, s.Reason = StateReady, ""
		m.readied = s.Starts
		l.ready = true
		m.count()
		l.pulse.beat()
		m.settled()
	})
	return m.watch(ctx, l)
}

// load shakes hands, opens the Scheduler stream and loads the checkpoint.
func (m *model) load(ctx context.Context, l *life) error {
	d, err := l.Describe(ctx) // bounded by the client
	if err != nil {
		return fmt.Errorf("it does not describe itself: %w", err)
	}
	stream, err := l.Schedule(ctx)
	if err != nil {
		return fmt.Errorf("its Scheduler stream does not open: %w", err)
	}
	l.orders = newOrders(stream)
	m.set(func(s *Status) { s.Report = sdk.Report{} }) // of the process before; this one's first may come at once
	go m.follow(ctx, l)
	loading, endLoad := context.WithCancelCause(ctx)
	defer endLoad(nil)
	go m.probe(ctx, l)
	share, err := m.promise(ctx, l)
	if err != nil {
		return err
	}
	m.reclaim(ctx)
	m.mu.Lock()
	m.life = l
	m.host.cores.join(m, l, slices.Contains(d.Capabilities, sdk.CapabilityCores))
	l.pulse.beat()
	devices, without := computable(WithCPU(m.devices, share), d)
	m.mu.Unlock()
	if without != "" {
		m.log.Warn("the plugin was built without GPUs; the model is computed on the cpu", "plugin", l.Path(), "devices", without)
	}
	m.set(func(s *Status) {
		s.State, s.Description, s.PID, s.Path = StateLoading, d, l.PID(), l.Path()
	})
	go m.guard(ctx, l, endLoad)
	var comes advance
	table, err := l.Load(loading, m.loadRequest(devices), func(p sdk.Progress) {
		p.Stage = clip(p.Stage)
		m.loads(l, p)
		rate := comes.rate(p, time.Now())
		m.set(func(s *Status) { s.Progress, s.LoadRate = p, rate })
	})
	if err != nil && loading.Err() != nil && ctx.Err() == nil {
		return context.Cause(loading)
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.status.Table, l.weights = table, table.Weights
	m.mu.Unlock()
	return nil
}

func (m *model) loadRequest(devices []sdk.DeviceBudget) sdk.LoadRequest {
	return sdk.LoadRequest{
		InspectRequest: m.entry.Inspect(), Devices: devices, Threads: m.entry.Threads,
		PrefixCache: m.entry.PrefixCache, StepTime: m.entry.StepTime, KVSpill: m.entry.Spill(), WeightCache: m.host.weightCache(),
	}
}

// follow reads the Scheduler stream for the life of the process.
func (m *model) follow(ctx context.Context, l *life) {
	err := l.orders.receive(func(r sdk.Report) sdk.Report { return m.report(l, r) })
	if ctx.Err() == nil && !errors.Is(err, client.ErrGone) {
		m.log.Warn("the Scheduler stream has ended; the process takes no orders any more", "error", err)
	}
}

// watch returns when the process has ended, by itself or because ctx did, and its requests know.
func (m *model) watch(ctx context.Context, l *life) error {
	select {
	case <-l.Done():
	case <-l.lost:
		m.outlast(l, exitTime)
	case why := <-l.outdated:
		m.replace(l)
		return fmt.Errorf("its process was ended: %w", why)
	case <-ctx.Done():
		m.replace(l)
		return context.Cause(ctx)
	}
	aboard := m.bury(l)
	m.host.o.Metrics.Deaths.WithLabelValues(m.entry.ID).Inc()
	m.log.Error("the plugin died", "pid", l.PID(), "plugin", l.Path(), "how", l.end(), "aboard", aboard,
		"log", strings.Join(l.exit.LastLines, "\n"))
	return fmt.Errorf("its plugin %s", l.end())
}

// replace ends a process that the host has no more use for.
func (m *model) replace(l *life) {
	m.set(func(s *Status) {
		s.State, s.Reason, s.Retry = StateRestarting, "its process is being ended", time.Time{}
		if m.demand.leaving {
			s.State, s.Reason = StateUnloading, m.demand.why
		}
		l.ready = false
	})
	l.letGo(errReplaced) // the requests on board first: they are to hear of it from us, not from the plugin
	m.end(l)
	m.ended(l)
}

// outlast gives a process that is on its way out some time, then kills it.
func (m *model) outlast(l *life, patience time.Duration) {
	if !process.Closed(l.Done(), patience) {
		l.Kill()
		if !process.Closed(l.Done(), vanishTime) {
			m.log.Error("the process does not die after SIGKILL; going on without it", "pid", l.PID())
		}
	}
}

// end stops a process that is still wanted to free what it holds.
func (m *model) end(l *life) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		m.log.Error("the plugin did not stop", "error", err)
	}
}
