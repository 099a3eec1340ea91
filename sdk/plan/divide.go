// divide.go divides the devices besides the CPU between models, over and over as they come to work and stop: a pure function of who works and
// who has what. What is given up costs nothing, as weights are dropped and not written back; what is taken again costs a copy, so that a share
// changes only for somebody who works.

package plan

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"
)

// Tenant is a model among those that share devices. Lists are by device.
type Tenant struct {
	Name     string
	Priority int     // higher is served first
	May      []bool  // use the device
	Wanted   int64   // bytes of weights and state that it would have on devices
	Largest  int64   // bytes of them that are the least to be of use: a layer with its state
	Scratch  []int64 // what it takes as soon as anything is computed there
	Held     []int64 // its shares now; nil: it has none
	Pinned   bool    // it is served as if it worked
	Busy     bool
	Idle     time.Duration // since it last worked; Never where it has not
}

// Never is longer ago than anything.
const Never = time.Duration(math.MaxInt64)

// Rules keep shares from going back and forth.
type Rules struct {
	Linger time.Duration // a model counts as working for so long after its last request
	Keep   float64       // of a device: shares that would change by no more are left as they are
}

// Division is what each tenant may hold.
type Division struct {
	Shares [][]int64     // by tenant and device
	Why    []string      // by tenant: completes "it has so much: "
	Again  time.Duration // after which the division is another though nothing has happened; 0: never
}

// Divide serves those that work before those that do not, higher priorities before lower, and of those that do not work whoever worked last
// first. Equals that each fit on a device whole get that, where they have most already; else each device is divided between
// them as Share does. A model that a device has no room for beside the others has nothing of it.
func Divide(devices []int64, tenants []Tenant, r Rules) Division {
	d := &dividing{tenants: tenants, free: slices.Clone(devices), users: make([]int, len(devices)), out: Division{Why: make([]string, len(tenants))}}
	for range tenants {
		d.out.Shares = append(d.out.Shares, make([]int64, len(devices)))
	}
	for _, equals := range d.classes(r) {
		if !d.pack(equals) {
			d.pour(equals)
		}
	}
	d.keep(devices, r)
	d.explain(r)
	return d.out
}

// dividing is a division under way.
type dividing struct {
	tenants []Tenant
	free    []int64 // of each device
	users   []int   // of each device, so far
	out     Division
}

// works says whether a tenant counts as working.
func (r Rules) works(t Tenant) bool { return t.Busy || t.Pinned || t.Idle < r.Linger }

// classes are the tenants in the order in which they are served, equals together.
func (d *dividing) classes(r Rules) (classes [][]int) {
	order := make([]int, len(d.tenants))
	for i, t := range d.tenants {
		order[i] = i
		if rest := r.Linger - t.Idle; !t.Busy && !t.Pinned && rest > 0 && (d.out.Again == 0 || rest < d.out.Again) {
			d.out.Again = rest
		}
	}
	rank := func(t Tenant) (works int, idle time.Duration) {
		if r.works(t) {
			return 1, 0
		}
		return 0, t.Idle
	}
	compare := func(a, b int) int {
		x, y := d.tenants[a], d.tenants[b]
		xWorks, xIdle := rank(x)
		yWorks, yIdle := rank(y)
		return cmp.Or(cmp.Compare(yWorks, xWorks), cmp.Compare(y.Priority, x.Priority), cmp.Compare(xIdle, yIdle))
	}
	slices.SortStableFunc(order, compare)
	for _, i := range order {
		if n := len(classes); n > 0 && compare(classes[n-1][0], i) == 0 {
			classes[n-1] = append(classes[n-1], i)
		} else {
			classes = append(classes, []int{i})
		}
	}
	return classes
}

// pack gives each of some tenants a place on one device that holds all of it, the largest first; false if one of them finds none.
func (d *dividing) pack(equals []int) bool {
	order := slices.Clone(equals)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(d.tenants[b].Wanted, d.tenants[a].Wanted) })
	free, users, at := slices.Clone(d.free), slices.Clone(d.users), make([]int, len(order))
	for n, i := range order {
		if at[n] = d.whole(i, free, users); at[n] < 0 {
			return false
		}
		free[at[n]] -= d.tenants[i].takes(at[n], d.tenants[i].Wanted)
		users[at[n]]++
	}
	for n, i := range order {
		d.give(i, at[n], d.tenants[i].takes(at[n], d.tenants[i].Wanted))
	}
	return true
}

// whole is the device with room for all of a tenant: of those the one where it has most now, then the one with the fewest users, then the one
// with the least room; -1 if there is none.
func (d *dividing) whole(i int, free []int64, users []int) int {
	best := -1
	for dev, room := range free {
		t := d.tenants[i]
		if !t.may(dev) || t.takes(dev, t.Wanted) > room {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(t.held(dev), t.held(best)), cmp.Compare(users[best], users[dev]), cmp.Compare(free[best], room)) > 0 {
			best = dev
		}
	}
	return best
}

// pour divides each device between equals, and again as long as somebody gets something: what one device has left may be too little for
// whoever wants much, and enough once another has given the rest.
func (d *dividing) pour(equals []int) {
	left := map[int]int64{}
	for _, i := range equals {
		left[i] = d.tenants[i].Wanted
	}
	for d.round(equals, left) {
	}
}

// round divides what each device has left between those of equals that have nothing there and want something still, and says whether anybody
// got some. Those that have had something there come first.
func (d *dividing) round(equals []int, left map[int]int64) (some bool) {
	for dev := range d.free {
		var who []int
		for _, i := range equals {
			if d.tenants[i].may(dev) && left[i] > 0 && d.out.Shares[i][dev] == 0 {
				who = append(who, i)
			}
		}
		slices.SortStableFunc(who, func(a, b int) int {
			return cmp.Compare(min(1, d.tenants[b].held(dev)), min(1, d.tenants[a].held(dev)))
		})
		fit := slices.Clone(who)
		for n, share := range Share(d.free[dev], d.claims(dev, who, left)) {
			if share == NoShare {
				fit = slices.DeleteFunc(fit, func(i int) bool { return i == who[n] })
			}
		}
		slices.Sort(fit) // bytes that do not divide go by what stays as it is, not by who was there before
		for n, share := range Share(d.free[dev], d.claims(dev, fit, left)) {
			if share > 0 {
				d.give(fit[n], dev, share)
				left[fit[n]] -= share - d.tenants[fit[n]].scratch(dev)
				some = true
			}
		}
	}
	return some
}

// claims are what some tenants want of a device.
func (d *dividing) claims(dev int, who []int, left map[int]int64) (list []Claim) {
	for _, i := range who {
		t := d.tenants[i]
		list = append(list, Claim{Least: t.takes(dev, min(left[i], t.Largest)), Wanted: t.takes(dev, left[i])})
	}
	return list
}

func (d *dividing) give(i, dev int, bytes int64) {
	d.out.Shares[i][dev] = bytes
	d.free[dev] -= bytes
	d.users[dev]++
}

// keep leaves the shares of a device as they are where none would change by much.
func (d *dividing) keep(devices []int64, r Rules) {
	for dev, all := range devices {
		var sum int64
		same := true
		for i, t := range d.tenants {
			has, gets := t.held(dev), d.out.Shares[i][dev]
			sum += has
			same = same && (has == 0) == (gets == 0) && math.Abs(float64(gets-has)) <= r.Keep*float64(all) && !d.deserves(i, dev, r)
		}
		if !same || sum > all {
			continue
		}
		for i, t := range d.tenants {
			d.out.Shares[i][dev] = t.held(dev)
		}
	}
}

// deserves says whether a tenant is to have the little more that it would get of a device: it works, and fits whole then, or takes it from one of
// a lower priority. A layer that is left to the CPU can take as long as all the others.
func (d *dividing) deserves(i, dev int, r Rules) bool {
	t := d.tenants[i]
	more := func(i int) int64 { return d.out.Shares[i][dev] - d.tenants[i].held(dev) }
	if !r.works(t) || more(i) <= 0 {
		return false
	}
	for j, other := range d.tenants {
		if other.Priority < t.Priority && more(j) < 0 {
			return true
		}
	}
	return d.out.Shares[i][dev] >= t.takes(dev, t.Wanted)
}

// explain says why shares are what they are.
func (d *dividing) explain(r Rules) {
	var working []string
	for _, t := range d.tenants {
		if r.works(t) && (t.Busy || !t.Pinned) {
			working = append(working, t.Name)
		}
	}
	for i, t := range d.tenants {
		others := strings.Join(slices.DeleteFunc(slices.Clone(working), func(name string) bool { return name == t.Name }), ", ")
		why := "nobody works"
		switch {
		case t.Pinned && !t.Busy:
			why = "it is pinned"
		case r.works(t) && others != "":
			why = "it works at the same time as " + others
		case r.works(t):
			why = "it works alone"
		case others != "":
			why = "it has nothing to do while there is work for " + others
		}
		d.out.Why[i] = why + d.outcome(i)
	}
}

// outcome says what a tenant's share means for it.
func (d *dividing) outcome(i int) string {
	t, some := d.tenants[i], false
	for dev, share := range d.out.Shares[i] {
		some = some || share > 0
		if share > 0 && share >= t.takes(dev, t.Wanted) {
			return ", and it fits whole"
		}
	}
	if !some && t.Wanted > 0 {
		return ", and there is no room for it beside the others"
	}
	return ""
}

func (t *Tenant) may(dev int) bool { return dev < len(t.May) && t.May[dev] && t.Wanted > 0 }

func (t *Tenant) held(dev int) int64 {
	if dev < len(t.Held) {
		return t.Held[dev]
	}
	return 0
}

func (t *Tenant) scratch(dev int) int64 {
	if dev < len(t.Scratch) {
		return t.Scratch[dev]
	}
	return 0
}

// takes is what so many bytes of weights and state take on a device.
func (t *Tenant) takes(dev int, bytes int64) int64 { return add(bytes, t.scratch(dev)) }
