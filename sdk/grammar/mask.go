// mask.go finds the tokens that may follow an item.

package grammar

import "math/bits"

// mask is what an item allows.
func (g *Guide) mask(it item) *set {
	key := g.masked(it)
	if m, known := g.masks[key]; known {
		return m
	}
	e := explorer{guide: g, mask: make([]uint32, g.vocabulary.words), seen: g.seen}
	clear(e.seen)
	e.from(it)
	tokens := 0
	for _, w := range e.mask {
		tokens += bits.OnesCount32(w)
	}
	m := newSet(e.mask, tokens)
	if g.grammar.nodes[it.node].part > 0 { // what is read now is there but once
		return &m
	}
	if g.held += m.size() + 64; g.held > maxMasks {
		clear(g.masks)
		g.held = m.size() + 64
	}
	g.masks[key] = &m
	return &m
}

// maxMasks bounds the memory of the masks that a guide keeps, in bytes.
const maxMasks = 4 << 20

// maskKey tells items apart as far as their masks differ: how many characters are left matters only below what a token can have.
type maskKey struct {
	spot
	at, need, left int32
}

func (g *Guide) masked(it item) maskKey {
	n := &g.grammar.nodes[it.node]
	key := maskKey{spot: spot{it.node, it.stack}, at: it.at}
	switch {
	case n.op == nodeRegular && n.not != nil:
		key.need = it.count
	case n.op == nodeRegular && n.counts():
		key.need, key.left = n.window(it.count, int32(g.vocabulary.longest))
	}
	return key
}

// window is how many characters are needed, and how many there may be, as far as a token of so many bytes can tell.
func (n *node) window(count, longest int32) (need, left int32) {
	need, left = min(max(n.least-count, 0), longest+1), longest
	if n.most >= 0 {
		left = min(n.most-count, longest)
	}
	return need, left
}

// explorer walks the trie with the automata.
type explorer struct {
	guide *Guide
	mask  []uint32
	seen  map[visit]bool
}

// visit is a node of the trie from which a spot was followed.
type visit struct {
	spot
	at int32
}

// from allows what may follow an item.
func (e *explorer) from(it item) {
	n := &e.guide.grammar.nodes[it.node]
	if n.op != nodeRegular {
		e.below(it, 0)
		return
	}
	if n.part > 0 {
		e.part(n, it)
		return
	}
	v := e.guide.vocabulary
	p := v.profile(place{n.set, it.at})
	next := spot{n.next, it.stack}
	if n.not != nil {
		e.except(n, it, p)
		return
	}
	need, left := n.window(it.count, int32(v.longest))
	if !n.counts() || need == 0 && left >= p.most {
		p.all.into(e.mask)
		for _, x := range p.exits {
			e.behind(next, x.at)
		}
		return
	}
	p.upTo[min(int(left), len(p.upTo)-1)].into(e.mask)
	for _, x := range p.longer {
		if x.count <= left {
			v.allow(e.mask, x.at)
		}
	}
	for _, x := range p.closers {
		if need <= x.count && x.count <= left {
			v.allow(e.mask, x.at)
			e.behind(next, x.at)
		}
	}
}

// except allows what an automaton does but for the names: their closing quotes and what would follow them are taken back.
func (e *explorer) except(n *node, it item, p *profile) {
	p.all.into(e.mask)
	closed := map[int32]bool{}
	if it.count != elsewhere {
		n.not.closed(e.guide.vocabulary, it.count, 0, func(at int32) {
			closed[at] = true
			e.guide.vocabulary.forbid(e.mask, at)
		})
	}
	for _, x := range p.exits {
		if !closed[x.at] {
			e.behind(spot{n.next, it.stack}, x.at)
		}
	}
}

// behind allows the tokens below a node of the trie that go on at a spot.
func (e *explorer) behind(s spot, at int32) {
	if e.guide.vocabulary.leaf(at) {
		return
	}
	key := visit{s, at}
	if e.seen[key] {
		return
	}
	e.seen[key] = true
	r := e.guide.reach(s)
	for i := range r.items {
		e.below(r.items[i], at)
	}
}

// below allows the tokens below a node of the trie that go on with an item.
func (e *explorer) below(it item, at int32) {
	n := &e.guide.grammar.nodes[it.node]
	switch n.op {
	case nodeLiteral:
		e.literal(n, it, at)
	case nodeRegular:
		e.regular(n, it, at)
	}
}

// literal goes down the trie byte by byte.
func (e *explorer) literal(n *node, it item, at int32) {
	v := e.guide.vocabulary
	for i := int(it.at); i < len(n.text); i++ {
		if at = v.child(at, n.text[i]); at < 0 {
			return
		}
		v.allow(e.mask, at)
	}
	e.behind(spot{n.next, it.stack}, at)
}

// regular walks all that is below.
func (e *explorer) regular(n *node, it item, at int32) {
	v := e.guide.vocabulary
	top := v.trie[at].depth
	states := make([]item, 1, 8)
	states[0] = it
	for i := at + 1; i < v.trie[at].end; {
		t := &v.trie[i]
		states = states[:t.depth-top]
		to, ok := e.guide.read(n, states[len(states)-1], t.last)
		if !ok {
			i = t.end
			continue
		}
		states = append(states, to)
		v.allow(e.mask, i)
		if n.complete(to) {
			e.behind(e.guide.after(n, to), i)
		}
		i++
	}
}
