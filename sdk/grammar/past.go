// past.go is what the parts of an Unlike have read, so that none reads it again, and so that none comes to a place where only that would be left.

package grammar

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk/grammar/automaton"
)

// past is what was read, and what of a text is read now. There is one of each kind in a guide.
type past struct {
	read   *told
	text   string
	at     *told // where the text is in read; nil: it is the beginning of none
	behind *told // read, and the text; made when it is asked for
}

// pastKey tells pasts apart.
type pastKey struct {
	read *told
	text string
}

// told is a place in a trie of texts. It never changes: another text makes other places on its own way.
type told struct {
	bytes []byte // that lead on, ascending
	to    []*told
	ends  bool   // a text ends here
	spent uint64 // by set: all its texts that begin like this are told
}

// maxUnlike is how many parts Unlike takes.
const maxUnlike = 64

// with is the trie with one text more. The sets are those that are not to be led to where no text is left.
func (t *told) with(text string, sets []*automaton.Bytes) *told {
	states := make([]int32, len(sets))
	return t.grow(text, sets, states)
}

func (t *told) grow(text string, sets []*automaton.Bytes, states []int32) *told {
	out := &told{}
	if t != nil {
		*out = told{slices.Clone(t.bytes), slices.Clone(t.to), t.ends, 0}
	}
	if text == "" {
		out.ends = true
	} else {
		further := make([]int32, len(sets))
		for i, set := range sets {
			if further[i] = -1; states[i] >= 0 {
				further[i] = set.Step(states[i], text[0])
			}
		}
		i, known := slices.BinarySearch(out.bytes, text[0])
		if !known {
			out.bytes, out.to = slices.Insert(out.bytes, i, text[0]), slices.Insert(out.to, i, nil)
		}
		out.to[i] = out.to[i].grow(text[1:], sets, further)
	}
	for i, set := range sets {
		if states[i] >= 0 && (!set.Accepts(states[i]) || out.ends) && !out.goesOn(i, set, states[i]) {
			out.spent |= 1 << i
		}
	}
	return out
}

// goesOn says that a byte may follow in a state of the i-th set.
func (t *told) goesOn(i int, set *automaton.Bytes, state int32) bool {
	return t.closed(i, set, state) < set.Bytes(state)
}

// closed is how many of the bytes that may follow in a state of the i-th set lead to no text that is left.
func (t *told) closed(i int, set *automaton.Bytes, state int32) (n int) {
	if t == nil {
		return 0
	}
	for k, to := range t.to {
		if to.spent>>i&1 == 1 && set.Step(state, t.bytes[k]) >= 0 {
			n++
		}
	}
	return n
}

// child is the place behind a byte, nil if no text begins so.
func (t *told) child(c byte) *told {
	if t == nil {
		return nil
	}
	if i, known := slices.BinarySearch(t.bytes, c); known {
		return t.to[i]
	}
	return nil
}

// tells says that a text ends here.
func (t *told) tells() bool { return t != nil && t.ends }

// find is the place of a text; open is false if on the way there is one from which none of the i-th set's texts is left.
func (t *told) find(text string, i int) (at *told, open bool) {
	for k := 0; t != nil; k++ {
		if t.spent>>i&1 == 1 {
			return t, false
		}
		if k == len(text) {
			break
		}
		t = t.child(text[k])
	}
	return t, true
}

// all says that no text of any of so many sets is left.
func (t *told) all(sets int) bool { return t != nil && bits.OnesCount64(t.spent) == sets }

// past is what was read and what is read now.
func (g *Guide) past(read *told, text string, at *told) *past {
	key := pastKey{read, text}
	p, known := g.pasts[key]
	if !known {
		if len(g.pasts) > maxKept {
			clear(g.pasts)
		}
		p = &past{read: read, text: text, at: at}
		g.pasts[key] = p
	}
	return p
}

// tell is a past in which the text under way is told.
func (g *Guide) tell(p *past, sets []*automaton.Bytes) *past {
	if p.behind == nil {
		p.behind = p.read.with(p.text, sets)
	}
	return g.past(p.behind, "", p.behind)
}

// sets are those of the repetition that a part belongs to, and which of them is the part's.
func (g *Guide) sets(n *node, f *frame) (sets []*automaton.Bytes, i int) {
	return g.grammar.nodes[f.node].sets, int(n.part) - 1
}

// readPart is what a byte makes of an item of a part.
func (g *Guide) readPart(n *node, it item, c byte) (item, bool) {
	state, f := n.set.Step(it.at, c), it.stack
	_, i := g.sets(n, f)
	at := f.past.at.child(c)
	if state < 0 || at != nil && at.spent>>i&1 == 1 {
		return it, false
	}
	it.at = state
	it.stack = g.push(frame{f.node, f.count, f.parent, g.past(f.past.read, f.past.text+string([]byte{c}), at)})
	return it, true
}

// behindPart is where a text of a part leads: from there on it is told.
func (g *Guide) behindPart(n *node, f *frame) spot {
	sets, _ := g.sets(n, f)
	return spot{n.next, g.push(frame{f.node, f.count, f.parent, g.tell(f.past, sets)})}
}

// part allows the tokens that may follow an item of a part. What may follow its text is the same whatever the text is, but for a token that has the same
// text again, and where few texts are left: only then the text is told.
func (e *explorer) part(n *node, it item) {
	g, f := e.guide, it.stack
	v, p := g.vocabulary, g.vocabulary.profile(place{n.set, it.at})
	_, i := g.sets(n, f)
	p.all.into(e.mask)
	f.past.at.eachSpent(v, i, 0, func(at int32) { v.forbid(e.mask, at) })
	read := f.past.read
	apart := spot{n.next, g.push(frame{f.node, f.count, f.parent, g.past(read, "", read)})}
	for _, x := range p.exits {
		text := v.path(x.at)
		to, open := f.past.at.find(text, i)
		switch {
		case !open || to.tells():
		case f.past.at.free(text, i, n.set, it.at) && !v.again(x.at, f.past.text, text):
			e.behind(apart, x.at)
		default:
			e.behind(g.behindPart(n, &frame{f.node, f.count, f.parent, g.past(read, f.past.text+text, to)}), x.at)
		}
	}
}

// free says that before the last byte of a text from a state on another one may come: telling the text then closes no way but that to itself.
func (t *told) free(text string, i int, set *automaton.Bytes, state int32) bool {
	for k := range len(text) - 1 {
		state, t = set.Step(state, text[k]), t.child(text[k])
	}
	return set.Bytes(state)-t.closed(i, set, state) > 1
}

// again says that a token which goes on from a node of the trie has a text, given in two parts, further on.
func (v *Vocabulary) again(at int32, text, end string) bool {
	whole := ""
	for _, id := range v.below(at) {
		if rest := v.tokens[id][v.trie[at].depth:]; len(rest) > len(text)+len(end) {
			if whole == "" {
				whole = text + end
			}
			if strings.Contains(rest, whole) {
				return true
			}
		}
	}
	return false
}

// eachSpent calls found with the nodes of the vocabulary's trie, below at, from which no text of the i-th set is left.
func (t *told) eachSpent(v *Vocabulary, i int, at int32, found func(at int32)) {
	if t == nil {
		return
	}
	for k, to := range t.to {
		switch below := v.child(at, t.bytes[k]); {
		case below < 0:
		case to.spent>>i&1 == 1:
			found(below)
		default:
			to.eachSpent(v, i, below, found)
		}
	}
}
