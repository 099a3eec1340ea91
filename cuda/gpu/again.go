//go:build cuda && cgo

package gpu

import (
	"unsafe"
	"weak"

	"github.com/inference-pio/inference-pio/cuda"
)

// again.go keeps what a queue was told, so that a step that is told again costs the host a comparison for each op: it is not planned, encoded or
// compared byte by byte a second time. Kept here: what an op adds to a list is a function of the op, of the form of its table of experts and of the
// queue's scratch memory, and of what was told before it in the list. So a list that is told again in the same words is the same list.

const (
	toldMost  = 128  // lists that are kept: one for each batch class that is being decoded, or two for each layer that meets another device in it
	wordsMost = 4096 // of a list; longer ones are prompts through many pieces
)

// word is one thing that a queue was told.
type word struct {
	copy  copied  // or an op:
	op    cuda.Op // without its table
	table weak.Pointer[cuda.ExpertTable]
	form  uint64 // of the table, when it was told
	added uint64 // entries: none of an op that launches nothing, or that was joined with the one before
}

// copied is a copy between the device and pinned memory; without memory it is none.
type copied struct {
	there  unsafe.Pointer
	pinned []byte
	out    bool // from the device
}

// told is a list as it was told, and what the queue's graphs know of it.
type told struct {
	words []word
	known *known
	used  uint64
}

// again is a queue's memory of that.
type again struct {
	lists [toldMost]told
	clock uint64
	mode  againMode
	list  *told // that is compared with, or written down
	at    int   // how many of its words have come again
}

type againMode uint8

const (
	toldNothing againMode = iota // the next word begins a list
	toldAgain                    // all words so far are those of the list, and nothing was added to the queue's
	toldAnew                     // words are written down
	toldApart                    // what is told is no list that can come again
)

// begin is called before a word is taken, which is an op or a copy.
func (q *Queue) begin(c copied, op *cuda.Op) {
	a := &q.again
	if a.mode != toldNothing {
		return
	}
	if q.list.Len() > 0 {
		a.mode = toldApart
		return
	}
	a.clock++
	a.at, a.list, a.mode = 0, nil, toldAgain
	oldest := &a.lists[0]
	for i := range a.lists {
		l := &a.lists[i]
		if len(l.words) > 0 && (a.list == nil || l.used > a.list.used) && l.words[0].same(c, op) {
			a.list = l
		}
		if l.used < oldest.used {
			oldest = l
		}
	}
	if a.list == nil {
		a.list, a.mode = oldest, toldAnew
		a.list.forget()
	}
	a.list.used = a.clock
}

// same says whether an op, or a copy, is this word.
func (w *word) same(c copied, op *cuda.Op) bool {
	if op == nil || w.copy.pinned != nil {
		return op == nil && w.copy.there == c.there && w.copy.out == c.out && len(w.copy.pinned) == len(c.pinned) &&
			unsafe.SliceData(w.copy.pinned) == unsafe.SliceData(c.pinned)
	}
	return sameOp(&w.op, op) && w.table.Value() == op.Experts && (op.Experts == nil || w.form == formOf(op.Experts))
}

// formOf is that of a table that the queue has brought to the device.
func formOf(t *cuda.ExpertTable) uint64 {
	return t.Native(nil).(*table).form
}

// sameOp says whether two ops do the same, but for their tables: to operands of the same types and shapes at the same places, with the same numbers.
func sameOp(a, b *cuda.Op) bool {
	if a.Code != b.Code || a.Floats != b.Floats || a.Ints != b.Ints {
		return false
	}
	out, in, weights := a.Operands()
	as, from, by := b.Operands()
	if len(out) != len(as) || len(in) != len(from) || len(weights) != len(by) {
		return false
	}
	for i := range out {
		if !sameTensor(&out[i], &as[i]) {
			return false
		}
	}
	for i := range in {
		if !sameTensor(&in[i], &from[i]) {
			return false
		}
	}
	for i := range weights {
		if weights[i] != by[i] {
			return false
		}
	}
	return true
}

// sameTensor says whether two tensors are the same elements in one shape, whichever step they are of.
func sameTensor(a, b *cuda.Tensor) bool {
	dims, n := a.Shape()
	as, m := b.Shape()
	return a.Pointer() == b.Pointer() && dims == as && n == m && a.DType() == b.DType() && a.Device() == b.Device()
}

// heard says whether a word is the next of a list that comes again; then there is nothing to do for it.
func (q *Queue) heard(c copied, op *cuda.Op) bool {
	q.begin(c, op)
	a := &q.again
	if a.mode != toldAgain {
		return false
	}
	if a.at == len(a.list.words) || !a.list.words[a.at].same(c, op) {
		q.anew()
		return false
	}
	q.added += a.list.words[a.at].added
	a.at++
	if op != nil && op.Experts != nil {
		q.tables = append(q.tables, op.Experts)
	}
	return true
}

// write writes a word down that was not heard, with the entries that it made.
func (q *Queue) write(c copied, op *cuda.Op, added uint64) {
	a := &q.again
	if a.mode != toldAnew {
		return
	}
	if len(a.list.words) == wordsMost || q.err != nil {
		q.apart()
		return
	}
	a.list.words = append(a.list.words, word{copy: c, added: added})
	if op != nil {
		w := &a.list.words[len(a.list.words)-1]
		w.op = *op
		if w.op.Experts = nil; op.Experts != nil {
			w.table, w.form = weak.Make(op.Experts), formOf(op.Experts)
		}
	}
}

// anew adds to the queue's list what was heard so far, when it turns out that something else follows: from here on words are written down.
func (q *Queue) anew() {
	a := &q.again
	if a.mode != toldAgain {
		return
	}
	l := a.list
	l.known, l.words = nil, l.words[:a.at]
	a.mode = toldApart // should the list be sent on the way
	for i := range l.words {
		q.added -= l.words[i].added
	}
	for i := range l.words {
		q.hear(&l.words[i])
	}
	if a.mode != toldApart || len(l.words) != a.at || q.err != nil {
		l.forget()
	} else {
		a.mode = toldAnew
	}
}

// hear adds a word to the queue's list.
func (q *Queue) hear(w *word) {
	switch pinned := unsafe.Pointer(unsafe.SliceData(w.copy.pinned)); {
	case q.err != nil:
	case pinned == nil:
		op := w.op
		op.Experts = w.table.Value() // it is there: the queue was told it just now
		q.keep(q.run(&op))
	case w.copy.out:
		q.list.CopyOut(pinned, w.copy.there, int64(len(w.copy.pinned)))
		q.added++
	default:
		q.keep(q.bringIn(w.copy.there, w.copy.pinned))
		q.added++
	}
}

// apart is called before something is added to the queue that is no word: the list cannot come again.
func (q *Queue) apart() {
	q.anew()
	if q.again.mode == toldAnew {
		q.again.list.forget()
	}
	q.again.mode = toldApart
}

func (l *told) forget() { l.words, l.known, l.used = l.words[:0], nil, 0 }

// forget is called when scratch memory becomes another: what was told no longer means the same.
func (a *again) forget() {
	for i := range a.lists {
		a.lists[i].forget()
	}
	if a.mode != toldNothing {
		a.mode = toldApart
	}
}

// whole is what graphs know of the list that has come again as a whole; nil if none has, or there is no graph of it.
func (a *again) whole() *known {
	if a.mode != toldAgain || a.at < len(a.list.words) || a.list.known == nil || a.list.known.graph == nil {
		return nil
	}
	return a.list.known
}

// sent is called when the list has been sent, which graphs may know now.
func (a *again) sent(k *known) {
	if a.mode == toldAnew {
		if a.list.known = k; k == nil {
			a.list.forget()
		}
	}
	a.mode = toldNothing
}
