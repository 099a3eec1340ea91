//go:build cuda && cgo

package gpu

import "github.com/inference-pio/inference-pio/cuda"

// events.go holds how far a queue is, for others.

// event is a place in a queue: after entry so many. It implements cuda.Event.
type event struct {
	q     *Queue
	entry uint64
}

// Mark implements cuda.Queue.
func (q *Queue) Mark() cuda.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done == q.added && q.err == nil {
		return nil
	}
	return &event{q, q.added}
}

// Happened implements cuda.Event.
func (e *event) Happened() bool {
	q := e.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done >= e.entry {
		return true
	}
	q.send()
	if q.stream == nil {
		return true // of a queue that never was; Wait says so
	}
	if done, err := q.stream.Done(); done || err != nil {
		q.keep(err)
		q.finish() // does not wait any more
	}
	return q.done >= e.entry
}

// Wait implements cuda.Event.
func (e *event) Wait() error {
	e.q.mu.Lock()
	defer e.q.mu.Unlock()
	if e.q.done < e.entry {
		e.q.finish()
	}
	return e.q.err
}

// Wait implements cuda.Queue. What another GPU's queue computes is waited for by the GPU; what arrives in the memory of this process, and
// everybody else's event, by the host, while the GPU works at what was added before.
func (q *Queue) Wait(e cuda.Event) {
	if e == nil {
		return
	}
	if other, ok := e.(*event); ok {
		if other.q != q {
			q.waitFor(other)
		}
		return
	}
	if !e.Happened() {
		q.mu.Lock()
		q.send()
		q.mu.Unlock()
	}
	if err := e.Wait(); err != nil {
		q.mu.Lock()
		q.keep(err)
		q.mu.Unlock()
	}
}

func (q *Queue) waitFor(e *event) {
	passed, err := e.q.pass(e.entry)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.keep(err)
	if passed != nil && q.err == nil {
		q.apart()
		q.list.Wait(passed)
		q.added++
		q.events = append(q.events, awaited{passed, e.q})
	}
}
