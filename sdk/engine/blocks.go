// blocks.go gives cache blocks to sequences: integers only, the bytes behind them are the model's. A block is referenced
// by every sequence that reads it and is shared only while it is full. A freed block keeps what it holds, so that a later
// prompt with the same beginning finds it (the prefix cache); so many are kept, and the one freed longest ago is given up
// first. Blocks that hold nothing are taken before those, and of these the ones that were written before: memory that was
// never touched costs nothing until it is.

package engine

import "github.com/inference-pio/inference-pio/internal/block"

// BlockSize is the number of positions in a block.
const BlockSize = block.Size

// prefix identifies what a full block holds: its ids, and the content before it. It is compared whole, so two prompts can
// never be taken for each other.
type prefix struct {
	before content
	ids    [BlockSize]int32
}

// content numbers what was ever published; 0 is the empty prompt. A number is never used again.
type content uint64

type blockTable struct {
	refs    []int32
	holds   []prefix // valid where numbers[b] != 0
	numbers []content
	index   map[prefix]int32
	last    content

	// A block without references is in one of two rings; the next to be taken is at the front.
	empty, kept ring
	freeSize    int // of both
	keptSize    int
	keep        int    // the most that are kept
	thrown      uint64 // blocks that were kept and given up
	written     []bool // since the last sweep
}

// ring is a doubly linked list of block ids with a sentinel at index len-1.
type ring struct{ next, prev []int32 }

func newBlockTable(n, keep int) *blockTable {
	t := &blockTable{refs: make([]int32, n), holds: make([]prefix, n), numbers: make([]content, n), index: make(map[prefix]int32),
		empty: newRing(n), kept: newRing(n), freeSize: n, keep: keep, written: make([]bool, n)}
	for b := range n {
		t.empty.insert(int32(b), t.empty.sentinel())
	}
	return t
}

// blocksFor is how many blocks hold the given number of positions.
func blocksFor(positions int) int { return (positions + BlockSize - 1) / BlockSize }

func (t *blockTable) used() int { return len(t.refs) - t.freeSize }

// take returns a block for new positions. The caller has made sure that one is free.
func (t *blockTable) take() int32 {
	if t.freeSize == t.keptSize {
		t.giveUp()
	}
	b := t.empty.front()
	t.acquire(b)
	t.written[b] = true
	return b
}

// giveUp forgets the block that was kept longest.
func (t *blockTable) giveUp() {
	b := t.kept.front()
	t.kept.remove(b)
	t.keptSize--
	t.thrown++
	t.forget(b)
	t.empty.insert(b, t.empty.front())
}

func (t *blockTable) forget(b int32) {
	delete(t.index, t.holds[b])
	t.numbers[b] = 0
}

// acquire adds a reference to a block that is free or shared.
func (t *blockTable) acquire(b int32) {
	if t.refs[b] == 0 {
		t.freeSize--
		if t.numbers[b] != 0 {
			t.kept.remove(b)
			t.keptSize--
		} else {
			t.empty.remove(b)
		}
	}
	t.refs[b]++
}

// release gives up one reference to each block, the last first: the beginnings of prompts are worth keeping longest, and a
// block without the one before it is worth nothing.
func (t *blockTable) release(table []int32) {
	for i := len(table) - 1; i >= 0; i-- {
		b := table[i]
		if t.refs[b]--; t.refs[b] > 0 {
			continue
		}
		t.freeSize++
		if t.numbers[b] == 0 {
			t.empty.insert(b, t.empty.front())
			continue
		}
		t.kept.insert(b, t.kept.sentinel())
		t.keptSize++
	}
	for t.keptSize > t.keep {
		t.giveUp()
	}
}

// known is the block that holds ids behind the content before it.
func (t *blockTable) known(before content, ids []int32) (int32, bool) {
	b, ok := t.index[prefix{before: before, ids: [BlockSize]int32(ids)}]
	return b, ok
}

// find appends to table the blocks that hold the beginning of ids, whole blocks only, and acquires them.
func (t *blockTable) find(ids []int32, table []int32) ([]int32, content) {
	var at content
	for len(ids) >= BlockSize {
		b, ok := t.known(at, ids)
		if !ok {
			break
		}
		t.acquire(b)
		table, at, ids = append(table, b), t.numbers[b], ids[BlockSize:]
	}
	return table, at
}

// publish says that block b holds the ids that follow the content before it, and returns the number of the two together.
// If another block already holds the same, that one stays the known one.
func (t *blockTable) publish(b int32, before content, ids []int32) content {
	if other, ok := t.known(before, ids); ok {
		return t.numbers[other]
	}
	p := prefix{before: before, ids: [BlockSize]int32(ids)}
	t.last++
	t.index[p], t.holds[b], t.numbers[b] = b, p, t.last
	return t.last
}

// sweep lists the blocks that hold nothing and were written since the last sweep. all forgets what is kept before.
func (t *blockTable) sweep(all bool) (list []int32) {
	for all && t.keptSize > 0 {
		t.giveUp()
	}
	for b, written := range t.written {
		if written && t.refs[b] == 0 && t.numbers[b] == 0 {
			list = append(list, int32(b))
			t.written[b] = false
		}
	}
	return list
}

func newRing(n int) ring {
	r := ring{next: make([]int32, n+1), prev: make([]int32, n+1)}
	r.next[n], r.prev[n] = int32(n), int32(n)
	return r
}

func (r *ring) sentinel() int32 { return int32(len(r.next) - 1) }

func (r *ring) front() int32 { return r.next[r.sentinel()] }

// insert puts b before at.
func (r *ring) insert(b, at int32) {
	before := r.prev[at]
	r.next[before], r.prev[b], r.next[b], r.prev[at] = b, before, at, b
}

func (r *ring) remove(b int32) {
	r.next[r.prev[b]], r.prev[r.next[b]] = r.next[b], r.prev[b]
}
