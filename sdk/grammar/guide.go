// guide.go joins a grammar and a vocabulary, and follows sequences.

package grammar

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// Guide is a grammar over a vocabulary. It remembers what sequences ask for and is safe for concurrent use.
type Guide struct {
	grammar    *Grammar
	vocabulary *Vocabulary
	end        []int32

	mu     sync.Mutex
	frames map[frame]*frame
	pasts  map[pastKey]*past
	spots  map[spot]*reached
	masks  map[maskKey]*set
	held   int // bytes of masks
	seen   map[visit]bool
}

// Over joins a grammar with a vocabulary. The ids of end are allowed where a text is complete.
func (g *Grammar) Over(v *Vocabulary, end []int32) *Guide {
	return &Guide{grammar: g, vocabulary: v, end: slices.Clone(end), frames: map[frame]*frame{}, pasts: map[pastKey]*past{}, spots: map[spot]*reached{},
		masks: map[maskKey]*set{}, seen: map[visit]bool{}}
}

// Start begins a text.
func (g *Guide) Start() *Matcher {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &Matcher{guide: g}
	m.state.join(g.reach(spot{g.grammar.start, nil}))
	return m
}

// Matcher follows one text. It is for one goroutine at a time.
type Matcher struct {
	guide       *Guide
	state, next reached
	mask        []uint32
	ended       bool
}

// Complete says that the text may end here.
func (m *Matcher) Complete() bool { return m.state.done }

// Final says that the text is complete and that nothing may follow.
func (m *Matcher) Final() bool { return m.ended || m.state.done && len(m.state.items) == 0 }

// Mask are the ids that may come next, as bits: id%32 of word id/32. It is the matcher's until it is asked again.
func (m *Matcher) Mask() []uint32 {
	g := m.guide
	if m.mask == nil {
		m.mask = make([]uint32, g.vocabulary.words)
	}
	clear(m.mask)
	if m.ended {
		return m.mask
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, it := range m.state.items {
		if n := &g.grammar.nodes[it.node]; n.op == nodeToken {
			m.allow(n.ids)
		} else {
			g.mask(it).into(m.mask)
		}
	}
	if m.state.done {
		m.allow(g.end)
	}
	return m.mask
}

func (m *Matcher) allow(ids []int32) {
	for _, id := range ids {
		if id >= 0 && int(id>>5) < len(m.mask) {
			m.mask[id>>5] |= 1 << (id & 31)
		}
	}
}

// Advance takes the next id. An id that the mask does not have is an error, and leaves the matcher as it was.
func (m *Matcher) Advance(id int32) error {
	g := m.guide
	if m.ended {
		return fmt.Errorf("id %d comes behind the end", id)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.state.done && slices.Contains(g.end, id) {
		m.ended = true
		return nil
	}
	if m.take(id) {
		return nil
	}
	text, ok := g.vocabulary.text(id)
	if !ok || !m.read(text) {
		return fmt.Errorf("id %d does not continue a text of the grammar", id)
	}
	return nil
}

// take goes on where the grammar names the token.
func (m *Matcher) take(id int32) bool {
	g := m.guide
	m.next.reset()
	found := false
	for _, it := range m.state.items {
		if n := &g.grammar.nodes[it.node]; n.op == nodeToken && slices.Contains(n.ids, id) {
			m.next.join(g.reach(spot{n.next, it.stack}))
			found = true
		}
	}
	if found {
		m.state, m.next = m.next, m.state
	}
	return found
}

// read goes on with bytes, if all of them can be read.
func (m *Matcher) read(text string) bool {
	before := m.state.clone()
	for i := range len(text) {
		m.guide.step(m.state.items, text[i], &m.next)
		m.state, m.next = m.next, m.state
		if len(m.state.items) == 0 && !m.state.done {
			m.state = before
			return false
		}
	}
	return true
}

// Read takes text that is no token, as a test or a prompt has it. It says whether it could be read; if not, nothing was.
func (m *Matcher) Read(text string) bool {
	m.guide.mu.Lock()
	defer m.guide.mu.Unlock()
	return m.read(text)
}

// maxForced bounds what Forced looks ahead, in bytes.
const maxForced = 1 << 9

// Forced are the bytes that must come next, whatever is chosen; whole says that nothing may follow them.
func (m *Matcher) Forced() (text string, whole bool) {
	if _, ok := m.only(&m.state); !ok {
		return "", false
	}
	m.guide.mu.Lock()
	defer m.guide.mu.Unlock()
	var out []byte
	state, next := m.state.clone(), reached{}
	for len(out) < maxForced {
		c, ok := m.only(&state)
		if !ok {
			break
		}
		out = append(out, c)
		m.guide.step(state.items, c, &next)
		state, next = next, state
	}
	return string(out), state.done && len(state.items) == 0
}

// only is the byte that all ways to go on begin with, if it is but one.
func (m *Matcher) only(r *reached) (c byte, ok bool) {
	if r.done || len(r.items) == 0 {
		return 0, false
	}
	for i, it := range r.items {
		n := &m.guide.grammar.nodes[it.node]
		var b byte
		switch {
		case n.op == nodeLiteral:
			b, ok = n.text[it.at], true
		case n.op == nodeRegular && n.not == nil:
			b, ok = n.set.Only(it.at)
		default:
			ok = false
		}
		if !ok || i > 0 && b != c {
			return 0, false
		}
		c = b
	}
	return c, true
}

// Clone goes on from the same place by itself.
func (m *Matcher) Clone() *Matcher {
	return &Matcher{guide: m.guide, state: m.state.clone(), ended: m.ended}
}

func trailing(w uint32) int { return bits.TrailingZeros32(w) }
