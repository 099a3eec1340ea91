// arbiter.go moves the shares of the devices besides the cpu between models as they come to work and stop: one goroutine, which is woken when
// somebody's work begins or ends, asks plan.Divide who is to have what, and has it carried out: first those shrink who have too much,
// which moves no bytes, as weights are dropped; when they have said that they hold less, those grow who want more. Nobody gives up what nobody
// wants, and nothing changes while nobody works.
package schedule

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

const (
	// shareLinger is how long a model keeps its share after its last request, or after it was loaded: a person who reads an answer is back by then.
	shareLinger = 20 * time.Second
	// shareKeep is the part of a device that is not worth an order.
	shareKeep = 1. / 32
	// shareRest is how long a model is left alone that has refused an order or not answered it.
	shareRest = time.Minute
)

// stake is a model as the arbiter sees it, at one moment. Lists are by device.
type stake struct {
	sdkplan.Tenant         // Held is what it has been promised, which Load gives it too
	under          []bool  // an order is under way
	fixed          []bool  // its share stays: an operator has ruled, it loads, or it has refused
	coming         bool    // it is about to be loaded, and waits for its shares: they grow without an order
	ruled          []bool  // an operator has ruled, and nothing else keeps it
	to             []int64 // of an order under way: the share it ends with
}

// change is an order to be sent: what a model holds of a device from now on.
type change struct {
	stake, device int
	bytes         int64
	why           string
	crowded       bool // the device has less than it had: it is to be obeyed as far as that can be
}

// holds is the most that a stake may hold of a device until an order under way is answered.
func (s *stake) holds(d int) int64 {
	if s.under[d] {
		return max(s.Held[d], s.to[d])
	}
	return s.Held[d]
}

// works says whether a stake counts as working.
func (s *stake) works() bool { return s.Busy || s.Idle < shareLinger }

// arbitrate says which orders are to be sent now, and after what time to look again though nothing has happened. Together with what
// is under way they never promise more than a device has: a share grows only into what others have been heard to have given up.
func arbitrate(devices []int64, stakes []stake) (orders []change, again time.Duration) {
	if !slices.ContainsFunc(stakes, func(s stake) bool { return s.works() }) && !crowded(devices, stakes) {
		return nil, 0
	}
	overrule(devices, stakes)
	want, division := targets(devices, stakes)
	for d, all := range devices {
		free := all - held(stakes, d)
		for i := range stakes {
			if s := &stakes[i]; !s.under[d] && !s.fixed[d] && want[i][d] < s.Held[d] {
				orders = append(orders, change{stake: i, device: d, bytes: want[i][d], why: division.Why[i]})
			}
		}
		for i := range stakes {
			if s := &stakes[i]; !s.under[d] && !s.fixed[d] && want[i][d] > s.Held[d] && want[i][d]-s.Held[d] <= free {
				free -= want[i][d] - s.Held[d]
				orders = append(orders, change{stake: i, device: d, bytes: want[i][d], why: division.Why[i]})
			}
		}
	}
	return orders, division.Again
}

// crowded says whether stakes hold more of a device than there now is.
func crowded(devices []int64, stakes []stake) bool {
	for d, all := range devices {
		if held := held(stakes, d); held > all {
			return true
		}
	}
	return false
}

// held is what stakes hold of a device, or may while orders are under way.
func held(stakes []stake, d int) (sum int64) {
	for i := range stakes {
		sum += stakes[i].holds(d)
	}
	return sum
}

// overrule takes what operators have ordered for no more than a wish, where the device has less than that.
func overrule(devices []int64, stakes []stake) {
	for d, all := range devices {
		var fixed int64
		for i := range stakes {
			if stakes[i].fixed[d] {
				fixed += stakes[i].holds(d)
			}
		}
		for i := range stakes {
			if s := &stakes[i]; fixed > all && s.ruled[d] {
				s.fixed[d] = false
			}
		}
	}
}

// targets are the shares of a division in which those that are fixed keep theirs, and nobody gives up what nobody wants.
func targets(devices []int64, stakes []stake) ([][]int64, sdkplan.Division) {
	free, tenants := slices.Clone(devices), make([]sdkplan.Tenant, len(stakes))
	for i := range stakes {
		t := stakes[i].Tenant
		t.May, t.Held = slices.Clone(t.May), slices.Clone(t.Held)
		for d := range devices {
			if stakes[i].fixed[d] {
				free[d] -= stakes[i].holds(d)
				t.May[d] = false
				t.Wanted = max(0, t.Wanted-max(0, t.Held[d]-t.Scratch[d]))
				t.Held[d] = 0
			}
		}
		tenants[i] = t
	}
	for d := range free {
		free[d] = max(0, free[d])
	}
	division := sdkplan.Divide(free, tenants, sdkplan.Rules{Linger: shareLinger, Keep: shareKeep})
	want := division.Shares
	for d := range devices {
		left := free[d]
		for i := range stakes {
			if stakes[i].fixed[d] {
				want[i][d] = stakes[i].Held[d]
			} else {
				left -= want[i][d]
			}
		}
		for i := range stakes { // what nobody wants stays where it is
			if more := min(stakes[i].Held[d]-want[i][d], left); more > 0 && !stakes[i].fixed[d] {
				want[i][d] += more
				left -= more
			}
		}
	}
	return want, division
}

// rule notes that an operator has ordered a device's budget.
func (m *model) rule(device string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ruled == nil {
		m.ruled = map[string]bool{}
	}
	m.ruled[device] = true
}

// arbiter is the goroutine's state.
type arbiter struct {
	host *Host
	wake chan struct{} // has room for one
	done chan answer

	under map[*model]map[string]int64 // orders under way: the share each ends with
	rests map[*model]time.Time        // those that refused, until when

	crowds map[string]*crowd // by device
	mu     sync.Mutex
	limits map[string]crowd         // those that others may see
	claims map[*model]chan struct{} // of those that are about to be loaded: closed when they have what they can have
}

// answer is what has become of an order.
type answer struct {
	m      *model
	device string
	err    error
}

func newArbiter(h *Host) *arbiter {
	return &arbiter{host: h, wake: make(chan struct{}, 1), done: make(chan answer), under: map[*model]map[string]int64{}, rests: map[*model]time.Time{},
		crowds: map[string]*crowd{}, limits: map[string]crowd{}, claims: map[*model]chan struct{}{}}
}

// look has the arbiter look at the models. It does not block.
func (a *arbiter) look() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// run arbitrates until ctx ends, and returns when no order is under way.
func (a *arbiter) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	flying := 0
	for {
		select {
		case <-a.wake:
		case <-timer.C:
		case got := <-a.done:
			flying--
			a.heard(got)
		case <-ctx.Done():
			for ; flying > 0; flying-- {
				<-a.done
			}
			return
		}
		models, names, devices, stakes := a.see(time.Now())
		limits, later := a.watchCrowds(models, names, devices, time.Now())
		orders, again := arbitrate(limits, stakes)
		if later > 0 && (again == 0 || later < again) {
			again = later
		}
		for _, o := range orders {
			if stakes[o.stake].coming {
				models[o.stake].grant(names[o.device], o.bytes)
				continue
			}
			flying++
			o.why, o.crowded = o.why+a.crowdedBy(names[o.device], devices[o.device]), limits[o.device] < devices[o.device]
			a.send(ctx, models[o.stake], names[o.device], stakes[o.stake].Held[o.device], o)
		}
		if flying == 0 { // nobody gives anything up that they could wait for
			a.admit(models, stakes)
		}
		timer.Reset(a.next(again))
	}
}

// next is when to look again at the latest.
func (a *arbiter) next(again time.Duration) time.Duration {
	for _, until := range a.rests {
		if rest := max(time.Until(until), time.Millisecond); again == 0 || rest < again {
			again = rest
		}
	}
	if again == 0 {
		return time.Hour
	}
	return again
}

// heard takes an answer in.
func (a *arbiter) heard(got answer) {
	delete(a.under[got.m], got.device)
	if got.err != nil {
		a.rests[got.m] = time.Now().Add(shareRest)
		got.m.log.Info("the model keeps its share of a device", "device", got.device, "rest", shareRest, "error", got.err)
	}
}

// see looks at all models.
func (a *arbiter) see(now time.Time) (models []*model, names []string, devices []int64, stakes []stake) {
	h := a.host
	h.mu.Lock()
	models = slices.Clone(h.models)
	for _, d := range h.config.Devices {
		if d.Name != cpu {
			names, devices = append(names, d.Name), append(devices, d.Memory)
		}
	}
	h.mu.Unlock()
	for m, until := range a.rests {
		if !now.Before(until) || !slices.Contains(models, m) {
			delete(a.rests, m)
		}
	}
	for _, m := range models {
		stakes = append(stakes, a.stakeOf(m, names, now))
	}
	return models, names, devices, stakes
}

func (a *arbiter) stakeOf(m *model, names []string, now time.Time) stake {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := stake{Tenant: sdkplan.Tenant{Name: m.entry.ID, Priority: m.entry.Priority, Idle: sdkplan.Never},
		under: make([]bool, len(names)), fixed: make([]bool, len(names)), ruled: make([]bool, len(names)), to: make([]int64, len(names))}
	ready := m.life != nil && m.life.ready
	if a.claimed(m) {
		ready, s.coming, s.Busy, s.Idle = true, true, true, 0
		s.Wanted, s.Largest = m.expects()
	} else if ready {
		s.Busy, s.Idle = m.host.cores.working(m.life, now)
		s.Wanted, s.Largest = sdkplan.Takes(m.status.Table)
		s.Pinned = m.entry.Pin
	}
	_, resting := a.rests[m]
	for d, name := range names {
		var held int64
		may := false
		for _, b := range m.devices {
			if b.Name == name {
				held, may = b.Bytes, true
			}
		}
		s.Held, s.Scratch = append(s.Held, held), append(s.Scratch, sdkplan.ScratchOn(m.status.Table, name))
		s.May = append(s.May, may && ready)
		s.to[d], s.under[d] = a.under[m][name]
		s.fixed[d] = !ready || resting || m.ruled[name]
		s.ruled[d] = ready && !resting && m.ruled[name]
	}
	return s
}

// send has an order carried out, and its outcome told in done.
func (a *arbiter) send(ctx context.Context, m *model, device string, held int64, o change) {
	if a.under[m] == nil {
		a.under[m] = map[string]int64{}
	}
	a.under[m][device] = o.bytes
	m.log.Info("the share of a device changes", "device", device, "before", sdkplan.Size(held), "bytes", sdkplan.Size(o.bytes), "why", o.why)
	go func() {
		limited, cancel := context.WithTimeout(ctx, budgetTime+orderGrace)
		defer cancel()
		order := sdk.Order{Budget: &sdk.BudgetOrder{Device: device, Bytes: o.bytes, Deadline: budgetTime, AsFar: o.crowded && o.bytes < held}}
		r, err := m.order(limited, order)
		if left := reached(order, r); err == nil && left > o.bytes {
			err = fmt.Errorf("it can give up no more: %s are left", sdkplan.Size(left))
		}
		a.done <- answer{m, device, err}
	}()
}
