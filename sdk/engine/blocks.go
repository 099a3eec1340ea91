// blocks.go gives cache blocks to sequences: integers only, the bytes behind them are the model's. A block is referenced
// by every sequence that reads it and is shared only while it is full and within a prompt. A freed block keeps what it
// holds until it is needed, so that a later prompt with the same beginning finds it (the prefix cache); the one freed
// longest ago is taken first.

package engine

// BlockSize is the number of positions in a block. Chunks of a prompt end at multiples of it.
const BlockSize = 64

// prefix identifies what a full block holds: its ids, and the content before it. It is compared whole, so two prompts can
// never be taken for each other.
type prefix struct {
	before content
	ids    [BlockSize]int32
}

// content numbers what was ever published; 0 is the empty prompt. A number is never used again.
type content uint64

type blockTable struct {
	refs     []int32
	holds    []prefix // valid where numbers[b] != 0
	numbers  []content
	index    map[prefix]int32
	last     content
	free     ring
	freeSize int
}

// ring is a doubly linked list of block ids with a sentinel at index len-1: the next to be taken is at its front.
type ring struct{ next, prev []int32 }

func newBlockTable(n int) *blockTable {
	t := &blockTable{refs: make([]int32, n), holds: make([]prefix, n), numbers: make([]content, n),
		index: make(map[prefix]int32), free: newRing(n)}
	for b := range n {
		t.free.insert(int32(b), t.free.sentinel())
	}
	t.freeSize = n
	return t
}

// blocksFor is how many blocks hold the given number of positions.
func blocksFor(positions int) int { return (positions + BlockSize - 1) / BlockSize }

func (t *blockTable) used() int { return len(t.refs) - t.freeSize }

// take returns a block for new positions and forgets what it held. The caller has made sure that one is free.
func (t *blockTable) take() int32 {
	b := t.free.next[t.free.sentinel()]
	t.acquire(b)
	if t.numbers[b] != 0 {
		delete(t.index, t.holds[b])
		t.numbers[b] = 0
	}
	return b
}

// acquire adds a reference to a block that is free or shared.
func (t *blockTable) acquire(b int32) {
	if t.refs[b] == 0 {
		t.free.remove(b)
		t.freeSize--
	}
	t.refs[b]++
}

// release gives up one reference to each block, the last first: the beginnings of prompts are worth keeping longest.
// Blocks that hold nothing another prompt could want are taken again first.
func (t *blockTable) release(table []int32) {
	for i := len(table) - 1; i >= 0; i-- {
		b := table[i]
		if t.refs[b]--; t.refs[b] > 0 {
			continue
		}
		t.freeSize++
		if t.numbers[b] != 0 {
			t.free.insert(b, t.free.sentinel())
		} else {
			t.free.insert(b, t.free.next[t.free.sentinel()])
		}
	}
}

// find appends to table the blocks that hold the beginning of ids, whole blocks only, and acquires them.
func (t *blockTable) find(ids []int32, table []int32) ([]int32, content) {
	var at content
	for len(ids) >= BlockSize {
		b, ok := t.index[prefix{before: at, ids: [BlockSize]int32(ids)}]
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
	p := prefix{before: before, ids: [BlockSize]int32(ids)}
	if known, ok := t.index[p]; ok {
		return t.numbers[known]
	}
	t.last++
	t.index[p], t.holds[b], t.numbers[b] = b, p, t.last
	return t.last
}

func newRing(n int) ring {
	r := ring{next: make([]int32, n+1), prev: make([]int32, n+1)}
	r.next[n], r.prev[n] = int32(n), int32(n)
	return r
}

func (r *ring) sentinel() int32 { return int32(len(r.next) - 1) }

// insert puts b before at.
func (r *ring) insert(b, at int32) {
	before := r.prev[at]
	r.next[before], r.prev[b], r.next[b], r.prev[at] = b, before, at, b
}

func (r *ring) remove(b int32) {
	r.next[r.prev[b]], r.prev[r.next[b]] = r.next[b], r.prev[b]
}
