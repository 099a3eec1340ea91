// merges.go is the merge table: pair of tokens -> rank, rank -> merged token. Encoding asks it two or three times per byte, and mostly
// for pairs it does not have, so it is one flat array of words with open addressing: a question costs about one cache line, and the
// whole table of 150,000 merges takes 2 MB.

package tokenizer

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
)

const (
	idBits    = 22
	rankBits  = 64 - 2*idBits
	maxMerges = 1<<rankBits - 1 // the longest published list has 514,906

	// noRank is worse than any merge's rank.
	noRank = ^uint32(0)
)

// mergeTable is keyed by the pair, not by its result: vocabularies exist with twice as many merges as tokens.
type mergeTable struct {
	slots  []uint64 // left id, right id, rank; a power of two, at most two thirds full
	joined []int32  // by rank
	seed   uint64   // keeps a crafted vocabulary from making all pairs collide; no result depends on it
}

const emptySlot = ^uint64(0) // no pair: ids end below 1<<idBits - 1

func newMergeTable(n int) *mergeTable {
	m := &mergeTable{slots: make([]uint64, 1<<bits.Len(uint(n+n/2))), joined: make([]int32, n), seed: rand.Uint64()}
	for i := range m.slots {
		m.slots[i] = emptySlot
	}
	return m
}

// slot returns where pair is, or would be.
func (m *mergeTable) slot(pair uint64) *uint64 {
	hi, lo := bits.Mul64(pair^m.seed, 0x9e3779b97f4a7c15)
	mask := uint64(len(m.slots) - 1)
	for i := (hi ^ lo) & mask; ; i = (i + 1) & mask {
		if e := &m.slots[i]; *e>>rankBits == pair || *e == emptySlot {
			return e
		}
	}
}

// rank returns the rank of a pair, noRank if the two never merge.
func (m *mergeTable) rank(left, right int32) uint32 {
	e := *m.slot(uint64(left)<<idBits | uint64(right))
	if e == emptySlot {
		return noRank
	}
	return uint32(e & maxMerges)
}

// set gives a pair its rank. Of a pair written twice the last counts, as in the reference.
func (m *mergeTable) set(rank uint32, left, right, joined int32) {
	pair := uint64(left)<<idBits | uint64(right)
	*m.slot(pair) = pair<<rankBits | uint64(rank)
	m.joined[rank] = joined
}

// parseMerges reads model.merges, whose order is the rank: ["a b", ...] in older files, [["a", "b"], ...] in newer ones.
func parseMerges(s *scanner, v *vocab) (*mergeTable, error) {
	r := mergeReader{scanner: s, vocab: v}
	list := make([][3]int32, 0, v.tokens)
	err := s.array(func(i int) error {
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
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(list) > maxMerges {
		return nil, fmt.Errorf("model.merges: %d merges; at most %d are read", len(list), maxMerges)
	}
	m := newMergeTable(len(list))
	for rank, e := range list {
		m.set(uint32(rank), e[0], e[1], e[2])
	}
	return m, nil
}

// mergeReader keeps the buffers that half a million short strings pass through.
type mergeReader struct {
	*scanner
	vocab                  *vocab
	scratch, first, joined []byte
	guess                  int32 // the id after the last joined token's
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

// merge looks up the two tokens and the one they become.
func (r *mergeReader) merge(left, right []byte) (ids [3]int32, err error) {
	r.joined = append(append(r.joined[:0], left...), right...)
	for i, content := range [][]byte{left, right, r.joined} {
		// Trainers number tokens as they merge them, so the next id is nearly always the one.
		if i == 2 && r.vocab.has(r.guess) && r.vocab.content[r.guess] == string(content) {
			ids[i] = r.guess
			continue
		}
		id := r.vocab.index.find(content)
		if id < 0 {
			return ids, fmt.Errorf("token %q is not in model.vocab", clip(string(content)))
		}
		ids[i] = id
	}
	r.guess = ids[2] + 1
	return ids, nil
}
