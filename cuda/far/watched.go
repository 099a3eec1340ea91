package far

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// watched.go is the CPU of a late machine: a CPU whose uses of memory are checked against what devices copy from and to it.

// watched is a CPU. It computes as the one that it is made of.
type watched struct {
	*cpu.Device
	machine *Machine
}

// NewQueue is a queue that runs everything at once, and accuses what is too early.
func (w *watched) NewQueue() cuda.Queue { return &watchedQueue{Queue: w.Device.NewQueue(), cpu: w} }

// Free gives memory back. No copy may use it.
func (w *watched) Free(m cuda.Memory) {
	if m.Bytes() > 0 {
		w.leave(m)
	}
	w.Device.Free(m)
}

// leave accuses entries that use memory which is about to go, and waits for the one that does so at this instant.
func (w *watched) leave(gone cuda.Memory) {
	m := w.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	s := memorySpan(gone, nil)
	if e, how := m.inUse(&s); e != nil {
		e.blame(m.accuse(fmt.Errorf("%v: %v %s %v, used after it was freed by cpu: it was not waited for", e.q, e, how.verb(), how.what)))
	}
	for m.atWork(&s, nil) {
		m.turned.Wait()
	}
}

// watchedQueue runs what is not too early.
type watchedQueue struct {
	cuda.Queue
	cpu *watched
	err error
}

// early accuses something of the CPU that uses what a device has not yet done with.
func (q *watchedQueue) early(what string, spans []span) bool {
	m := q.cpu.machine
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range spans {
		s := &spans[i]
		if e, how := m.inUse(s); q.err == nil && e != nil {
			q.err = m.accuse(fmt.Errorf("cpu: %s %s %v, which %v of %v %s, and it was not waited for: a missing wait", what, s.verb(), s.what, e, e.q, how.verb()))
		}
	}
	return q.err != nil
}

// Run implements cuda.Queue.
func (q *watchedQueue) Run(op *cuda.Op) {
	if !q.early(op.Code.String(), spansOf(op)) {
		q.Queue.Run(op)
	}
}

// CopyIn implements cuda.Queue.
func (q *watchedQueue) CopyIn(dst, src cuda.Tensor) {
	if !q.early("a copy", appendTensor(appendTensor(nil, dst, true), src, false)) {
		q.Queue.CopyIn(dst, src)
	}
}

// CopyOut implements cuda.Queue.
func (q *watchedQueue) CopyOut(dst, src cuda.Tensor) {
	if !q.early("a copy", appendTensor(appendTensor(nil, dst, true), src, false)) {
		q.Queue.CopyOut(dst, src)
	}
}

// Fill implements cuda.Queue.
func (q *watchedQueue) Fill(dst, src cuda.Matrix) {
	if !q.early("a fill", appendMatrix(appendMatrix(nil, dst, true), src, false)) {
		q.Queue.Fill(dst, src)
	}
}

// Free implements cuda.Queue.
func (q *watchedQueue) Free(m cuda.Memory) { q.cpu.Free(m) }

// Sync implements cuda.Queue.
func (q *watchedQueue) Sync() error {
	err := q.Queue.Sync()
	if q.err != nil {
		err = q.err
	}
	q.err = nil
	return err
}
