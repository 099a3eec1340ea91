// corekeeper.go has the division of the cores that sdk/plan makes (cores.go) carried out: it knows who works, and tells each plugin that shares cores what it may use when
// that changes. The others are counted, and use what they use.
package schedule

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// coreLinger is how long a model counts as working after its last request. Whoever asks one question after the other has the next one
// there by then, so that the cores do not go back and forth between two of them.
const coreLinger = 500 * time.Millisecond

// coreKeeper is the host's. Its mu may be taken while a model's is held, not the other way round.
type coreKeeper struct {
	machine func() int // how many cores there are for models, now
	metrics *telemetry.Metrics
	changed func() // is told that somebody's work has begun or ended; must not block

	mu    sync.Mutex
	users []*coreTenant // in the order in which their processes came
	timer *time.Timer   // of the next division; nil: none is due
}

// coreTenant is a process that may use cores.
type coreTenant struct {
	model   *model
	life    *life
	obeys   bool // its plugin shares cores
	busy    bool
	idle    time.Time // since when it is not; zero if it never was
	share   sdkplan.CoreShare
	told    int  // the cores that it was last told of, or what it takes untold
	telling bool // somebody is at it
	gone    bool // it has ended; it counts for a moment more, since another is likely to come
}

func newCoreKeeper(machine func() int, metrics *telemetry.Metrics, changed func()) *coreKeeper {
	return &coreKeeper{machine: machine, metrics: metrics, changed: changed}
}

// working says whether a process has something to do, and since when it has not.
func (k *coreKeeper) working(l *life, now time.Time) (busy bool, idle time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.of(l); t != nil {
		u := t.user(now)
		return u.Busy, u.Idle
	}
	return false, sdkplan.Never
}

// join takes a process in, which is about to load.
func (k *coreKeeper) join(m *model, l *life, obeys bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.users = slices.DeleteFunc(k.users, func(o *coreTenant) bool { return o.gone && o.model == m })
	t := &coreTenant{model: m, life: l, obeys: obeys, busy: true}
	t.told = t.user(time.Now()).Most(k.machine())
	k.users = append(k.users, t)
	k.divide()
}

// works notes whether a process has something to do.
func (k *coreKeeper) works(l *life, busy bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.of(l)
	if t == nil || t.busy == busy {
		return
	}
	t.busy, t.idle = busy, time.Now()
	k.divide()
	k.changed()
}

// leave takes a process out that has ended. If it worked the others get its cores when it has been away as long as one that has nothing to do: one that
// was killed is there again by then, and nobody is told twice.
func (k *coreKeeper) leave(l *life) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.of(l)
	if t == nil {
		return
	}
	t.gone = true
	if t.busy {
		t.busy, t.idle = false, time.Now()
	}
	k.metrics.Cores.DeleteLabelValues(t.model.entry.ID)
	k.divide()
}

// share is how many cores a process may use; 0 if its plugin does not share any.
func (k *coreKeeper) share(l *life) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.of(l); t != nil && t.obeys {
		return t.share.Cores
	}
	return 0
}

// of finds the tenant of a process. mu is held.
func (k *coreKeeper) of(l *life) *coreTenant {
	if i := slices.IndexFunc(k.users, func(t *coreTenant) bool { return t.life == l && !t.gone }); i >= 0 {
		return k.users[i]
	}
	return nil
}

func (t *coreTenant) user(now time.Time) sdkplan.Worker {
	u := sdkplan.Worker{Name: t.model.entry.ID, Threads: t.model.entry.Threads, Priority: t.model.entry.Priority, Busy: t.busy, Idle: sdkplan.Never}
	switch {
	case t.busy:
		u.Idle = 0
	case !t.idle.IsZero():
		u.Idle = now.Sub(t.idle)
	}
	return u
}

// divide divides anew, and has those told whose share is another. mu is held.
func (k *coreKeeper) divide() {
	now, cores := time.Now(), k.machine()
	k.users = slices.DeleteFunc(k.users, func(t *coreTenant) bool { return t.gone && t.user(now).Idle >= coreLinger })
	users := make([]sdkplan.Worker, len(k.users))
	for i, t := range k.users {
		users[i] = t.user(now)
	}
	shares, again := sdkplan.DivideCores(cores, users, coreLinger)
	for i, t := range k.users {
		before := t.share
		t.share = shares[i]
		if !t.obeys || t.gone {
			continue
		}
		k.metrics.Cores.WithLabelValues(t.model.entry.ID).Set(float64(t.share.Cores))
		if before != t.share {
			t.log(before, cores)
		}
		if t.share.Cores != t.told && !t.telling {
			t.telling = true
			go k.tell(t)
		}
	}
	if k.timer != nil {
		k.timer.Stop()
		k.timer = nil
	}
	if again > 0 {
		k.timer = time.AfterFunc(again, func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.divide()
		})
	}
}

// log says what has become of a model's share: aloud where one that works has another number than before, but for the first of one alone.
func (t *coreTenant) log(before sdkplan.CoreShare, cores int) {
	level := slog.LevelDebug
	if t.share.Works && before.Cores != t.share.Cores && (t.share.With > 0 || before.Cores != 0) {
		level = slog.LevelInfo
	}
	t.model.log.Log(context.Background(), level, "cores of the model", "cores", t.share.Cores, "of", cores, "before", before.Cores, "why", t.share.Why)
}

// tell sends orders until the process was told what its share is. One order is under way at a time, so that the last one wins.
func (k *coreKeeper) tell(t *coreTenant) {
	for {
		k.mu.Lock()
		n := t.share.Cores
		if t.gone || t.told == n {
			t.telling = false
			k.mu.Unlock()
			return
		}
		t.told = n
		k.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), orderTime)
		_, err := t.life.orders.do(ctx, sdk.Order{Cores: &sdk.CoresOrder{Cores: n}})
		cancel()
		if err != nil && !errors.Is(err, client.ErrGone) {
			t.model.log.Warn("the plugin was not told on how many cores to compute", "cores", n, "error", err)
		}
	}
}
