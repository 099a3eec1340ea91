// vocabulary.go holds the tokens' bytes as a trie, in one array in the order of a walk.

package grammar

import (
	"fmt"
	"slices"
	"sync"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// Vocabulary is what tokens are made of. It never changes but for what it remembers, and is safe for concurrent use.
type Vocabulary struct {
	words   int // of a mask
	tokens  []string
	trie    []trieNode
	order   []int32 // ids by their bytes
	longest int     // token, in bytes

	mu       sync.Mutex
	profiles map[place]*profile
	held     int // bytes of profiles
}

// trieNode is a beginning of tokens. The nodes below it follow it.
type trieNode struct {
	end   int32  // the node behind those below it
	first int32  // into order: the tokens that end here come first
	here  uint16 // how many
	depth uint16 // bytes
	last  byte
}

const maxTokenBytes = 1 << 12

// NewVocabulary takes the bytes of tokens by id, "" for ids that no grammar may use: added tokens, and those without a token. rows is
// how many logits the model has.
func NewVocabulary(tokens []string, rows int) (*Vocabulary, error) {
	v := &Vocabulary{words: (rows + 31) / 32, tokens: tokens[:min(rows, len(tokens))], profiles: map[place]*profile{}}
	var single [256]bool
	for id, t := range v.tokens {
		switch {
		case len(t) > maxTokenBytes:
			return nil, fmt.Errorf("token %d has %d bytes; at most %d are read", id, len(t), maxTokenBytes)
		case t != "":
			v.order = append(v.order, int32(id))
			v.longest = max(v.longest, len(t))
		}
		if len(t) == 1 {
			single[t[0]] = true
		}
	}
	for b, has := range single {
		if !has {
			return nil, fmt.Errorf("the vocabulary has no token for byte 0x%02x; a grammar may need it", b)
		}
	}
	slices.SortFunc(v.order, func(a, b int32) int {
		if tokens[a] != tokens[b] {
			if tokens[a] < tokens[b] {
				return -1
			}
			return 1
		}
		return int(a - b)
	})
	v.grow(tokens)
	return v, nil
}

// grow makes the trie of the ordered tokens.
func (v *Vocabulary) grow(tokens []string) {
	v.trie = append(v.trie, trieNode{})
	path := []int32{0} // nodes from the root to the last token
	before := ""
	for i, id := range v.order {
		t := tokens[id]
		same := 0
		for same < min(len(t), len(before)) && t[same] == before[same] {
			same++
		}
		for len(path) > same+1 {
			v.trie[path[len(path)-1]].end = int32(len(v.trie))
			path = path[:len(path)-1]
		}
		for at := same; at < len(t); at++ {
			path = append(path, int32(len(v.trie)))
			v.trie = append(v.trie, trieNode{first: int32(i), depth: uint16(at + 1), last: t[at]})
		}
		v.trie[path[len(path)-1]].here++
		before = t
	}
	for _, n := range path {
		v.trie[n].end = int32(len(v.trie))
	}
}

// text are the bytes of a token that grammars may use.
func (v *Vocabulary) text(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.tokens) || v.tokens[id] == "" {
		return "", false
	}
	return v.tokens[id], true
}

// leaf says that no token goes on beyond the node.
func (v *Vocabulary) leaf(at int32) bool { return v.trie[at].end == at+1 }

// child is the node below another that a byte leads to, below 0 if there is none.
func (v *Vocabulary) child(at int32, c byte) int32 {
	end := v.trie[at].end
	for at++; at < end; at = v.trie[at].end {
		if v.trie[at].last == c {
			return at
		}
	}
	return -1
}

// path are the bytes that lead to a node.
func (v *Vocabulary) path(at int32) string {
	n := &v.trie[at]
	return v.tokens[v.order[n.first]][:n.depth]
}

// Extends says that a token begins with text and is longer.
func (v *Vocabulary) Extends(text string) bool {
	at := int32(0)
	for i := range len(text) {
		if at = v.child(at, text[i]); at < 0 {
			return false
		}
	}
	return !v.leaf(at)
}

// forbid takes back all tokens that begin as a node does.
func (v *Vocabulary) forbid(mask []uint32, at int32) {
	for _, id := range v.below(at) {
		mask[id>>5] &^= 1 << (id & 31)
	}
}

// below are the tokens that begin as a node does.
func (v *Vocabulary) below(at int32) []int32 {
	last := int32(len(v.order))
	if end := v.trie[at].end; int(end) < len(v.trie) {
		last = v.trie[end].first
	}
	return v.order[v.trie[at].first:last]
}

// ids are the tokens that end at a node.
func (v *Vocabulary) ids(n *trieNode) []int32 { return v.order[n.first : n.first+int32(n.here)] }

func (v *Vocabulary) allow(mask []uint32, at int32) {
	for _, id := range v.ids(&v.trie[at]) {
		mask[id>>5] |= 1 << (id & 31)
	}
}

// place is a state of an automaton.
type place struct {
	set   *automaton.Bytes
	state int32
}

// maxProfiles bounds the memory of what is remembered of automata, in bytes.
const maxProfiles = 64 << 20

// profile is what tokens do to an automaton in a state.
func (v *Vocabulary) profile(at place) *profile {
	v.mu.Lock()
	p, known := v.profiles[at]
	v.mu.Unlock()
	if known {
		return p
	}
	p = v.walk(at)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.held += p.size(); v.held > maxProfiles {
		clear(v.profiles)
		v.held = p.size()
	}
	v.profiles[at] = p
	return p
}
