// index.go finds a model's token by its content. Loading asks half a million times; a map of strings took nearly half of the loading time.

package tokenizer

import (
	"hash/maphash"
	"math/bits"
)

// index is a hash table with open addressing over contents that lie elsewhere.
type index struct {
	slots   []indexSlot // a power of two, at most two thirds full
	content []string    // by id; the vocabulary's own
	seed    maphash.Seed
}

// indexSlot has a part of the hash, so that contents are compared only where they are nearly sure to be equal.
type indexSlot struct {
	tag  uint32
	used uint32 // id + 1; 0 is an empty slot
}

func newIndex(n int, content []string) *index {
	return &index{make([]indexSlot, 1<<bits.Len(uint(n+n/2))), content, maphash.MakeSeed()}
}

// find returns the token with this content, or -1.
func (x *index) find(content []byte) int32 {
	hash := maphash.Bytes(x.seed, content)
	mask := uint64(len(x.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := x.slots[i]
		if s.used == 0 || s.tag == uint32(hash>>32) && x.content[s.used-1] == string(content) {
			return int32(s.used) - 1
		}
	}
}

// add gives an id to content, which must not have one yet and lie in x.content under that id.
func (x *index) add(content []byte, id int32) {
	hash := maphash.Bytes(x.seed, content)
	mask := uint64(len(x.slots) - 1)
	i := hash & mask
	for x.slots[i].used != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = indexSlot{uint32(hash >> 32), uint32(id) + 1}
}
