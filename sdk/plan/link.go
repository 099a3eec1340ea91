// link.go counts what the link to a device has in its cache of experts: how many of those that a pass needs are there, if in the time of a pass
// it carries a part of them, and what part it should carry, as the CPU has less of its memory meanwhile.

package plan

import (
	"cmp"
	"math"
	"slices"
)

// hits is the share of the experts needed that a cache of a share of them all has, where a token needs the share once, and the link carries a
// part of what is needed during a pass.
//
// Experts lie in a stack, the last used on top, and those within the first x of them are x^Skew of what is needed next. Each that was needed is
// cached then with the same probability p: it was there, or the link has brought it. So the cache, whose experts are a sample of the stack, reaches
// down to where a share/p of them all lie: hits = p·(share/p)^Skew with p = hits + carried.
//
// A cache that has no room for the experts of one token has so much less of what it would have with that room.
func (in *Input) hits(share, once, carried float64) float64 {
	if in.Skew <= 0 || share <= 0 || share >= 1 {
		return share
	}
	if share < once && once < 1 {
		least := share / once * math.Pow(once, in.Skew)
		return min(least, in.reached(share, carried))
	}
	return in.reached(share, carried)
}

// reached solves hits = p·(share/p)^Skew. Its right side is concave in hits and positive for none, so that there is one solution, which Newton's
// steps between logarithms find from above.
func (in *Input) reached(share, carried float64) float64 {
	h := math.Pow(share, in.Skew)
	if h+carried >= 1 {
		return h
	}
	constant := in.Skew * math.Log(share)
	for range reachedSteps {
		off := (1-in.Skew)*math.Log(h+carried) + constant - math.Log(h)
		h *= math.Exp(off / (1 - (1-in.Skew)*h/(h+carried)))
	}
	return h
}

// reachedSteps are more than any such equation needs for as many digits as there are.
const reachedSteps = 12

// SkewOf is the Input.Skew of experts of which a token needs a share, and of those so many were needed by the token before. Published measurements of
// caches that throw out what was used longest ago follow such a curve: 64 and 128 of 512 experts had 67 and 81 % (0.19 and 0.15).
func SkewOf(once, again float64) float64 {
	if !(once > 0 && once < 1 && again > once && again < 1) {
		return 1
	}
	return math.Log(again) / math.Log(once)
}

// carried is the part of so many bytes that the link to a device carries if it is busy for a part of a pass, in which the CPU computes for some seconds
// and does not for others.
func (p *planner) carried(d int, bytes, busy, here, there float64) float64 {
	rate := p.in.Devices[d].CopyRate
	if rate == 0 || bytes == 0 {
		return math.Inf(1)
	}
	return busy * (p.besideRate(d)*max(0, here) + rate*there) / bytes
}

// slows is the part of its speed that the CPU loses while the link to a device is busy, which reads the same memory. A CPU that takes so many times as
// long as its rates say leaves memory that others have for nothing.
func (p *planner) slows(d int, slower float64) float64 {
	left := 1 - p.in.Devices[d].Takes()*p.besideRate(d)/p.in.readRate(p.in.Devices[0])
	return min(slowsMost, max(0, 1-slower*left))
}

// slowsMost keeps a pass from taking for ever, whatever was measured.
const slowsMost = 0.95

// besideRate is at most the rate of copies that have the host's memory for themselves.
func (p *planner) besideRate(d int) float64 {
	dev := p.in.Devices[d]
	if dev.BesideRate == 0 {
		return dev.CopyRate
	}
	rate := dev.BesideRate
	if dev.StagedRate > 0 {
		rate = 1 / ((1-dev.Staged)/dev.BesideRate + dev.Staged/dev.StagedRate)
	}
	return min(rate, dev.CopyRate)
}

// Takes is how many bytes the CPU reads less for each that is copied again and again, as long as some go through pinned memory.
func (d Device) Takes() float64 {
	if d.StagedRate == 0 {
		return d.BesideTakes
	}
	return (1-d.Staged)*d.BesideTakes + d.Staged*d.StagedTakes
}

// mixture is a pass through layers some of whose experts are in caches: what it takes without those.
type mixture struct {
	here, there float64 // seconds of the CPU, and of all else
	parts       []part
}

// part is the experts of one device's layers.
type part struct {
	d            int
	share, once  float64 // of them, that it has room for, and that a token needs
	read, needed float64 // bytes that the pass needs, and how many experts those are in each layer
	layers       float64
	here, there  float64 // seconds of all that are needed, on the CPU and there
	slows        float64
}

// mixed is the pass through where everything lies.
func (p *planner) mixed() (m mixture) {
	at := make([]part, len(p.caches))
	for n, i := range p.layers {
		d, before, all := p.modules[i].dev, p.experts[n], p.experts[n+1]
		if d > 0 && p.caches[d].Of > 0 && !p.brings(d) && all.number > before.number {
			a, here, read := &at[d], all.here-before.here, all.read-before.read
			a.read += read
			a.here += here
			a.there += here - (all.gain[d] - before.gain[d])
			a.needed += read * float64(all.number-before.number) / float64(max(1, all.bytes-before.bytes))
			a.layers++
		}
	}
	for d, a := range at {
		if p.caches[d].Hits, p.caches[d].Brings = 0, 0; a.layers > 0 {
			a.d, a.once, a.slows, a.needed = d, p.once(d), p.slows(d, cmp.Or(p.in.Devices[0].Slower, 1)), a.needed/a.layers
			a.share = float64(p.caches[d].Experts) / float64(p.caches[d].Of)
			m.parts = append(m.parts, a)
		}
	}
	if len(m.parts) == 0 {
		return m
	}
	for i := range p.modules {
		if it := &p.modules[i]; it.dev == 0 && !(it.home >= 0 && p.brings(p.modules[p.layers[it.home]].dev)) {
			m.here += it.seconds[0]
		}
	}
	m.there = p.total() - m.here
	return m
}

// settleHits finds what the caches have of the experts that a pass needs, and for what part of it links are to be busy with others: a pass takes the
// longer the less is there, and the CPU the longer the more is brought.
func (p *planner) settleHits() {
	p.beside = 0
	m := p.mixed()
	if len(m.parts) == 0 {
		return
	}
	least := func(low, high float64) (busy float64) {
		best := math.Inf(1)
		for n := range busySteps + 1 {
			b := low + (high-low)*float64(n)/busySteps
			if t := p.settle(m, b); t < best*(1-busyGain) {
				best, busy = t, b
			}
		}
		return busy
	}
	busy := 1.0
	switch {
	case p.in.Skew <= 0: // not known, and nothing is counted on
		busy = 0
	case slices.ContainsFunc(m.parts, func(a part) bool { return a.slows > 0 }):
		const step = 1. / busySteps
		busy = least(0, 1)
		busy = least(max(0, busy-step), min(1, busy+step))
	}
	p.settle(m, busy)
	for _, a := range m.parts {
		// All that are missing are brought where that is best, however many more these are than was counted on, and until passes have told how many.
		if c := &p.caches[a.d]; p.in.Skew <= 0 || c.Brings >= bringsAll*(1-c.Hits)*a.needed {
			c.Brings = math.Inf(1)
		}
	}
}

// bringsAll is the part of those that are missing from which on it is all: links are busy by steps.
const bringsAll = 0.9

const (
	busySteps = 16   // in which the best part is looked for, twice
	busyGain  = 1e-6 // of two parts that differ by less the smaller
)

// settle is the seconds of a pass, during a part of which links are busy with experts, and what caches have then. The longer it takes the more
// the links carry: there is one time in which both are right.
func (p *planner) settle(m mixture, busy float64) (seconds float64) {
	within := func(seconds float64) float64 {
		here, there, slower := m.here, m.there, 0.0
		for _, a := range m.parts {
			c, could := &p.caches[a.d], p.carried(a.d, a.read, busy, seconds-m.there, m.there)
			c.Hits = p.in.hits(a.share, a.once, could)
			brings := min(could, 1-c.Hits)
			c.Brings = brings * a.needed
			if brings > 0 {
				slower += a.slows * busy * brings / could
			}
			here, there = here-c.Hits*a.here, there+c.Hits*a.there
		}
		p.beside = here/(1-min(slowsMost, slower)) - here
		return here + p.beside + there
	}
	low, high := 0.0, (m.here+m.there)/(1-slowsMost)
	for range settleSteps {
		if middle := (low + high) / 2; within(middle) > middle {
			low = middle
		} else {
			high = middle
		}
	}
	return within(high)
}

// settleSteps halve the time until it is known to more digits than rates are.
const settleSteps = 40
