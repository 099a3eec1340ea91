package serve

import (
	"container/list"
	"errors"
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
)

// experts.go keeps single experts on a device: which ones a token will be routed to is known only when its layer runs, so no
// plan can place them. What a device has left when layers have their places is a cache of experts. Layers share it
// evenly, and within a layer the one that was used longest ago gives way: over all layers together that rule would give up what
// the next token's first layers are about to need, since a pass uses the layers in a cycle.
//
// Which experts a pass needed its device tells when the pass has ended. No pass waits for an expert: one that is not there is computed on
// the CPU, where it lies anyway, and copied for the next time, as many as the link can carry during a step. An expert goes to the
// device of its layer. The result does not depend on where an expert is computed, so that all this changes times and nothing else.

// expertCache is one device's.
type expertCache struct {
	layers   []*list.List // of *place: those with weights there or on the way, the last used first
	n        int          // in all layers
	arriving []*place     // whose copies are under way
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

// isExpert says that a module is an expert of a layer, which has a place of its own.
func isExpert(m *cuda.Module) bool { return m.Layer >= 0 && m.ID != fmt.Sprintf("layers.%d", m.Layer) }

// Routed implements cuda.Router.
func (r *residency) Routed(layer int, experts []int32) {
	if layer < 0 || layer >= len(r.experts) {
		return
	}
	if r.long(r.layers[layer].dev) { // all were there, and most are needed
		return
	}
	home, missed := r.layers[layer].dev, r.missed[:0]
	for _, i := range experts {
		p := r.experts[layer][i]
		if p.pass == r.passes {
			continue // told before
		}
		p.pass = r.passes
		switch {
		case p.inCache == nil && home != 0 && !p.fixed:
			r.counts.misses.Add(1)
			missed = append(missed, p)
		case p.inCache == nil: // where it is to be
		case p.transfer == nil:
			r.counts.hits.Add(1)
			r.caches[p.dev].layers[layer].MoveToFront(p.inCache)
		default: // on its way
			r.counts.misses.Add(1)
		}
	}
	for _, p := range missed {
		r.admit(p, home)
	}
	r.missed = missed
}

// receiveExperts lets experts whose copies have arrived be computed with. At the beginning of a step.
func (r *residency) receiveExperts() {
	for dev, c := range r.caches {
		kept := c.arriving[:0]
		for _, p := range c.arriving {
			switch {
			case p.transfer != nil && !p.transfer.Happened():
				kept = append(kept, p)
			case r.take(p, dev) != nil:
				p.m.Settle(0)
				r.forgetExpert(p)
			default:
				p.m.Settle(dev)
			}
		}
		c.arriving = kept
	}
}

// take ends an expert's transfer, which has happened.
func (r *residency) take(p *place, dev int) error {
	if p.transfer != nil {
		r.meter.copied(r.devices[dev], p.transfer)
	}
	return p.await(r.stage.Queue(dev))
}

// admit starts the copy of an expert, unless the link has enough to do for a step or there is no room even without the experts that were
// used longest ago.
func (r *residency) admit(p *place, dev int) {
	c, rate := r.caches[dev], r.devices[dev].Rates().Copy
	if n := int64(len(c.arriving)); n > 0 && rate > 0 && float64((n+1)*weightBytes(r.devices[dev], p.m)) > rate*r.took {
		return
	}
	_ = r.cacheExpert(p, dev) // without room it is computed on the CPU, which is right if slower
}

// cacheExpert makes room for an expert and starts its copy.
func (r *residency) cacheExpert(p *place, dev int) error {
	c := r.caches[dev]
	for {
		var after *transfer
		if n := len(c.arriving); n > 0 {
			after = c.arriving[n-1].transfer
		}
		r.unpackOne(p)
		p.dev = dev
		err := r.leavesTables(p, dev)
		if err == nil {
			err = p.startTransfer(r.clock, r.devices[dev], after)
		}
		if err == nil {
			break
		}
		p.dev = 0
		var budget *cuda.BudgetError
		if !errors.As(err, &budget) || !r.evictExpert(dev, p.m.Layer) {
			return err
		}
	}
	p.inCache, c.arriving = c.layers[p.m.Layer].PushFront(p), append(c.arriving, p)
	c.n++
	return nil
}

// What a GPU keeps of an expert besides its weights: where its three matrices lie, in the table of its layer. Whenever one comes or goes its
// layer has another, while the ones before are used still, and a pass that finds no room for it fails.
const (
	tableBytes = 3 * 64
	tablesKept = 3
)

// leavesTables says, as the device's budget would, that an expert would take the room that tables need.
func (r *residency) leavesTables(p *place, dev int) error {
	d, u := r.devices[dev], r.usage(dev)
	if d.Kind() != cuda.KindGPU || u.Budget == 0 {
		return nil
	}
	all := int64(0)
	for _, layer := range r.experts {
		all += int64(len(layer))
	}
	if bytes := weightBytes(d, p.m) + all*tableBytes*tablesKept; u.Used+bytes > u.Budget {
		return &cuda.BudgetError{Device: d.Name(), Asked: bytes, Used: u.Used, Budget: u.Budget, Purpose: cuda.ForWeights}
	}
	return nil
}

// evictExpert gives up an expert to make room for one of a layer, or, with -1, for something else; false if there is none
// to give up. For the sake of an expert none is given up that the same pass needed; those that an order put there stay.
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

// evictOf gives up the expert of a layer that was used longest ago; needed keeps those of the last pass.
func (r *residency) evictOf(l *list.List, needed bool) bool {
	for e := l.Back(); e != nil; e = e.Prev() {
		if p := e.Value.(*place); !p.fixed && !(needed && p.pass == r.passes) {
			r.dismiss(p)
			r.counts.evictions.Add(1)
			return true
		}
	}
	return false
}

// dismiss takes an expert from its device.
func (r *residency) dismiss(p *place) {
	c := r.caches[p.dev]
	c.arriving = slices.DeleteFunc(c.arriving, func(q *place) bool { return q == p })
	p.m.Settle(0)
	p.dropWeights(r.stage.Queue(p.dev)) // waits for a copy under way
	r.forgetExpert(p)
}

// forgetExpert takes an expert that has no weights any more from its device's list.
func (r *residency) forgetExpert(p *place) {
	c, old := r.caches[p.dev], p.dev
	c.layers[p.m.Layer].Remove(p.inCache)
	c.n--
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
	if p.inCache != nil {
		r.dismiss(p)
	}
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
	c := r.caches[dev]
	c.arriving = c.arriving[:len(c.arriving)-1] // it is waited for here
	if err := p.await(r.stage.Queue(dev)); err != nil {
		r.forgetExpert(p)
		return err
	}
	p.m.Settle(dev)
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
