package far

import "fmt"

// late_run.go says when entries run, and runs them. Whoever waits for a queue runs it, unless each has a goroutine of its own; one entry of a
// queue runs at a time.

// live runs a queue on a goroutine of its own.
func (q *lateQueue) live() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed {
		if !q.ready(q) || q.blocked() != nil {
			q.turned.Wait()
			continue
		}
		q.run(q)
	}
}

// ready says that a queue has something to run and that nobody runs it.
func (m *Machine) ready(q *lateQueue) bool { return len(q.entries) > 0 && !q.busy }

// blocked is the event of this machine that the first entry of a queue waits for; nil if it need not wait.
func (q *lateQueue) blocked() *lateEvent {
	if e := q.entries[0]; e.kind == waiting && e.event != nil && !e.event.happened {
		return e.event
	}
	return nil
}

// need runs a queue, and those that it waits for, until something is so.
func (m *Machine) need(q *lateQueue, so func() bool) {
	for !so() {
		if m.pace.name == "own" || !m.ready(q) {
			m.turned.Wait()
			continue
		}
		if e := q.blocked(); e != nil {
			m.need(e.q, func() bool { return e.happened })
			continue
		}
		m.run(q)
	}
}

// one runs one entry that a queue needs, if that can be done without waiting.
func (m *Machine) one(q *lateQueue) {
	for m.pace.name != "own" && m.ready(q) {
		if e := q.blocked(); e != nil {
			q = e.q
			continue
		}
		if q.entries[0].foreign == nil {
			m.run(q)
		}
		return
	}
}

// some runs a random number of entries of random queues.
func (m *Machine) some() {
	if m.pace.name != "random" {
		return
	}
	for range m.random.IntN(4) {
		if q := m.queues[m.random.IntN(len(m.queues))]; q != nil && m.ready(q) && q.blocked() == nil && q.entries[0].foreign == nil {
			m.run(q)
		}
	}
}

// run runs the first entry of a queue. mu is held, but not while it computes, copies or waits for a stranger's event.
func (m *Machine) run(q *lateQueue) {
	e := q.entries[0]
	q.busy = true
	q.time++
	e.at = q.time
	q.clock.set(q.slot, q.time)
	q.clock.join(e.known)
	switch {
	case e.foreign != nil:
		m.mu.Unlock()
		err := e.foreign.Wait()
		m.mu.Lock()
		q.keep(err)
		q.clock.join(m.host)
	case e.kind == waiting:
		q.keep(e.event.err)
		q.clock.join(e.event.clock)
	case e.kind == marking:
		e.event.happened, e.event.err, e.event.clock = true, q.err, append(clock(nil), q.clock...)
	default:
		m.work(q, e)
	}
	e.done, q.busy = true, false
	q.entries[0] = nil
	q.entries = q.entries[1:]
	m.turned.Broadcast()
}

// work is what uses memory. After an error nothing is done but giving memory back.
func (m *Machine) work(q *lateQueue, e *entry) {
	if q.err == nil {
		q.err = e.fault
	}
	if q.err == nil {
		q.err = m.check(e)
	}
	if e.kind == freeing {
		q.dev.late.release(q.dev, e.mem, fmt.Sprintf("%v of %v", e, q), e)
		return
	}
	if q.err != nil {
		return
	}
	m.mu.Unlock()
	err := e.do()
	m.mu.Lock()
	q.keep(err)
}

// do computes or copies.
func (e *entry) do() error {
	now := e.q.now
	if e.holds && e.source() != e.sum {
		what := fmt.Stringer(e.src)
		if e.kind == filling {
			what = e.from
		}
		err := fmt.Errorf("%v: %v: what it copies (%v) was changed before it was made: a missing wait", e.q, e, what)
		e.q.mu.Lock()
		defer e.q.mu.Unlock()
		return e.q.accuse(err)
	}
	switch e.kind {
	case running:
		now.Run(&e.op)
	case copyingIn:
		now.CopyIn(e.dst, e.src)
	case copyingOut:
		now.CopyOut(e.dst, e.src)
	case filling:
		now.Fill(e.to, e.from)
	}
	return now.Sync()
}
