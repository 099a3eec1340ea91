//go:build cuda && cgo

package gpu

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/gpu/driver"
)

// join.go makes one launch of ops that follow each other, where there is a kernel that does both: the launches of the first are taken out of
// the list, as long as nothing is behind them and they have not been sent.

// last is the op whose launches are the last of the list.
type last struct {
	op       cuda.Op
	there    bool
	from, to driver.Place
	added    uint64
}

// launched remembers an op whose launches begin at a place, if the next may be joined with it.
func (q *Queue) launched(op *cuda.Op, from driver.Place) {
	if q.last.there = q.plan.Joins(op); q.last.there {
		q.last.op, q.last.from, q.last.to, q.last.added = *op, from, q.list.Here(), q.added
	}
}

// join says whether an op has become one with the last, whose launches are gone then.
func (q *Queue) join(op *cuda.Op) bool {
	l := &q.last
	if !l.there || l.to != q.list.Here() || l.added != q.added || !q.plan.Join(&q.joined, &l.op, op) {
		return false
	}
	l.op = q.joined
	q.list.Back(l.from)
	return true
}
