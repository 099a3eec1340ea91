package far

import (
	"errors"
	"fmt"
	"hash/maphash"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// late_queue.go holds the queues of a late device and their events: what is added is an entry, which late_run.go runs.

// lateQueue implements cuda.Queue.
type lateQueue struct {
	*Machine
	dev     *Device
	slot    int
	now     *cpu.Queue // runs one entry at once
	entries []*entry   // the first may be running
	busy    bool       // it is
	closed  bool
	clock   clock // of what has run
	time    uint64
	err     error
}

// what an entry is.
type kind uint8

const (
	running kind = iota
	copyingIn
	copyingOut
	filling
	freeing
	marking
	waiting
)

// entry is something in a queue.
type entry struct {
	kind     kind
	op       cuda.Op
	dst, src cuda.Tensor
	to, from cuda.Matrix
	mem      cuda.Memory
	event    *lateEvent // that is marked or waited for
	foreign  cuda.Event // that is waited for and not this machine's

	q     *lateQueue
	spans []span
	known clock // what the CPU knew when it was added
	at    uint64
	sum   uint64 // of the source, if that was complete when the entry was added
	holds bool   // sum is known
	fault error  // found before it ran
	done  bool
}

// lateEvent implements cuda.Event.
type lateEvent struct {
	q        *lateQueue
	happened bool
	clock    clock
	err      error
}

func (m *Machine) newQueue(d *Device) cuda.Queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := &lateQueue{Machine: m, dev: d, now: cpu.NewQueue(d, d.threads, d)}
	for q.slot < len(m.queues) && m.queues[q.slot] != nil {
		q.slot++
	}
	if q.slot == len(m.queues) {
		m.queues, m.ended = append(m.queues, nil), append(m.ended, 0)
	}
	m.queues[q.slot], q.time = q, m.ended[q.slot]
	q.clock.set(q.slot, q.time)
	if m.pace.name == "own" {
		go q.live()
	}
	return q
}

func (q *lateQueue) String() string { return fmt.Sprintf("queue %d of %s", q.slot, q.dev.name) }

// String tells what an entry does, for errors.
func (e *entry) String() string {
	switch e.kind {
	case running:
		return e.op.Code.String()
	case copyingIn:
		return "a copy to the device"
	case copyingOut:
		return "a copy from the device"
	case filling:
		return "a fill"
	case freeing:
		return "a free"
	case marking:
		return "a mark"
	}
	return "a wait"
}

// Run implements cuda.Queue.
func (q *lateQueue) Run(op *cuda.Op) { q.add(&entry{kind: running, op: *op, spans: spansOf(op)}) }

// CopyIn implements cuda.Queue.
func (q *lateQueue) CopyIn(dst, src cuda.Tensor) {
	q.add(&entry{kind: copyingIn, dst: dst, src: src, spans: appendTensor(appendTensor(nil, dst, true), src, false)})
}

// CopyOut implements cuda.Queue.
func (q *lateQueue) CopyOut(dst, src cuda.Tensor) {
	q.add(&entry{kind: copyingOut, dst: dst, src: src, spans: appendTensor(appendTensor(nil, dst, true), src, false)})
}

// Fill implements cuda.Queue.
func (q *lateQueue) Fill(dst, src cuda.Matrix) {
	q.add(&entry{kind: filling, to: dst, from: src, spans: appendMatrix(appendMatrix(nil, dst, true), src, false)})
}

// Free implements cuda.Queue.
func (q *lateQueue) Free(m cuda.Memory) {
	if m.Bytes() > 0 {
		q.add(&entry{kind: freeing, mem: m, spans: []span{memorySpan(m, q.dev)}})
	}
}

// Mark implements cuda.Queue.
func (q *lateQueue) Mark() cuda.Event {
	q.mu.Lock()
	known := len(q.entries) == 0 && q.err == nil && q.host.covers(q.slot, q.time)
	q.mu.Unlock()
	if known {
		return nil
	}
	e := &lateEvent{q: q}
	q.add(&entry{kind: marking, event: e})
	return e
}

// Wait implements cuda.Queue. An event of this machine was marked before it can be waited for, so that queues never wait for each other in
// a circle; a stranger's event is trusted to happen.
func (q *lateQueue) Wait(e cuda.Event) {
	if e == nil {
		return
	}
	if own, ok := e.(*lateEvent); ok && own.q.Machine == q.Machine {
		q.add(&entry{kind: waiting, event: own})
		return
	}
	q.add(&entry{kind: waiting, foreign: e})
}

// Sync implements cuda.Queue.
func (q *lateQueue) Sync() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.need(q, func() bool { return len(q.entries) == 0 })
	q.learn(q.clock)
	err := q.err
	q.err = nil
	return err
}

// Close implements cuda.Queue. What is in the queue never runs.
func (q *lateQueue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.busy {
		q.turned.Wait()
	}
	if len(q.entries) > 0 {
		q.accuse(fmt.Errorf("%v was closed with %d entries in it, of which %v is the first", q, len(q.entries), q.entries[0]))
	}
	for _, e := range q.entries {
		if e.kind == marking {
			e.event.happened, e.event.err = true, fmt.Errorf("an event of %v can never happen: the queue was closed before", q)
		}
		e.done = true
	}
	q.entries, q.closed = nil, true
	q.queues[q.slot], q.ended[q.slot] = nil, q.time
	q.turned.Broadcast()
}

var errClosed = errors.New("something was added to a queue that is closed")

func (q *lateQueue) add(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.q = q; q.closed {
		q.accuse(fmt.Errorf("%v: %v: %w", q, e, errClosed))
		return
	}
	e.known = append(clock(nil), q.host...)
	switch e.kind {
	case copyingIn, filling:
		q.sumSource(e)
	case copyingOut:
		q.poison(e)
	}
	q.entries = append(q.entries, e)
	q.turned.Broadcast()
	q.some()
}

// sumSource notes what a copy is to bring, unless something in a queue is still to make it.
func (q *lateQueue) sumSource(e *entry) {
	for i := range e.spans {
		s := &e.spans[i]
		if s.dev == nil && !s.write {
			if made, how := q.pending(s); made != nil && how.write {
				return
			}
		}
	}
	e.sum, e.holds = e.source(), true
}

// source is a sum of the bytes that a copy brings.
func (e *entry) source() uint64 {
	var h maphash.Hash
	h.SetSeed(e.q.seed)
	if e.kind == copyingIn {
		h.Write(e.src.Raw())
		return h.Sum64()
	}
	if !e.from.IsZero() {
		for i := range e.from.Layout.Planes {
			h.Write(e.from.Plane(i).Raw())
		}
	}
	return h.Sum64()
}

// poison lets nobody read the old contents of a copy's destination: it is no number until the copy has arrived. What something in a queue is
// still to read stays.
func (q *lateQueue) poison(e *entry) {
	s := spanOf(e.dst, true)
	if in, _ := q.pending(&s); in != nil || e.dst.Bytes() != e.src.Bytes() {
		return
	}
	to := e.dst.Raw()
	for i := range to {
		to[i] = 0xff
	}
}

// blame keeps an error for whoever synchronises with the queue of an entry.
func (e *entry) blame(err error) {
	if e.done {
		e.q.keep(err)
	} else if e.fault == nil {
		e.fault = err
	}
}

func (q *lateQueue) keep(err error) {
	if q.err == nil {
		q.err = err
	}
}

// Happened implements cuda.Event. Whoever asks in vain lets something run, so that one who asks again and again gets on.
func (e *lateEvent) Happened() bool {
	e.q.mu.Lock()
	defer e.q.mu.Unlock()
	if !e.happened {
		e.q.one(e.q)
		return false
	}
	e.q.learn(e.clock)
	return true
}

// Wait implements cuda.Event.
func (e *lateEvent) Wait() error {
	e.q.mu.Lock()
	defer e.q.mu.Unlock()
	e.q.need(e.q, func() bool { return e.happened })
	e.q.learn(e.clock)
	return e.err
}
