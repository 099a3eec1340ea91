// merges.go is the merge table: pair of tokens -> rank and merged token. Encoding asks it two or three times per byte, and mostly
// for pairs it does not have, so it is one flat array with open addressing: a question costs about one cache line.

package tokenizer

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
)

// noRank is worse than any merge's rank.
const noRank = ^uint32(0)

type merge struct {
	pair     uint64 // left id << 32 | right id
	rank, id uint32 // rank is noRank in an empty slot
}

// mergeTable is keyed by the pair, not by its result: vocabularies exist with twice as many merges as tokens.
type mergeTable struct {
	slots []merge // a power of two, at most two thirds full
	seed  uint64  // keeps a crafted vocabulary from making all pairs collide; no result depends on it
}

func newMergeTable(n int) *mergeTable {
	m := &mergeTable{slots: make([]merge, 1<<bits.Len(uint(n+n/2))), seed: rand.Uint64()}
	for i := range m.slots {
		m.slots[i].rank = noRank
	}
	return m
}

func pairOf(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func (m *mergeTable) slot(pair uint64) *merge {
	hi, lo := bits.Mul64(pair^m.seed, 0x9e3779b97f4a7c15)
	mask := uint64(len(m.slots) - 1)
	for i := (hi ^ lo) & mask; ; i = (i + 1) & mask {
		if e := &m.slots[i]; e.pair == pair || e.rank == noRank {
			return e
		}
	}
}

// lookup returns the rank of a pair and the token it becomes; noRank if the two never merge.
func (m *mergeTable) lookup(left, right int32) (rank uint32, id int32) {
	pair := pairOf(left, right)
	e := m.slot(pair)
	if e.pair != pair {
		return noRank, 0
	}
	return e.rank, int32(e.id)
}

// parseMerges reads model.merges, whose order is the rank: ["a b", ...] in older files, [["a", "b"], ...] in newer ones.
func parseMerges(raw []byte, v *vocab) (*mergeTable, error) {
	r := mergeReader{scanner: scanner{data: raw}, vocab: v}
	list := make([]merge, 0, len(raw)/24)
	err := r.array(func(i int) error {
		left, right, err := r.pair()
		if err != nil {
			return fmt.Errorf("model.merges[%d]: %w", i, err)
		}
		if bytes.HasPrefix(left, []byte("#version")) { // the first line of a merges.txt, copied along
			return nil
		}
		e, err := r.merge(left, right)
		if err != nil {
			return fmt.Errorf("model.merges[%d]: %w", i, err)
		}
		e.rank = uint32(len(list))
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	m := newMergeTable(len(list))
	for _, e := range list {
		*m.slot(e.pair) = e // of a pair written twice the last counts, as in the reference
	}
	return m, nil
}

// mergeReader keeps the buffers that half a million short strings pass through.
type mergeReader struct {
	scanner
	vocab                  *vocab
	scratch, first, joined []byte
}

// pair reads one merge in either spelling. The results are good until the next call.
func (r *mergeReader) pair() (left, right []byte, err error) {
	if r.peek() == '"' {
		both, err := r.str(r.scratch)
		if err != nil {
			return nil, nil, err
		}
		left, right, ok := bytes.Cut(both, []byte(" "))
		if !ok || bytes.IndexByte(right, ' ') >= 0 {
			return nil, nil, fmt.Errorf("%q is not two tokens with a space between", clip(string(both)))
		}
		return left, right, nil
	}
	n := 0
	err = r.array(func(i int) error {
		text, err := r.str(r.scratch)
		if i == 0 {
			r.first = append(r.first[:0], text...) // the second string may use the same scratch
		}
		right, n = text, i+1
		return err
	})
	if err == nil && n != 2 {
		err = fmt.Errorf("%d tokens instead of two", n)
	}
	return r.first, right, err
}

// merge looks the three tokens up; its rank is the caller's to set.
func (r *mergeReader) merge(left, right []byte) (merge, error) {
	r.joined = append(append(r.joined[:0], left...), right...)
	var ids [3]int32
	for i, content := range [][]byte{left, right, r.joined} {
		id, ok := r.vocab.ids[string(content)]
		if !ok {
			return merge{}, fmt.Errorf("token %q is not in model.vocab", clip(string(content)))
		}
		ids[i] = id
	}
	return merge{pair: pairOf(ids[0], ids[1]), id: uint32(ids[2])}, nil
}
