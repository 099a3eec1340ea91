// link.go counts what the link to a device has in its cache of experts: how many of those that a pass needs are there, if in the time of a pass
// it carries a part of them.

package plan

import "math"

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

// SkewOf is the Input.Skew of a cache that had a share of all experts and so many of those that were needed, while the link carried a part of
// those; it undoes hits. The published measurements of caches that throw out what was used longest ago follow such a curve: 64 and 128 of 512 experts
// had 67 and 81 % (0.19 and 0.15).
func SkewOf(share, hits, carried float64) float64 {
	p := min(1, hits+carried)
	if !(share > 0 && share < p && hits > share*min(1, p) && hits < p) {
		return 1
	}
	return min(1, math.Log(hits/p)/math.Log(share/p))
}

// carried is the part of so many bytes that the link to a device carries in the time of a pass.
func (p *planner) carried(d int, bytes, seconds float64) float64 {
	rate := p.in.Devices[d].CopyRate
	if rate == 0 || bytes == 0 {
		return math.Inf(1)
	}
	return rate * seconds / bytes
}

// settleHits finds what the caches have of the experts that a pass needs. A pass takes the longer the less that is, and the longer it takes the more the
// links carry: there is one time in which both are right.
func (p *planner) settleHits() {
	gain := make([]float64, len(p.caches)) // seconds that a cache saves that has all
	read := make([]float64, len(p.caches))
	some := false
	for n, i := range p.layers {
		d, before, all := p.modules[i].dev, p.experts[n], p.experts[n+1]
		if d > 0 && p.caches[d].Of > 0 && !p.brings(d) {
			some = true
			gain[d] += all.gain[d] - before.gain[d]
			read[d] += all.read - before.read
		}
	}
	if !some {
		return
	}
	for d := range p.caches {
		p.caches[d].Hits = 0
	}
	longest := p.total()
	within := func(seconds float64) float64 {
		takes := longest
		for d := range p.caches {
			if c := &p.caches[d]; c.Of > 0 {
				c.Hits = p.in.hits(float64(c.Experts)/float64(c.Of), p.once(d), p.carried(d, read[d], seconds))
				takes -= c.Hits * gain[d]
			}
		}
		return takes
	}
	low, high := 0.0, longest
	for range settleSteps {
		if middle := (low + high) / 2; within(middle) > middle {
			low = middle
		} else {
			high = middle
		}
	}
	within(high)
}

// settleSteps halve the time until it is known to more digits than rates are.
const settleSteps = 40
