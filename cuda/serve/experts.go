package serve

import (
	"container/list"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
)

// experts.go keeps single experts on a device: which ones a token will be routed to is known only when its layer runs, so no
// plan can place them. What a device has left when layers have their places is a cache of experts. Layers share it
// evenly, and within a layer the one that was used longest ago gives way: over all layers together that rule would give up what
// the next token's first layers are about to need, since a pass uses the layers in a cycle.
//
// A step never waits for an expert. One that is not there is computed on the CPU, where it lies anyway, while its
// copy is under way for the next time; one copy runs at a time on each device, and a miss meanwhile starts none. An expert is
// looked for on the device of its layer. The result does not depend on where an expert is computed, so that all
// this changes times and nothing else.

// expertCache is one device's.
type expertCache struct {
	layers   []*list.List // of *place: those with weights there or on the way, the last used first
	n        int          // in all layers
	arriving *place       // whose copy is under way, nil if none is
}

func newExpertCache(layers int) *expertCache {
	c := &expertCache{layers: make([]*list.List, layers)}
	for i := range c.layers {
		c.layers[i] = list.New()
	}
	return c
}

// fullest is the layer with the most experts there.
func (c *expertCache) fullest() int {
	most := 0
	for i, l := range c.layers {
		if l.Len() > c.layers[most].Len() {
			most = i
		}
	}
	return most
}

// expert says that a module is a part of a layer that is entered by itself.
func isExpert(m *cuda.Module) bool { return m.Layer >= 0 && m.ID != fmt.Sprintf("layers.%d", m.Layer) }

// enterExpert is Enter for an expert.
func (r *residency) enterExpert(p *place) int {
	home := r.layers[p.m.Layer].dev
	switch {
	case p.dev != 0 && r.landed(p):
		r.counts.hits.Add(1)
		r.caches[p.dev].layers[p.m.Layer].MoveToFront(p.inCache)
		p.pass = r.passes
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
	p.inCache, c.arriving = c.layers[p.m.Layer].PushFront(p), p
	c.n++
	return nil
}

// evictExpert gives up an expert to make room for one of a layer, or, with -1, for something else; false if there is none
// to give up. Experts that the running pass has used may be computing, and those that an order put there stay.
func (r *residency) evictExpert(dev, layer int) bool {
	c := r.caches[dev]
	if c.n == 0 {
		return false
	}
	from := c.fullest()
	if layer >= 0 && c.layers[layer].Len() >= c.layers[from].Len() {
		from = layer
	}
	for i := range c.layers {
		if r.evictOf(c.layers[(from+i)%len(c.layers)], layer >= 0) {
			return true
		}
	}
	return false
}

// evictOf gives up the expert of a layer that was used longest ago; running says that the layer may be computing.
func (r *residency) evictOf(l *list.List, running bool) bool {
	for e := l.Back(); e != nil; e = e.Prev() {
		if p := e.Value.(*place); !p.fixed && !(running && p.pass == r.passes) {
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
	c.layers[p.m.Layer].Remove(p.inCache)
	c.n--
	old := p.dev
	p.inCache, p.dev = nil, 0
	if c.n == 0 {
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
	for _, l := range r.caches[dev].layers {
		for l.Len() > 0 {
			r.dismiss(l.Back().Value.(*place))
		}
	}
}
