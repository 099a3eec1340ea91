// blocks.go gives cache blocks to sequences: integers only, the bytes behind them are the model's. A block is referenced
// by every sequence that reads it and is shared only while it is full. A freed block keeps what it holds, so that a later
// prompt with the same beginning finds it (the prefix cache); so many are kept, and the one freed longest ago is given up
// first. Blocks that hold nothing are taken before those, and of these the ones that were written before: memory that was
// never touched costs nothing until it is. What a block holds is known by its content, wherever that lies: the host's memory may have it as
// well, or in its place (spill.go).

package engine

import "github.com/inference-pio/inference-pio/internal/block"

// BlockSize is the number of positions in a block.
const BlockSize = block.Size

// prefix identifies what a block holds: its ids, how they were computed, and the content before it. It is compared whole, so two prompts can
// never be taken for each other.
type prefix struct {
	before content
	ids    [BlockSize]int32
	n      uint8 // of ids: fewer than all only in the last block of a sequence that sleeps
	prompt uint8 // of n, how many were computed as those of a prompt are; the others as those of an answer
}

// prompting is the prefix of a block whose ids are all of a prompt.
func prompting(before content, ids []int32) prefix {
	return prefix{before: before, ids: [BlockSize]int32(ids), n: BlockSize, prompt: BlockSize}
}

// whole says that all positions of the block are there.
func (p *prefix) whole() bool { return p.n == BlockSize }

// own says that the block is of use to nobody but a sequence with the same answer.
func (p *prefix) own() bool { return p.prompt < BlockSize }

// content numbers what was ever published; 0 is the empty prompt. A number is never used again.
type content uint64

// held is something that was published, and where it is: in a block, in the host's memory, or in both.
type held struct {
	prefix
	number content
	block  int32    // -1: in none
	host   *spilled // nil: not there
	asleep bool     // a sequence that sleeps will want it
}

type blockTable struct {
	refs  []int32
	holds []*held // by block; nil: nothing that anybody could want
	index map[prefix]*held
	live  map[content]*held
	last  content

	// leaves, if set, is told what a block holds that is about to be taken for something else.
	leaves func(*held)
	// all says that there is no limit to what is kept: sequences sleep, and what they need is among it.
	all bool

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
	t := &blockTable{refs: make([]int32, n), holds: make([]*held, n), index: make(map[prefix]*held), live: make(map[content]*held),
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
	if t.leaves != nil {
		t.leaves(t.holds[b])
	}
	t.thrown++
	t.forget(b)
}

// forget says that a block holds nothing any more.
func (t *blockTable) forget(b int32) {
	h := t.holds[b]
	if h == nil {
		return
	}
	if t.refs[b] == 0 {
		t.kept.remove(b)
		t.keptSize--
		t.empty.insert(b, t.empty.front())
	}
	t.holds[b], h.block = nil, -1
	t.drop(h)
}

// drop forgets what is nowhere.
func (t *blockTable) drop(h *held) {
	if h.block < 0 && h.host == nil {
		delete(t.index, h.prefix)
		delete(t.live, h.number)
	}
}

// orphan says that nobody can find h, because what comes before it is forgotten.
func (t *blockTable) orphan(h *held) bool { return h.before != 0 && t.live[h.before] == nil }

// acquire adds a reference to a block that is free or shared.
func (t *blockTable) acquire(b int32) {
	if t.refs[b] == 0 {
		t.freeSize--
		if t.holds[b] != nil {
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
		if t.holds[b] == nil {
			t.empty.insert(b, t.empty.front())
			continue
		}
		t.kept.insert(b, t.kept.sentinel())
		t.keptSize++
	}
	t.trim()
}

// trim gives up what is beyond what is to be kept.
func (t *blockTable) trim() {
	for !t.all && t.keptSize > t.keep {
		t.giveUp()
	}
}

// known is the block that holds ids of a prompt behind the content before it.
func (t *blockTable) known(before content, ids []int32) (int32, bool) {
	if h := t.index[prompting(before, ids)]; h != nil && h.block >= 0 {
		return h.block, true
	}
	return -1, false
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
		table, at, ids = append(table, b), t.number(b), ids[BlockSize:]
	}
	return table, at
}

// number is that of what a block holds, 0 if that is nothing.
func (t *blockTable) number(b int32) content {
	if h := t.holds[b]; h != nil {
		return h.number
	}
	return 0
}

// publish says that block b holds the ids of a prompt that follow the content before it, and returns the number of the two together.
// If another block already holds the same, that one stays the known one.
func (t *blockTable) publish(b int32, before content, ids []int32) content {
	return t.publishAs(b, prompting(before, ids))
}

// publishAs is publish for any block.
func (t *blockTable) publishAs(b int32, p prefix) content {
	h := t.index[p]
	if h == nil {
		t.last++
		h = &held{prefix: p, number: t.last, block: -1}
		t.index[p], t.live[t.last] = h, h
	}
	if h.block < 0 {
		t.attach(b, h)
	}
	return h.number
}

// attach says that a block, which somebody has, holds h.
func (t *blockTable) attach(b int32, h *held) {
	if old := t.holds[b]; old != nil && old != h {
		t.forget(b)
	}
	t.holds[b], h.block = h, b
}

// sweep lists the blocks that hold nothing and were written since the last sweep. all forgets what is kept before.
func (t *blockTable) sweep(all bool) (list []int32) {
	for all && t.keptSize > 0 {
		t.giveUp()
	}
	for b, written := range t.written {
		if written && t.refs[b] == 0 && t.holds[b] == nil {
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
