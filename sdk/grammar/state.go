// state.go is where in a grammar a text has come to, and how a byte leads on from there.

package grammar

import (
	"maps"
	"math/bits"
	"slices"
)

// item is one way to have read the text: a node that reads, how far it has come, and what follows it.
type item struct {
	node  int32
	at    int32 // bytes of a literal; the state of an automaton
	count int32 // characters that were begun, of an automaton that counts; of one with names, where among them the string is
	stack *frame
}

// frame is what follows a rule or a body. There is one of each kind in a guide, so pointers tell frames apart.
type frame struct {
	node   int32 // where to go on; of a repetition that node itself
	count  int32 // how often its body was read; called if it is no repetition's
	parent *frame
	past   *past // of an Unlike
}

// called is the count of a frame that follows a rule.
const called = -1

// reached is the items that a node is read with, and whether the text may end there.
type reached struct {
	items []item
	done  bool
	index map[item]bool // of items, once they are many
}

// spot is a node and what follows it.
type spot struct {
	node  int32
	stack *frame
}

// maxItems bounds the ways that are followed at once. Those beyond it, of a very ambiguous grammar, are left out: fewer texts are allowed, none that
// is wrong.
const maxItems = 1 << 11

// maxVisits bounds the nodes that are passed to find them.
const maxVisits = 1 << 17

// maxKept bounds what a guide remembers of spots and stacks; it then forgets all.
const maxKept = 1 << 15

// reach is what may be read from a spot on.
func (g *Guide) reach(s spot) *reached {
	if r, known := g.spots[s]; known {
		return r
	}
	w := walker{guide: g, seen: map[spot]bool{}, fresh: map[*frame]bool{}}
	w.visit(s.node, s.stack)
	if len(g.spots) > maxKept {
		clear(g.spots)
	}
	g.spots[s] = &w.reached
	return &w.reached
}

// walker follows the nodes that read nothing.
type walker struct {
	reached
	guide *Guide
	seen  map[spot]bool
	fresh map[*frame]bool // of repetitions whose body has read nothing yet
}

func (w *walker) visit(at int32, stack *frame) {
	s := spot{at, stack}
	if w.seen[s] || len(w.items) >= maxItems || len(w.seen) >= maxVisits {
		return
	}
	w.seen[s] = true
	switch n := &w.guide.grammar.nodes[at]; n.op {
	case nodeEnd:
		w.back(stack)
	case nodeSplit:
		for _, to := range n.alts {
			w.visit(to, stack)
		}
	case nodeCall:
		if w.guide.ends(n.next) { // nothing of this rule follows
			w.visit(n.body, stack)
		} else {
			w.visit(n.body, w.guide.push(frame{n.next, called, stack, nil}))
		}
	case nodeRepeat:
		w.again(at, n, 0, stack)
	case nodeDistinct:
		w.others(at, n, 0, stack)
	case nodeUnlike:
		w.unlike(at, n, 0, n.taken, stack)
	case nodeRegular:
		if n.part > 0 {
			if _, open := stack.past.read.find("", int(n.part)-1); open {
				w.items = append(w.items, item{node: at, stack: stack})
			}
			return
		}
		if n.set.GoesOn(0) {
			w.items = append(w.items, item{node: at, stack: stack})
		}
		if n.set.Accepts(0) && n.least == 0 {
			w.visit(n.next, stack)
		}
	default:
		w.items = append(w.items, item{node: at, stack: stack})
	}
}

// again is a repetition whose body was read count times.
func (w *walker) again(at int32, n *node, count int32, stack *frame) {
	if count >= n.least {
		w.visit(n.next, stack)
	}
	if n.most < 0 || count < n.most {
		f := w.guide.push(frame{at, count, stack, nil})
		w.fresh[f] = true
		w.visit(n.body, f)
	}
}

// others is a repetition of which the parts in used, as bits, were read.
func (w *walker) others(at int32, n *node, used int32, stack *frame) {
	count := int32(bits.OnesCount32(uint32(used)))
	if count >= n.least {
		w.visit(n.next, stack)
	}
	if n.most >= 0 && count >= n.most {
		return
	}
	for i := 0; i < len(n.alts); i += 2 {
		part := int32(1) << (i / 2)
		switch {
		case used&part != 0:
		case used == 0:
			w.visit(n.alts[i], w.guide.push(frame{at, part, stack, nil}))
		default:
			w.visit(n.alts[i+1], w.guide.push(frame{at, used | part, stack, nil}))
		}
	}
}

// unlike is a repetition of which count parts were read, and what these began with.
func (w *walker) unlike(at int32, n *node, count int32, read *told, stack *frame) {
	if count >= n.least {
		w.visit(n.next, stack)
	}
	if n.most >= 0 && count >= n.most || read.all(len(n.sets)) {
		return
	}
	body := n.alts[0]
	if count > 0 {
		body = n.alts[1]
	}
	w.visit(body, w.guide.push(frame{at, count, stack, w.guide.past(read, "", read)}))
}

// back goes on behind a rule or a body.
func (w *walker) back(f *frame) {
	if f == nil {
		w.done = true
		return
	}
	n := &w.guide.grammar.nodes[f.node]
	switch {
	case f.count == called:
		w.visit(f.node, f.parent)
	case n.op == nodeDistinct:
		w.others(f.node, n, f.count, f.parent)
	case n.op == nodeUnlike && n.most < 0:
		w.unlike(f.node, n, min(f.count+1, max(n.least, 1)), f.past.read, f.parent)
	case n.op == nodeUnlike:
		w.unlike(f.node, n, f.count+1, f.past.read, f.parent)
	case w.fresh[f]: // it has read nothing; again would be for ever
	case n.most < 0:
		w.again(f.node, n, min(f.count+1, n.least), f.parent)
	default:
		w.again(f.node, n, f.count+1, f.parent)
	}
}

func (g *Guide) ends(at int32) bool { return g.grammar.nodes[at].op == nodeEnd }

// push is the frame of that kind.
func (g *Guide) push(key frame) *frame {
	f, known := g.frames[key]
	if !known {
		if len(g.frames) > maxKept { // what is under way keeps its own; equal ones are then two for a while, which costs time alone
			clear(g.frames)
		}
		f = &key
		g.frames[key] = f
	}
	return f
}

// step is what a byte makes of a state. next is overwritten.
func (g *Guide) step(items []item, c byte, next *reached) {
	next.reset()
	for i := range items {
		it := &items[i]
		n := &g.grammar.nodes[it.node]
		switch n.op {
		case nodeLiteral:
			switch {
			case n.text[it.at] != c:
			case int(it.at)+1 < len(n.text):
				next.add(item{it.node, it.at + 1, 0, it.stack})
			default:
				next.join(g.reach(spot{n.next, it.stack}))
			}
		case nodeRegular:
			g.stepRegular(it, n, c, next)
		}
	}
}

func (g *Guide) stepRegular(it *item, n *node, c byte, next *reached) {
	to, ok := g.read(n, *it, c)
	if !ok {
		return
	}
	if g.goesOn(n, to) {
		next.add(to)
	}
	if n.complete(to) {
		next.join(g.reach(g.after(n, to)))
	}
}

// read is what a byte makes of an item of an automaton.
func (g *Guide) read(n *node, it item, c byte) (item, bool) {
	if n.part > 0 {
		return g.readPart(n, it, c)
	}
	state := n.set.Step(it.at, c)
	if state < 0 {
		return it, false
	}
	if n.not != nil {
		if n.set.Accepts(state) && it.count != elsewhere && n.not.ends[it.count] {
			return it, false
		}
		it.at, it.count = state, n.not.step(it.count, c)
		return it, true
	}
	if n.counts() && n.set.Counts(it.at, c) {
		if it.count == n.most {
			return it, false
		}
		if it.count++; n.most < 0 {
			it.count = min(it.count, n.least)
		}
	}
	if n.set.Accepts(state) && it.count < n.least && !n.set.GoesOn(state) {
		return it, false
	}
	it.at = state
	return it, true
}

// goesOn says that a byte may follow.
func (g *Guide) goesOn(n *node, it item) bool {
	if n.part > 0 {
		return it.stack.past.at.goesOn(int(n.part)-1, n.set, it.at)
	}
	return n.set.GoesOn(it.at)
}

// after is where the text of an automaton leads once it is complete.
func (g *Guide) after(n *node, it item) spot {
	if n.part > 0 {
		return g.behindPart(n, it.stack)
	}
	return spot{n.next, it.stack}
}

// complete says that a text of the automaton may end with an item.
func (n *node) complete(it item) bool {
	if n.part > 0 {
		return n.set.Accepts(it.at) && !it.stack.past.at.tells()
	}
	return n.set.Accepts(it.at) && (n.not != nil || it.count >= n.least)
}

// counts says that the number of characters matters.
func (n *node) counts() bool { return n.least > 0 || n.most >= 0 }

// many is from how many items on a map finds one faster than a look at all.
const many = 32

func (r *reached) add(it item) {
	if len(r.items) >= maxItems || r.has(it) {
		return
	}
	r.items = append(r.items, it)
	switch {
	case len(r.items) == many:
		r.index = make(map[item]bool, 2*many)
		for _, it := range r.items {
			r.index[it] = true
		}
	case r.index != nil:
		r.index[it] = true
	}
}

func (r *reached) has(it item) bool {
	if r.index != nil {
		return r.index[it]
	}
	return slices.Contains(r.items, it)
}

func (r *reached) reset() { r.items, r.done, r.index = r.items[:0], false, nil }

// clone is what is reached, to be changed by itself.
func (r *reached) clone() reached {
	return reached{slices.Clone(r.items), r.done, maps.Clone(r.index)}
}

func (r *reached) join(o *reached) {
	r.done = r.done || o.done
	for i := range o.items {
		r.add(o.items[i])
	}
}
