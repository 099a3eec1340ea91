package far

import (
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
)

// order.go says what is ordered: vector clocks (Fidge and Mattern, 1988) over the queues, whose edges are marks and waits, and what the CPU
// knew when it added an entry. Two uses of the same bytes of which one writes are a fault if neither is before the other. The
// CPU's own uses need no record: what is in a queue then has not run, and what is added later is behind them.

// clock says by slot up to which time of each queue something comes after.
type clock []uint64

func (c *clock) join(o clock) {
	for len(*c) < len(o) {
		*c = append(*c, 0)
	}
	for i, t := range o {
		(*c)[i] = max((*c)[i], t)
	}
}

func (c *clock) set(slot int, t uint64) {
	for len(*c) <= slot {
		*c = append(*c, 0)
	}
	(*c)[slot] = t
}

// covers says that what a queue did at a time comes before.
func (c clock) covers(slot int, t uint64) bool { return slot < len(c) && c[slot] >= t }

// span is bytes that something reads or writes.
type span struct {
	from, to uintptr
	dev      cuda.Device // nil: the memory of this process
	write    bool
	what     fmt.Stringer
}

func (s *span) meets(o *span) bool {
	return s.dev == o.dev && s.from < o.to && o.from < s.to && (s.write || o.write)
}

func (s *span) verb() string {
	switch _, whole := s.what.(described); {
	case whole:
		return "frees"
	case s.write:
		return "writes"
	}
	return "reads"
}

func spanOf(t cuda.Tensor, write bool) span {
	at := uintptr(t.Pointer())
	return span{at, at + uintptr(t.Bytes()), t.Device(), write, t}
}

func appendTensor(list []span, t cuda.Tensor, write bool) []span {
	if t.IsZero() || t.Bytes() == 0 {
		return list
	}
	return append(list, spanOf(t, write))
}

func appendMatrix(list []span, m cuda.Matrix, write bool) []span {
	if m.IsZero() {
		return list
	}
	for i := range m.Layout.Planes {
		if p := m.Plane(i); p.Bytes() > 0 {
			s := spanOf(p, write)
			s.what = m
			list = append(list, s)
		}
	}
	return list
}

// spansOf is what an op may use: of experts all that are there, wherever rows go.
func spansOf(op *cuda.Op) (list []span) {
	out, in, weights := op.Operands()
	for _, t := range out {
		list = appendTensor(list, t, true)
	}
	for _, t := range in {
		list = appendTensor(list, t, false)
	}
	for _, w := range weights {
		list = appendMatrix(list, w, false)
	}
	if op.Experts != nil {
		for _, e := range op.Experts.Experts {
			list = appendMatrix(appendMatrix(appendMatrix(list, e.Gate, false), e.Up, false), e.Down, false)
		}
	}
	return list
}

// use is one that a queue made.
type use struct {
	span
	by *entry
	at uint64
}

// history is the uses of one memory that something might still not be ordered with.
type history struct{ uses []use }

// unordered is a use that a new one meets and does not come after.
func (h *history) unordered(s *span, known clock) *use {
	for i := range h.uses {
		if u := &h.uses[i]; u.meets(s) && !known.covers(u.by.q.slot, u.at) {
			return u
		}
	}
	return nil
}

// add notes a use, and forgets those within it that come before: whatever meets one of them and is not ordered with it is not ordered with
// the new one either.
func (h *history) add(s span, e *entry) {
	kept := h.uses[:0]
	for _, u := range h.uses {
		within := s.from <= u.from && u.to <= s.to && (s.write || !u.write)
		if !within || !e.q.clock.covers(u.by.q.slot, u.at) {
			kept = append(kept, u)
		}
	}
	clear(h.uses[len(kept):])
	h.uses = append(kept, use{s, e, e.at})
}

// prune forgets the uses that come before all there will be.
func (h *history) prune(after func(u *use) bool) {
	kept := h.uses[:0]
	for i := range h.uses {
		if !after(&h.uses[i]) {
			kept = append(kept, h.uses[i])
		}
	}
	clear(h.uses[len(kept):])
	h.uses = kept
}

// historyOf is that of the memory that a span lies in; nil for a device of elsewhere.
func (m *Machine) historyOf(dev cuda.Device) *history {
	if dev == nil {
		return &m.seen
	}
	if d, ok := dev.(*Device); ok && d.late != nil && d.late.Machine == m {
		return &d.late.history
	}
	return nil
}

// check accuses an entry that is about to run, or notes what it uses.
func (m *Machine) check(e *entry) error {
	for i := range e.spans {
		s := &e.spans[i]
		h := m.historyOf(s.dev)
		if h == nil {
			continue // the queue refuses it
		}
		if s.dev != nil {
			if why := s.dev.(*Device).late.wrong(s); why != "" {
				return m.accuse(fmt.Errorf("%v: %v %s %v, %s", e.q, e, s.verb(), s.what, why))
			}
		}
		if u := h.unordered(s, e.q.clock); u != nil {
			return m.accuse(fmt.Errorf("%v: %v %s %v, which %v of %v %s, and nothing orders the two: a missing wait", e.q, e, s.verb(), s.what, u.by, u.by.q, u.verb()))
		}
	}
	for _, s := range e.spans {
		if h := m.historyOf(s.dev); h != nil {
			h.add(s, e)
		}
	}
	return nil
}

// inUse is an entry that the CPU, which uses some bytes now, does not know to have run, and how it uses them.
func (m *Machine) inUse(s *span) (*entry, *span) {
	if h := m.historyOf(s.dev); h != nil {
		if u := h.unordered(s, m.host); u != nil {
			return u.by, &u.span
		}
	}
	return m.pending(s)
}

// pending is an entry in a queue that meets a span, and how.
func (m *Machine) pending(s *span) (*entry, *span) {
	for _, q := range m.queues {
		if q == nil {
			continue
		}
		for _, e := range q.entries {
			for i := range e.spans {
				if e.spans[i].meets(s) {
					return e, &e.spans[i]
				}
			}
		}
	}
	return nil, nil
}

// atWork says that an entry other than one runs at this instant and meets a span.
func (m *Machine) atWork(s *span, but *entry) bool {
	for _, q := range m.queues {
		if q == nil || !q.busy || q.entries[0] == but {
			continue
		}
		if slices.ContainsFunc(q.entries[0].spans, func(o span) bool { return o.meets(s) }) {
			return true
		}
	}
	return false
}

// learn is that the CPU has waited for something.
func (m *Machine) learn(c clock) {
	m.host.join(c)
	least := append(clock(nil), m.host...)
	for _, q := range m.queues {
		if q == nil {
			continue
		}
		for _, e := range q.entries {
			for i := range least {
				if !e.known.covers(i, least[i]) {
					least[i] = 0
					if i < len(e.known) {
						least[i] = e.known[i]
					}
				}
			}
		}
	}
	old := func(u *use) bool { return least.covers(u.by.q.slot, u.at) }
	m.seen.prune(old)
	for _, q := range m.queues {
		if q != nil {
			q.dev.late.history.prune(old)
		}
	}
}

// memorySpan is all of the memory that Alloc gave.
func memorySpan(m cuda.Memory, dev cuda.Device) span {
	at := uintptr(m.Pointer())
	return span{at, at + uintptr(m.Bytes()), dev, true, described{m}}
}

type described struct{ cuda.Memory }

func (m described) String() string { return fmt.Sprintf("%d bytes for %s", m.Bytes(), m.Purpose()) }
