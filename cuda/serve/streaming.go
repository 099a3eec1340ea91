package serve

import (
	"errors"

	"github.com/inference-pio/inference-pio/cuda"
)

// streaming.go brings weights to a device and gives them up. A device that cannot hold the weights of all its modules at once is
// streamed: the forward pass enters modules in a cycle, so the next use of each is known; what is needed last goes first
// (Belady's rule), and the copy of the next one runs while the entered one computes.

// fetch starts the copy of p's weights, giving up what is needed later than p.
func (r *residency) fetch(p *place) error {
	d := r.devices[p.dev]
	for {
		err := p.startTransfer(r.clock, d, nil)
		var budget *cuda.BudgetError
		if err == nil || !errors.As(err, &budget) {
			return err
		}
		if !r.evictFor(p, p.dev) {
			return err
		}
	}
}

// prefetch starts the copy of the next module that lacks its weights on p's device, if none is under way there and room
// can be made from what is needed later still. p itself is in use.
func (r *residency) prefetch(p *place) {
	for i := 1; i < len(r.places); i++ {
		q := r.places[(p.index+i)%len(r.places)]
		if q.dev != p.dev {
			continue
		}
		if q.transfer != nil {
			return // one copy ahead is enough: more would push out what is needed soon
		}
		if q.hasWeights() {
			continue
		}
		if r.fetchKeeping(q, p) == nil {
			r.counts.prefetches.Add(1)
		}
		return
	}
}

// fetchKeeping is fetch that does not give up the module in use.
func (r *residency) fetchKeeping(q, inUse *place) error {
	d := r.devices[q.dev]
	for {
		err := q.startTransfer(r.clock, d, inUse.transfer) // one copy at a time: two would share the same link
		var budget *cuda.BudgetError
		if err == nil || !errors.As(err, &budget) {
			return err
		}
		if r.evictExpert(q.dev) {
			continue
		}
		victim := r.neededLast(q.dev, inUse)
		if victim == nil || victim == inUse || r.distance(inUse, victim) <= r.distance(inUse, q) {
			return err
		}
		r.evict(victim)
	}
}

// distance is how many borders ahead of from q is entered next; from itself is a whole cycle away.
func (r *residency) distance(from, q *place) int {
	n := len(r.places)
	if d := (q.index - from.index + n) % n; d > 0 {
		return d
	}
	return n
}

// neededLast is the module with weights on dev that is entered last, seen from a module; nil if there is none.
func (r *residency) neededLast(dev int, from *place) *place {
	var last *place
	for _, q := range r.places {
		if q == from || q.dev != dev || !q.hasWeights() || r.inStep && q.m.Layer < 0 {
			continue
		}
		if last == nil || r.distance(from, q) > r.distance(from, last) {
			last = q
		}
	}
	return last
}

// evictFor gives up what is on a device to make room for something of p's: an expert, or else the weights that are needed
// last, seen from p.
func (r *residency) evictFor(p *place, dev int) bool {
	if dev == 0 {
		return r.unpackLast()
	}
	if r.evictExpert(dev) || r.makeWay(p, dev) {
		return true
	}
	victim := r.neededLast(dev, p)
	if victim == nil {
		return false
	}
	r.evict(victim)
	return true
}

// evict gives up a module's weights on its device; it stays placed there.
func (r *residency) evict(p *place) {
	p.dropWeights(r.stage.Queue(p.dev))
	p.m.Unsettle()
	r.counts.evictions.Add(1)
}

// streams says whether some module of a device lacks its weights there, so that borders have work.
func (r *residency) streams(dev int) bool {
	for _, q := range r.places {
		if q.dev == dev && (!q.hasWeights() || q.transfer != nil) {
			return true
		}
	}
	return false
}
