package serve

import (
	"container/list"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
)

// experts.go keeps single experts on a device: which ones a token will be routed to is known only when its layer runs, so no
// plan can place them. What a device has left when layers have their places is a cache of experts, the one that was used longest
// ago giving way.
//
// A step never waits for an expert. One that is not there is computed on the CPU, where it lies anyway, while its
// copy is under way for the next time; one copy runs at a time on each device, and a miss meanwhile starts none. An expert is
// looked for on the device of its layer. The result does not depend on where an expert is computed, so that all
// this changes times and nothing else.

// expertCache is one device's.
type expertCache struct {
	used     *list.List // of *place: those with weights there or on the way, the last used first
	arriving *place     // whose copy is under way, nil if none is
}

// expert says that a module is a part of a layer that is entered by itself.
func isExpert(m *cuda.Module) bool { return m.Layer >= 0 && m.ID != fmt.Sprintf("layers.%d", m.Layer) }

// enterExpert is Enter for an expert.
func (r *residency) enterExpert(p *place) int {
	home := r.layers[p.m.Layer].dev
	switch {
	case p.dev != 0 && r.landed(p):
		r.counts.hits.Add(1)
		r.caches[p.dev].used.MoveToFront(p.inCache)
		return p.dev
	case p.dev != 0: // on its way
		r.counts.misses.Add(1)
	case home == 0 || p.fixed:
		p.m.Settle(0)
	default:
		r.counts.misses.Add(1)
		r.admit(p, home)
	}
	return 0
}

// landed says that an expert's weights are complete; if their copy failed it has none.
func (r *residency) landed(p *place) bool {
	if p.transfer == nil {
		return true
	}
	select {
	case <-p.transfer.done:
	default:
		return false
	}
	if err := p.await(r.devices[p.dev]); err != nil {
		r.dismiss(p)
		return false
	}
	return true
}

// admit starts the copy of an expert, unless another is under way or there is no room even without the experts that
// were used longest ago.
func (r *residency) admit(p *place, dev int) {
	if c := r.caches[dev]; c.arriving == nil || r.landed(c.arriving) {
		_ = r.cacheExpert(p, dev) // without room it is computed on the CPU, which is right if slower
	}
}

// cacheExpert makes room for an expert and starts its copy.
func (r *residency) cacheExpert(p *place, dev int) error {
	for {
		p.dev = dev
		err := p.startTransfer(r.devices[dev])
		if err == nil {
			break
		}
		p.dev = 0
		var budget *cuda.BudgetError
		if !errors.As(err, &budget) || !r.evictExpert(dev, p.m.Layer) {
			return err
		}
	}
	c := r.caches[dev]
	p.inCache, c.arriving = c.used.PushFront(p), p
	return nil
}

// evictExpert gives up the expert that was used longest ago, but for those of one layer, which may be computing (-1 spares
// none), and for those that an order put there.
func (r *residency) evictExpert(dev, spared int) bool {
	for e := r.caches[dev].used.Back(); e != nil; e = e.Prev() {
		if p := e.Value.(*place); p.m.Layer != spared && !p.fixed {
			r.dismiss(p)
			r.counts.evictions.Add(1)
			return true
		}
	}
	return false
}

// dismiss takes an expert from its device's cache.
func (r *residency) dismiss(p *place) {
	c := r.caches[p.dev]
	p.dropWeights(r.devices[p.dev]) // waits for a copy under way
	if c.arriving == p {
		c.arriving = nil
	}
	c.used.Remove(p.inCache)
	old := p.dev
	p.inCache, p.dev = nil, 0
	if c.used.Len() == 0 {
		r.closeDevice(old)
	}
}

// moveExpert puts an expert on a device by order, and keeps it there.
func (r *residency) moveExpert(p *place, dev int) error {
	if p.dev == dev {
		return nil
	}
	if p.dev != 0 {
		r.dismiss(p)
	}
	p.m.Unsettle()
	if dev == 0 {
		return nil
	}
	if err := r.openDevice(dev); err != nil {
		return err
	}
	if err := r.cacheExpert(p, dev); err != nil {
		r.closeDevice(dev) // perhaps opened for p alone
		return err
	}
	if err := p.await(r.devices[dev]); err != nil {
		r.dismiss(p)
		return err
	}
	return nil
}

// dismissAll takes every expert from a device.
func (r *residency) dismissAll(dev int) {
	for c := r.caches[dev]; c.used.Len() > 0; {
		r.dismiss(c.used.Back().Value.(*place))
	}
}
