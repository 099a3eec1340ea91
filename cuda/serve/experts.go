package serve

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/serve/heat"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

// experts.go keeps single experts on a device: which ones a token will be routed to is known only when its layer runs, so no
// plan can place them. What a device has left when layers have their places is a cache of experts. Layers share it
// evenly, and within a layer the one gives way that was needed least, where what is long ago counts less: package heat.
//
// Which experts a layer needs is known when the CPU has to compute some of them, and otherwise when the pass has ended. No pass waits for an expert: one
// that is not there is computed on the CPU, where it lies anyway, and copied for the next time. Most of what one token needs the next one needs too,
// and less of it the one after, so that a copy is worth what it is only if it is there in time: it is begun at once, and not at all behind others that
// keep the link busy for longer than a part of a step. Where it takes another's place it also has to be worth what its copy takes of the memory that the
// CPU reads meanwhile: a layer brings as many in a pass, on average, as sdk/plan says (link.go). An expert goes to the device of its layer, and into the
// memory of the one that gives way to it. The result does not depend on where an expert is computed, so that all this changes times and nothing else. What
// part of the experts needed is there then, sdk/plan says beforehand (experts.go).

// expertCache is one device's.
type expertCache struct {
	layers   [][]cached // those with weights there or on the way, in no order
	n        int        // in all layers
	worth    float64    // experts that a layer is to bring in a pass in place of others, on average
	direct   float64    // for how many of those one counts that is copied from where it lies
	staged   float64    // and one that goes through pinned memory
	credit   []credit   // of each layer
	arriving []*place   // whose copies are under way
}

// credit is what a layer may bring in place of others: what its passes have not used, of so many more than a pass has at most. Layers lack several in
// one pass and none in the next: of what is brought on average a quarter was lost where one more could be kept.
type credit struct {
	left float64
	pass uint64 // that it was given in last
}

// cached is an expert that is there. Its rank lies beside it, since of many the least is looked for.
type cached struct {
	heat heat.Heat
	p    *place
}

func newExpertCache(layers int) *expertCache {
	return &expertCache{layers: make([][]cached, layers), credit: make([]credit, layers), worth: math.Inf(1), direct: 1, staged: 1}
}

// creditKept is how many experts a layer may bring in one pass of those that passes before have not brought.
const creditKept = 8

// mayReplace says whether a layer is to bring one more expert in place of another: its copy takes memory from the CPU that computes meanwhile, and some
// are worth that, see sdk/plan (link.go).
func (c *expertCache) mayReplace(layer int, pass uint64) bool {
	k := &c.credit[layer]
	if k.pass != pass {
		k.left, k.pass = min(k.left+c.worth*float64(pass-k.pass), creditKept+c.worth), pass
	}
	return k.left >= 1
}

// fullest is the layer with the most experts there.
func (c *expertCache) fullest() int {
	most := 0
	for i, l := range c.layers {
		if len(l) > len(c.layers[most]) {
			most = i
		}
	}
	return most
}

// add lists an expert that is on its way.
func (c *expertCache) add(p *place) {
	l := &c.layers[p.m.Layer]
	p.inCache, p.at = true, len(*l)
	*l = append(*l, cached{p.heat, p})
	c.n++
}

// remove takes it from the list.
func (c *expertCache) remove(p *place) {
	l := c.layers[p.m.Layer]
	last := len(l) - 1
	l[p.at] = l[last]
	l[p.at].p.at = p.at
	l[last] = cached{}
	c.layers[p.m.Layer] = l[:last]
	p.inCache = false
	c.n--
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
	r.receiveExperts()
	home, missed := r.layers[layer].dev, r.missed[:0]
	for _, i := range experts {
		p := r.experts[layer][i]
		if p.pass == r.passes {
			continue // told before
		}
		again := p.pass+1 == r.passes
		p.pass, p.heat = r.passes, p.heat.Needed(r.passes)
		if p.inCache {
			r.caches[p.dev].layers[layer][p.at].heat = p.heat
		}
		if again && (p.inCache || home != 0 && !p.fixed) {
			r.counts.again.Add(1)
		}
		switch {
		case !p.inCache && home != 0 && !p.fixed:
			r.counts.misses.Add(1)
			missed = append(missed, p)
		case !p.inCache: // where it is to be
		case p.transfer == nil:
			r.counts.hits.Add(1)
		default: // on its way
			r.counts.misses.Add(1)
		}
	}
	slices.SortStableFunc(missed, func(a, b *place) int { return cmp.Compare(b.heat, a.heat) }) // the link has not time for all
	for _, p := range missed {
		r.admit(p, home)
	}
	r.missed = missed
	if home != 0 {
		r.fill(home)
	}
}

// fillAhead is how many copies of experts that nothing has needed yet are under way: one that has the link, and the next, so that it is not idle until
// another layer runs.
const fillAhead = 2

// fill has a link that has nothing else to do bring experts that nothing has needed yet, where there is room for all of a GPU's layers: then they have
// them all in time, and wait for the CPU no more.
func (r *residency) fill(dev int) {
	c, d, left := r.caches[dev], r.devices[dev], r.expertsOf(dev)-r.caches[dev].n
	if len(c.arriving) >= fillAhead || left <= 0 || d.Kind() != cuda.KindGPU {
		return
	}
	p := r.lacking(dev)
	if p == nil {
		return
	}
	if u := r.usage(dev); u.Budget > 0 && u.Budget-u.Used < int64(left)*(weightBytes(d, p.m)+tableBytes) {
		return
	}
	if r.startExpert(p, dev, cuda.Memory{}) == nil {
		c.send(p)
	}
}

// lacking is an expert that a device lacks, nil if there is none that may come.
func (r *residency) lacking(dev int) *place {
	for i, layer := range r.layers {
		if layer.dev != dev || len(r.caches[dev].layers[i]) == len(r.experts[i]) {
			continue
		}
		for _, p := range r.experts[i] {
			if !p.inCache && !p.fixed {
				return p
			}
		}
	}
	return nil
}

// send adds an expert that will be received.
func (c *expertCache) send(p *place) {
	c.add(p)
	c.arriving = append(c.arriving, p)
}

// receiveExperts lets experts whose copies have arrived be computed with: at the beginning of a step, and before a layer's are.
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

// linkAhead is the part of a step for which copies of experts may keep the link busy: enough for what the next layers lack, too.
const linkAhead = 0.25

// admit starts the copy of an expert, unless the link has enough to do or there is no room even without those that may give way.
func (r *residency) admit(p *place, dev int) {
	c, rate := r.caches[dev], r.devices[dev].Rates().Copy
	if n := int64(len(c.arriving)); n > 0 && rate > 0 && float64((n+1)*weightBytes(r.devices[dev], p.m)) > linkAhead*rate*r.took {
		return
	}
	_ = r.cacheExpert(p, dev, c.mayReplace(p.m.Layer, r.passes)) // without room it is computed on the CPU, which is right if slower
}

// cacheExpert starts the copy of an expert, and makes room for it if it may.
func (r *residency) cacheExpert(p *place, dev int, replace bool) error {
	r.unpackOne(p)
	c, room := r.caches[dev], cuda.Memory{}
	for {
		err := r.startExpert(p, dev, room)
		if err == nil {
			break
		}
		var budget *cuda.BudgetError
		if !replace || !errors.As(err, &budget) {
			return err
		}
		q := r.leastUsed(dev, p.m.Layer)
		if q == nil {
			return err
		}
		room = r.makeRoom(q, weightBytes(r.devices[dev], p.m))
		if r.pins.direct(p.m) {
			c.credit[p.m.Layer].left -= c.direct
		} else {
			c.credit[p.m.Layer].left -= c.staged
		}
	}
	c.send(p)
	return nil
}

// startExpert starts the copy of an expert behind the others, into room if it has some.
func (r *residency) startExpert(p *place, dev int, room cuda.Memory) (err error) {
	var after *transfer
	if list := r.caches[dev].arriving; len(list) > 0 {
		after = list[len(list)-1].transfer
	}
	d := r.devices[dev]
	p.dev = dev
	if room.Bytes() > 0 {
		err = p.startInto(room, r.clock, d, after)
	} else if err = r.leavesTables(p, dev); err == nil {
		err = p.startTransfer(r.clock, d, after)
	}
	if err != nil {
		p.dev = 0
		return err
	}
	r.counts.sent.Add(1)
	return nil
}

// bringWorth takes what a plan says that layers are to bring. It counts with copies of which some go through pinned memory, which takes more of the CPU.
func (r *residency) bringWorth(in plan.Input, caches []plan.Cache) {
	for dev, c := range r.caches {
		c.worth, c.direct, c.staged = caches[dev].Brings, 1, 1
		if d := in.Devices[dev]; d.StagedRate > 0 && d.Takes() > 0 {
			c.direct, c.staged = d.BesideTakes/d.Takes(), d.StagedTakes/d.Takes()
		}
	}
}

// makeRoom takes an expert from its device and gives what it had to the next one, if that is of its size and nothing is running that may read it
// still: to free memory and to take it again has the host wait for the device, which is to clear it.
func (r *residency) makeRoom(p *place, bytes int64) (room cuda.Memory) {
	if p.weights.Bytes() == bytes && p.transfer == nil && r.stage.Queue(p.dev).Mark() == nil {
		room, p.weights = p.weights, cuda.Memory{}
	}
	r.dismiss(p)
	r.counts.evictions.Add(1)
	return room
}

// tableBytes is what a GPU keeps of an expert besides its weights: where its three matrices lie, in the table of its layer. A pass that finds no
// room for that fails.
const tableBytes = 3 * 64

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
	if bytes := weightBytes(d, p.m) + all*tableBytes; u.Used+bytes > u.Budget {
		return &cuda.BudgetError{Device: d.Name(), Asked: bytes, Used: u.Used, Budget: u.Budget, Purpose: cuda.ForWeights}
	}
	return nil
}

// evictExpert gives up an expert to make room for something else; false if there is none to give up.
func (r *residency) evictExpert(dev int) bool {
	p := r.leastUsed(dev, -1)
	if p == nil {
		return false
	}
	r.dismiss(p)
	r.counts.evictions.Add(1)
	return true
}

// leastUsed is the expert to be given up to make room for one of a layer, or, with -1, for something else; nil if there is none. For the sake of
// an expert none is given up that the same pass needed, or that is on its way; those that an order put there stay.
func (r *residency) leastUsed(dev, layer int) *place {
	c := r.caches[dev]
	if c.n == 0 {
		return nil
	}
	from := c.fullest()
	if layer >= 0 && len(c.layers[layer]) >= len(c.layers[from]) {
		from = layer
	}
	for i := range c.layers {
		if p := r.coldest(c.layers[(from+i)%len(c.layers)], layer >= 0); p != nil {
			return p
		}
	}
	return nil
}

// coldest is the expert of a layer that is the least likely to be needed again, but for one that must stay; needed keeps those of this pass, and
// those on their way.
func (r *residency) coldest(list []cached, needed bool) (least *place) {
	under := heat.Heat(math.Inf(1))
	for _, e := range list {
		if p := e.p; e.heat < under && !p.fixed && !(needed && (p.pass == r.passes || p.transfer != nil)) {
			under, least = e.heat, p
		}
	}
	return least
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
	c.remove(p)
	p.dev = 0
	if c.n == 0 {
		r.closeDevice(old)
	}
}

// moveExpert puts an expert on a device by order, and keeps it there.
func (r *residency) moveExpert(p *place, dev int) error {
	if p.dev == dev {
		return nil
	}
	if p.inCache {
		r.dismiss(p)
	}
	if dev == 0 {
		return nil
	}
	if err := r.openDevice(dev); err != nil {
		return err
	}
	if err := r.cacheExpert(p, dev, true); err != nil {
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
		for n := len(l) - 1; n >= 0; n-- {
			r.dismiss(l[n].p)
		}
	}
}
