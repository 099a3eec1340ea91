package serve

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/sdk/plan"
)

// journal.go tells in the log what has moved, why, and what it cost: a line for each way from one device to another, once nothing is on its way any more.
// Experts that come and go with what is asked are counted only (Report); those that give way to an order are told.

// journal is what has moved since it was last told. Under residency.mu.
type journal struct {
	why   []string
	since time.Duration // what is told began to move
	trips []*trip
}

// trip is all that has gone from one device to another.
type trip struct {
	from, to int
	places   []*place
	evicted  int           // copies of weights that were given up where the modules stay
	copied   int64         // bytes of weights and states
	link     time.Duration // in which copies of weights had it
	freed    int64         // bytes that the device they left has again
}

func (j *journal) isEmpty() bool { return len(j.why) == 0 && len(j.trips) == 0 }

// begin is for whoever notes something, which is the first thing perhaps.
func (j *journal) begin(now time.Duration) {
	if j.isEmpty() {
		j.since = now
	}
}

// because notes a reason for what moves from now on.
func (j *journal) because(now time.Duration, why string) {
	j.begin(now)
	if !slices.Contains(j.why, why) {
		j.why = append(j.why, why)
	}
}

// trip is the one between two devices.
func (j *journal) trip(from, to int) *trip {
	for _, t := range j.trips {
		if t.from == from && t.to == to {
			return t
		}
	}
	t := &trip{from: from, to: to}
	j.trips = append(j.trips, t)
	return t
}

// moved notes that a module is computed elsewhere, whose states were copied or were empty.
func (j *journal) moved(now time.Duration, p *place, dev int, copied bool) {
	j.begin(now)
	t := j.trip(p.dev, dev)
	t.places, t.freed = append(t.places, p), t.freed+p.weights.Bytes()+p.m.StateBytes()
	if copied {
		t.copied += p.m.StateBytes()
	}
}

// ordered notes that the weights of a module that an order has moved are copied behind it.
func (j *journal) ordered(p *place, from int) {
	if from != p.dev {
		j.trip(from, p.dev).copied += p.weights.Bytes()
	}
}

// gaveUp notes copies of weights that left a device, and what it has again.
func (j *journal) gaveUp(dev, evicted int, bytes int64) {
	if evicted > 0 || bytes > 0 {
		t := j.trip(dev, 0)
		t.evicted, t.freed = t.evicted+evicted, t.freed+bytes
	}
}

// tell writes what there is to be told, if nothing is on its way.
func (r *residency) tell() {
	j := &r.journal
	if j.isEmpty() || len(r.coming) > 0 || len(r.mailbox.owed) > 0 {
		return
	}
	took := r.clock.Now() - j.since
	for _, t := range j.trips {
		what, streamed := []any{"from", r.devices[t.from].Name(), "to", r.devices[t.to].Name(), "modules", len(t.places)}, 0
		for _, p := range t.places {
			if p.streamed {
				streamed++
			}
		}
		if len(t.places) > 0 {
			what = append(what, "which", runs(t.places))
		}
		if streamed > 0 {
			what = append(what, "streamed", streamed)
		}
		if t.evicted > 0 {
			what = append(what, "given up", t.evicted)
		}
		what = append(what, "why", strings.Join(j.why, "; "), "copied", plan.Size(t.copied), "freed", plan.Size(t.freed), "took", inWords(took))
		if t.link > 0 {
			what = append(what, "on the link", inWords(t.link))
		}
		slog.Info("modules have moved", what...)
	}
	r.journal = journal{}
}

// inWords is a time as it is to stand in the host's log too, which would have it as a number of nanoseconds.
func inWords(t time.Duration) string { return t.Round(time.Microsecond).String() }

// mostRuns is how many pieces of the forward pass are named.
const mostRuns = 8

// runs names modules, layers that follow each other by the first and the last of them.
func runs(places []*place) string {
	list := slices.Clone(places)
	slices.SortFunc(list, func(a, b *place) int { return a.index - b.index })
	list = slices.Compact(list)
	var names []string
	for first := 0; first < len(list); {
		last := first
		for last+1 < len(list) && list[last+1].index == list[last].index+1 && list[last].m.Layer >= 0 && list[last+1].m.Layer >= 0 {
			last++
		}
		if len(names) == mostRuns {
			return strings.Join(names, ", ") + fmt.Sprintf(" and %d more", len(list)-first)
		}
		if name := list[first].m.ID; first == last {
			names = append(names, name)
		} else {
			names = append(names, name+" to "+list[last].m.ID)
		}
		first = last + 1
	}
	return strings.Join(names, ", ")
}
