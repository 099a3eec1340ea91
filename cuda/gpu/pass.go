//go:build cuda && cgo

package gpu

import "github.com/inference-pio/inference-pio/cuda/gpu/driver"

// pass is an event of the driver's that happens when the queue is past an entry; nil if it is already, which it is after a copy to the host:
// that has not arrived before it was landed.
func (q *Queue) pass(entry uint64) (*driver.Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.done >= entry {
		return nil, q.err
	}
	if len(q.landings) > 0 && q.landings[0].entry <= entry {
		q.finish()
		return nil, q.err
	}
	q.send()
	e, err := q.dev.context.NewEvent(false)
	if err == nil {
		var l driver.List
		l.Record(e)
		err = q.stream.Run(&l)
	}
	if err != nil {
		q.keep(err)
		q.finish()
		return nil, err
	}
	return e, q.err
}
