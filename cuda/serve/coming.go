package serve

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/clock"
	"github.com/inference-pio/inference-pio/sdk"
)

// coming.go brings modules from the CPU to the device where a plan has them while steps go on, be it the first plan of a load or a new one. No step
// waits for their weights: the CPU computes a module from the file, which stays mapped, until the copy is there, and the module goes over at a border
// between two of them.
// The last layers come first: a pass that begins on the CPU meets them on its way, so that the first token is there when the CPU's part of
// the layers and the link's make up all of them.
//
// A layer's states follow its weights. Who computes the layer writes them, so that they are copied within the pass that is to find them on the
// device: from its first border on, beside the layers before, and waited for when the layer is entered. Until a pass has come to the layer nothing is
// written to them, and there is nothing to copy.

// comingAhead is how many copies are asked for at once. They have the link one after the other; the next are asked for at borders, and the
// link is to have work until there is one.
const comingAhead = 5

// arrival is a module that is to go over.
type arrival struct {
	p        *place // on the CPU
	dev      int
	streamed bool          // by the plan there is no room for its weights to stay
	late     bool          // there was none, or the copy failed
	there    *place        // what p will be, with the copy of the weights; nil: not asked for
	link     time.Duration // in which that copy had it, when it is there
	states   *states       // on their way, of a layer of the running pass
}

// waited says that steps will wait for the weights, as for those of all that is streamed: it goes over without them when nothing else comes.
func (a *arrival) waited() bool { return a.streamed || a.late }

// arrived says that the copy is there and was found whole.
func (a *arrival) arrived() bool { return a.there != nil && a.there.transfer == nil }

// expect has what a plan moves from the CPU come. What comes already goes on, if it is in the plan still.
func (r *residency) expect(plan []sdk.Placement) {
	before := r.coming
	r.coming = nil
	for _, pl := range plan {
		p := r.place(pl.Module)
		dev, err := r.device(pl.Device)
		if p == nil || err != nil || p.fixed || p.expert || p.dev != 0 || dev == 0 {
			continue
		}
		a := &arrival{p: p, dev: dev, streamed: pl.Streamed}
		if i := slices.IndexFunc(before, func(b *arrival) bool { return b.p == p && b.dev == dev && b.streamed == pl.Streamed && !b.late }); i >= 0 {
			a = before[i]
			before = slices.Delete(before, i, i+1)
		}
		r.coming = append(r.coming, a)
	}
	r.turnBackAll(before)
	slices.SortStableFunc(r.coming, func(a, b *arrival) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.p.index, a.p.index))
	})
	for _, p := range r.places {
		if len(r.coming) > 0 {
			p.m.Unsettle() // every border is one at which something may go over
		}
	}
	r.send()
	r.goWithout()
}

// rank is the order in which modules come: those outside the layers can go over between two steps only, and the CPU reads their weights once for all rows.
func rank(a *arrival) int {
	switch {
	case a.waited():
		return 2
	case a.p.m.Layer < 0:
		return 1
	}
	return 0
}

// send asks for copies, as long as not enough are under way to a device. Each has a link of its own.
func (r *residency) send() {
	for dev := 1; dev < len(r.devices) && len(r.coming) > 0; dev++ {
		r.sendTo(dev)
	}
}

func (r *residency) sendTo(dev int) {
	var last *transfer
	under := 0
	for _, a := range r.coming {
		if a.dev == dev && a.there != nil && a.there.transfer != nil {
			last = a.there.transfer
			if !last.Happened() {
				under++
			}
		}
	}
	for _, a := range r.coming {
		if under >= comingAhead {
			return
		}
		if a.dev != dev || a.there != nil || a.waited() {
			continue
		}
		if err := r.ask(a, last); err != nil {
			a.late = true
			continue
		}
		last = a.there.transfer
		under++
	}
}

// ask starts the copy of a module's weights. Room is made as for what is used now.
func (r *residency) ask(a *arrival, after *transfer) error {
	if err := r.openDevice(a.dev); err != nil {
		return err
	}
	there := &place{m: a.p.m, index: a.p.index, dev: a.dev}
	for {
		err := there.startTransfer(r.clock, r.devices[a.dev], after)
		if err == nil {
			break
		}
		if !isBudget(err) || !r.evictExpert(a.dev) {
			r.closeDevice(a.dev)
			return err
		}
	}
	a.there = there
	r.counts.prefetches.Add(1)
	if clock.IsReal(r.clock) { // in a time that is counted nothing goes on between steps
		go func(t *transfer) {
			_ = t.Wait()
			r.mailbox.poke()
		}(there.transfer)
	}
	return nil
}

// welcome is a border of a step, at which a module is entered: it goes over if it has come, and its states with it.
func (r *residency) welcome(p *place) error {
	if len(r.coming) == 0 {
		return nil
	}
	for _, a := range slices.Clone(r.coming) {
		if a.there != nil && a.there.transfer != nil && a.there.transfer.Happened() {
			if err := r.received(a); err != nil {
				return err
			}
		}
		if !a.arrived() || a.p.m.Layer < 0 || a.p.index < p.index || a.p != p && !r.passing {
			continue
		}
		if (a.states != nil || r.follows(a)) && a.p == p {
			r.goOver(a)
		}
	}
	r.send()
	return nil
}

// received ends a copy that has happened. A failed one is told to the step, as where it is waited for.
func (r *residency) received(a *arrival) error {
	r.meter.copied(r.devices[a.dev], a.there.transfer)
	a.link = a.there.transfer.took
	if err := a.there.await(r.stage.Queue(a.dev)); err != nil {
		a.there, a.late = nil, true
		r.closeDevice(a.dev)
		return fmt.Errorf("%s to %s: %w", a.p.m.ID, r.devices[a.dev].Name(), err)
	}
	return nil
}

// follows starts the copy of an arrived layer's states; false if there is no room for them, and the layer has to be waited for later.
func (r *residency) follows(a *arrival) bool {
	from, to := r.end(0), r.end(a.dev)
	s, err := a.p.allocStates(to)
	for isBudget(err) && r.evictFor(a.p, a.dev) {
		s, err = a.p.allocStates(to)
	}
	if err != nil {
		r.postpone(a)
		return false
	}
	mark, fresh := from.queue.Mark(), r.fresh // what was asked for before this border has been done with them
	s.copied = !fresh
	s.running = r.clock.Beside(func() error {
		if fresh { // this pass is the first to write them, and has not come to them
			return nil
		}
		return s.copy(a.p, mark, from.dev, to.dev)
	})
	a.states = s
	return true
}

// goOver has a module be computed where its weights have come to, and its states, which are waited for if they are under way.
func (r *residency) goOver(a *arrival) {
	if s := a.states; s != nil {
		if s.running.Wait() != nil {
			r.postpone(a)
			return
		}
		a.states = nil
		a.p.putStates(s, r.stage.Queue(0))
		r.moved(a.p, a.dev, s.copied)
	} else if r.move(a.p, a.dev) != nil {
		r.postpone(a)
		return
	}
	a.p.weights, a.there = a.there.weights, nil
	t := r.journal.trip(0, a.dev)
	t.copied, t.link = t.copied+a.p.weights.Bytes(), t.link+a.link
	r.coming = slices.DeleteFunc(r.coming, func(b *arrival) bool { return a == b })
}

// betweenSteps has go over what can while no step runs: all that has come where nobody is in a hurry, and else what is outside the layers.
func (r *residency) betweenSteps(layers bool) {
	for _, a := range slices.Clone(r.coming) {
		if layers && a.there != nil && a.there.transfer != nil && a.there.transfer.Happened() && !a.there.transfer.failed() {
			_ = r.received(a)
		}
		if a.arrived() && (layers || len(a.p.m.States) == 0) {
			r.goOver(a)
		}
	}
	if layers {
		r.send()
	}
	r.goWithout()
}

// goWithout has the rest go over without weights once nothing else comes.
func (r *residency) goWithout() {
	if slices.ContainsFunc(r.coming, func(a *arrival) bool { return !a.waited() }) {
		return
	}
	r.coming = slices.DeleteFunc(r.coming, func(a *arrival) bool {
		if r.inStep && a.p.m.Layer < 0 {
			return false
		}
		if r.move(a.p, a.dev) == nil {
			a.p.streamed = a.streamed
		} else { // without room it stays, which is always right if slower
			r.settled = append(r.settled, a.p)
		}
		return true
	})
}

// settleStates ends a pass that did not enter a layer whose states were sent: the CPU has them.
func (r *residency) settleStates() {
	for _, a := range r.coming {
		r.keepStates(a)
	}
}

func (r *residency) keepStates(a *arrival) {
	if a.states != nil {
		_ = a.states.running.Wait()
		a.states.free(r.stage.Queue(a.dev))
		a.states = nil
	}
}

// turnBack gives up what has come of a module. Unless that comes anew the CPU is to compute it: see packSettled.
func (r *residency) turnBack(a *arrival) {
	r.keepStates(a)
	r.settled = append(r.settled, a.p)
	if a.there == nil {
		return
	}
	if t := a.there.transfer; t != nil {
		t.recalled.Store(true)
	}
	a.there.dropWeights(r.stage.Queue(a.dev))
	a.there = nil
	r.closeDevice(a.dev)
}

// postpone has a module go over last.
func (r *residency) postpone(a *arrival) {
	r.turnBack(a)
	a.late = true
}

// makeWay gives up the last copy to a device, for something that is needed now and is not p's; false if there is none.
func (r *residency) makeWay(p *place, dev int) bool {
	for _, a := range slices.Backward(r.coming) {
		if a.dev == dev && a.there != nil && a.p != p {
			r.postpone(a)
			return true
		}
	}
	return false
}

// turnBackAll gives up several: those whose copies have not begun are told before one is waited for that has.
func (r *residency) turnBackAll(list []*arrival) {
	for _, a := range list {
		if a.there != nil && a.there.transfer != nil {
			a.there.transfer.recalled.Store(true)
		}
	}
	for _, a := range list {
		r.turnBack(a)
	}
}

// recall has all that comes to a device stay on the CPU.
func (r *residency) recall(dev int) {
	var back []*arrival
	r.coming = slices.DeleteFunc(r.coming, func(a *arrival) bool {
		if a.dev == dev {
			back = append(back, a)
		}
		return a.dev == dev
	})
	r.turnBackAll(back)
}

// arrivalOf is a module that is to go over; nil if it stays.
func (r *residency) arrivalOf(p *place) *arrival {
	if i := slices.IndexFunc(r.coming, func(a *arrival) bool { return a.p == p }); i >= 0 {
		return r.coming[i]
	}
	return nil
}

// stay has a module come nowhere.
func (r *residency) stay(p *place) {
	r.coming = slices.DeleteFunc(r.coming, func(a *arrival) bool {
		if a.p == p {
			r.turnBack(a)
		}
		return a.p == p
	})
}

func isBudget(err error) bool {
	var budget *cuda.BudgetError
	return errors.As(err, &budget)
}
