package serve

import (
	"errors"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
)

// through.go brings experts through their layer's device in a pass of many rows, which needs nearly all of them: the CPU would multiply for every
// row. From how many rows on that pays the plan says. When a layer is entered, its experts that are not there were sent for when the layer
// before it was; the step waits for them, and those of the next layer are sent for, in the place of those that have been computed with. They
// are guests: the first to give way, so that most of what decoding has found to be needed often is still there afterwards.

// through is what passes of many rows bring through the devices.
type through struct {
	rows   int       // of the running pass
	from   []int     // by device: rows of a pass from which on experts are brought through it; 0: never
	guests []*place  // that the running pass has brought, in the order in which they came
	last   *transfer // of them
}

// beginPass opens a step of so many rows.
func (r *residency) beginPass(rows int) {
	r.begin()
	r.through.rows, r.passing = rows, true
	if r.passes++; r.passes%sampleEvery == 0 {
		for _, p := range r.places {
			p.m.Unsettle()
		}
		for dev := range r.devices {
			r.quiet[dev] = !r.streams(dev)
		}
	}
	for _, p := range r.layers {
		if r.visited(p) {
			p.m.Unsettle()
		}
	}
}

// long says whether the running pass brings experts through a device.
func (r *residency) long(dev int) bool {
	t := &r.through
	return dev > 0 && dev < len(t.from) && t.from[dev] > 0 && t.rows >= t.from[dev]
}

// visited says whether it brings those of a layer.
func (r *residency) visited(p *place) bool {
	return p.m.Layer >= 0 && len(r.experts[p.m.Layer]) > 0 && r.long(p.dev)
}

// bringThrough has the experts of a layer that is entered computed on its device, as far as there is room, and sends for those of the next one.
// What comes back has happened when ready has and they have arrived.
func (r *residency) bringThrough(p *place, ready cuda.Event) cuda.Event {
	if !r.visited(p) {
		return ready
	}
	next := r.visitedNext(p)
	r.invite(p, p, next)
	var wait together
	if ready != nil {
		wait = append(wait, ready)
	}
	for _, e := range r.experts[p.m.Layer] {
		if e.dev != p.dev || !e.inCache {
			continue
		}
		if e.transfer != nil {
			wait = append(wait, e.transfer)
		}
		e.m.Settle(p.dev)
	}
	if next != nil {
		r.invite(next, p, next)
	}
	if len(wait) == 0 {
		return nil
	}
	return wait
}

// visitedNext is the next layer of the pass whose experts come to the same device; nil if there is none.
func (r *residency) visitedNext(p *place) *place {
	for _, q := range r.layers[p.m.Layer+1:] {
		if q.dev == p.dev && r.visited(q) {
			return q
		}
	}
	return nil
}

// invite starts copies of the experts of a layer that its device lacks, as long as there is room without those of two layers.
func (r *residency) invite(p *place, now, next *place) {
	for _, e := range r.experts[p.m.Layer] {
		if !e.inCache && !e.fixed && !r.inviteOne(e, p.dev, now, next) {
			return
		}
	}
}

func (r *residency) inviteOne(e *place, dev int, now, next *place) bool {
	r.unpackOne(e)
	for {
		e.dev = dev
		err := e.startTransfer(r.clock, r.devices[dev], r.copiedLast(dev))
		if err == nil {
			break
		}
		e.dev = 0
		var budget *cuda.BudgetError
		if !errors.As(err, &budget) || !r.sendOff(dev, now, next) {
			return false
		}
	}
	r.caches[dev].add(e)
	r.through.guests, r.through.last = append(r.through.guests, e), e.transfer
	r.counts.prefetches.Add(1)
	return true
}

// copiedLast is the newest copy of an expert to a device: one has the link at a time.
func (r *residency) copiedLast(dev int) *transfer {
	if r.through.last != nil {
		return r.through.last
	}
	if list := r.caches[dev].arriving; len(list) > 0 {
		return list[len(list)-1].transfer
	}
	return nil
}

// sendOff gives up an expert of neither of two layers: a guest, or else the one that is the least likely to be needed again. False if there is none.
func (r *residency) sendOff(dev int, now, next *place) bool {
	stays := func(layer int) bool { return layer == now.m.Layer || next != nil && layer == next.m.Layer }
	for i, g := range r.through.guests {
		if g.inCache && g.dev == dev && !g.fixed && !stays(g.m.Layer) {
			r.through.guests = slices.Delete(r.through.guests, i, i+1)
			r.dismiss(g)
			r.counts.evictions.Add(1)
			return true
		}
	}
	c := r.caches[dev]
	from := c.fullest()
	for i := range c.layers {
		layer := (from + i) % len(c.layers)
		if p := r.coldest(c.layers[layer], false); p != nil && !stays(layer) {
			r.dismiss(p)
			r.counts.evictions.Add(1)
			return true
		}
	}
	return false
}

// seeOff ends the visits of a pass: whoever is still there stays until something else needs the room, and is received as others are.
func (r *residency) seeOff() {
	for _, g := range r.through.guests {
		if g.inCache && g.transfer != nil {
			c := r.caches[g.dev]
			c.arriving = append(c.arriving, g)
		}
	}
	clear(r.through.guests)
	r.through.guests, r.through.last, r.through.rows = r.through.guests[:0], nil, 0
}

// together is several events.
type together []cuda.Event

// Happened implements cuda.Event.
func (t together) Happened() bool {
	return !slices.ContainsFunc(t, func(e cuda.Event) bool { return !e.Happened() })
}

// Wait implements cuda.Event. It waits for all, and gives the first error.
func (t together) Wait() (first error) {
	for _, e := range t {
		if err := e.Wait(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
