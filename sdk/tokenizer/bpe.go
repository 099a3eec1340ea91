// bpe.go merges the bytes of one word into tokens: of all adjacent pairs the one with the best rank is joined, leftmost first,
// until no pair is left that merges. Short words, nearly all there are, scan a small array; a long one (a megabyte of one letter is a single
// word) goes through a heap, so that its cost stays n log n. Words seen lately are remembered.

package tokenizer

import (
	"hash/maphash"
	"sync/atomic"
)

// shortWord is the length in bytes up to which scanning beats the heap.
const shortWord = 64

type bpe struct {
	start        [256]int32 // token of a single byte; -1: the vocabulary has none and the byte is dropped, as the reference does
	merges       *mergeTable
	wholeWord    *index // for ignore_merges: a word that is a token is not merged; else nil
	alphabet     *alphabet
	recent       [1 << 14]atomic.Pointer[recentWord]
	recentHashes maphash.Seed
}

// append appends the ids of one word.
func (b *bpe) append(p *pace, ids []int32, word string) ([]int32, error) {
	if len(word) > len(recentWord{}.text) {
		return b.merge(p, ids, word)
	}
	slot := &b.recent[maphash.String(b.recentHashes, word)%uint64(len(b.recent))]
	if r := slot.Load(); r != nil && string(r.text[:r.bytes]) == word {
		return append(ids, r.ids[:r.tokens]...), nil
	}
	n := len(ids)
	ids, err := b.merge(p, ids, word)
	if err != nil {
		return nil, err
	}
	if tokens := ids[n:]; len(tokens) <= len(recentWord{}.ids) {
		r := &recentWord{bytes: uint8(len(word)), tokens: uint8(len(tokens))}
		copy(r.text[:], word)
		copy(r.ids[:], tokens)
		slot.Store(r)
	}
	return ids, nil
}

// recentWord is a word and its ids. Each hash has room for one; the newest stays.
type recentWord struct {
	bytes, tokens uint8
	text          [30]byte
	ids           [8]int32
}

func (b *bpe) merge(p *pace, ids []int32, word string) ([]int32, error) {
	if b.wholeWord != nil {
		if id := b.wholeWord.find(b.alphabet.spell(nil, word)); id >= 0 {
			return append(ids, id), nil
		}
	}
	n := len(ids)
	for i := range len(word) {
		if id := b.start[word[i]]; id >= 0 {
			ids = append(ids, id)
		}
	}
	if symbols := ids[n:]; len(symbols) <= shortWord {
		return ids[:n+b.mergeShort(symbols)], nil
	}
	left, err := b.mergeLong(p, ids[n:])
	return ids[:n+left], err
}

// mergeShort merges in place and returns how many tokens are left.
func (b *bpe) mergeShort(ids []int32) int {
	var ranks [shortWord]uint32 // of the pair that begins here; noRank at the last symbol
	n := len(ids)
	ask := func(i int) {
		ranks[i] = noRank
		if i+1 < n {
			ranks[i] = b.merges.rank(ids[i], ids[i+1])
		}
	}
	for i := range n {
		ask(i)
	}
	for {
		at, best := 0, noRank
		for i, rank := range ranks[:n] {
			if rank < best {
				at, best = i, rank
			}
		}
		if best == noRank {
			return n
		}
		ids[at] = b.merges.joined[best]
		copy(ids[at+1:n], ids[at+2:n])
		copy(ranks[at+1:n], ranks[at+2:n])
		n--
		ask(at)
		if at > 0 {
			ask(at - 1)
		}
	}
}

// mergeLong does the same over a linked list, with all pairs that merge in a heap ordered by (rank, position).
func (b *bpe) mergeLong(p *pace, ids []int32) (int, error) {
	n := int32(len(ids))
	l := make([]link, n)
	var h pairHeap
	offer := func(i int32) {
		l[i].rank = noRank
		if next := l[i].next; next < n {
			if l[i].rank = b.merges.rank(ids[i], ids[next]); l[i].rank != noRank {
				h.push(l[i].rank, i)
			}
		}
	}
	for i := range n {
		l[i].prev, l[i].next = i-1, i+1
		offer(i)
		if err := p.spend(1); err != nil {
			return 0, err
		}
	}
	for len(h) > 0 {
		if err := p.spend(1); err != nil {
			return 0, err
		}
		rank, i := h.pop()
		if l[i].rank != rank {
			continue // the pair has changed since; its new form was offered anew
		}
		gone := l[i].next
		ids[i], l[i].next, l[gone].rank = b.merges.joined[rank], l[gone].next, noRank
		if l[i].next < n {
			l[l[i].next].prev = i
		}
		offer(i)
		if l[i].prev >= 0 {
			offer(l[i].prev)
		}
	}
	left := 0
	for i := int32(0); i < n; i = l[i].next {
		ids[left] = ids[i] // left never passes i
		left++
	}
	return left, nil
}

// link is one symbol of a long word: its neighbours, and the rank of the pair that begins with it.
type link struct {
	prev, next int32
	rank       uint32
}

// pairHeap is a binary min-heap of rank<<32 | position.
type pairHeap []uint64

func (h *pairHeap) push(rank uint32, at int32) {
	key := uint64(rank)<<32 | uint64(at)
	*h = append(*h, key)
	a, i := *h, len(*h)-1
	for i > 0 && key < a[(i-1)/2] {
		a[i] = a[(i-1)/2]
		i = (i - 1) / 2
	}
	a[i] = key
}

func (h *pairHeap) pop() (rank uint32, at int32) {
	a := *h
	top, key := a[0], a[len(a)-1]
	a = a[:len(a)-1]
	*h = a
	for i := 0; len(a) > 0; {
		child := 2*i + 1
		if child+1 < len(a) && a[child+1] < a[child] {
			child++
		}
		if child >= len(a) || key <= a[child] {
			a[i] = key
			break
		}
		a[i] = a[child]
		i = child
	}
	return uint32(top >> 32), int32(uint32(top))
}
