// spill.go keeps in the host's memory what the cache has no room for: blocks and states whose place others need, of sequences that sleep
// and of prompts that may come again. Places there are the model's to give; which of them hold what, and what gives way, is decided here.
//
// A block is copied out no sooner than it is taken for something else, so that who comes back before that finds it where it was. Copies
// are part of a step and are made in their order, so that nobody waits for them but the rows behind. A copy out that its step has yet to make
// can give way like any other: of a sequence whose blocks leave in one step the last come first, and are worth nothing without the others.

package engine

import (
	"container/list"
	"slices"
)

// Spiller is a Model that can keep blocks and states in memory besides its cache. All calls come between steps.
type Spiller interface {
	// Worth says whether a trade is worth its price; never, if there is no memory for it or the cache lies in the same.
	Worth(t Trade) bool
	// Take gives a place for a block, or for a state, of which each kind has numbers of its own; false if there is no room.
	Take(state bool) (place int32, ok bool)
	// Drop takes a place back. No copy of a step to come uses it.
	Drop(state bool, place int32)
	// Over says that more is taken than there is room for now.
	Over() bool
}

// Trade is copying so many blocks and states in place of computing so many positions.
type Trade struct {
	Blocks, States int
	Positions      int
	Row            float64 // seconds that a position takes to compute; 0: not measured yet
	// Chance is for a copy to the host, how likely it is that it is wanted back: 1 of a sequence that sleeps. 0: the copy is back.
	Chance float64
}

// Host is a direction of a Copy.
type Host uint8

// The directions: within the cache, from there to a place in the host's memory, and back.
const (
	Within Host = iota
	ToHost
	FromHost
)

// spilled is what a place in the host's memory holds.
type spilled struct {
	place    int32
	of       *held   // nil: a state, or what nobody can find any more
	state    content // of a state: what stands before it
	busy     bool    // a copy of the step to come reads it
	arriving bool    // or fills it
	once     bool    // it goes after the copy that reads it
	at       *list.Element
}

func (x *spilled) isState() bool { return x.state != 0 }

// spill is all that is in the host's memory.
type spill struct {
	model  Spiller
	blocks *blockTable
	list   list.List // of *spilled: what was used longest ago is at the front
	states map[content]*spilled
	moving []*spilled // busy or arriving
	counts SpillStats
	// retract has the step to come not fill a place.
	retract func(*spilled)
}

// SpillStats are what was spilled. All but Held only grow.
type SpillStats struct {
	OutBlocks, OutStates   uint64 // copied to the host
	BackBlocks, BackStates uint64 // and back
	Saved                  uint64 // positions that were not computed again because of that
	DroppedBlocks          uint64 // that gave way to others, or to less room
	DroppedStates          uint64
	HeldBlocks, HeldStates int // now
}

func newSpill(m Spiller, blocks *blockTable) *spill {
	return &spill{model: m, blocks: blocks, states: map[content]*spilled{}}
}

// spillTo has the scheduler use what a model keeps besides its cache.
func (s *scheduler) spillTo(m Spiller) {
	s.spill = newSpill(m, s.blocks)
	s.spill.retract = s.retract
	s.blocks.leaves, s.states.leaves = s.blockLeaves, s.stateLeaves
}

// copiesHost says that the step to come copies to the host or back.
func (s *scheduler) copiesHost() bool {
	return slices.ContainsFunc(s.batch.Copies, func(c Copy) bool { return c.Host != Within })
}

// forget lists the blocks whose memory can be given back; all has the prefix cache forgotten before.
func (s *scheduler) forget(all bool) []int32 {
	leaves := s.blocks.leaves
	s.blocks.leaves = nil
	defer func() { s.blocks.leaves = leaves }()
	if all {
		s.spill.clear()
	}
	return s.blocks.sweep(all)
}

// add finds a place for something: that of what was used longest ago, if there is no other. What is wanted for certain, since its sequence
// sleeps, does not give way to what may be.
func (p *spill) add(x *spilled) bool {
	for {
		place, ok := p.model.Take(x.isState())
		if ok {
			x.place, x.arriving = place, true
			break
		}
		old := p.victim(p.sleeps(x))
		if old == nil {
			return false
		}
		p.giveUp(old)
	}
	x.at = p.list.PushBack(x)
	p.moving = append(p.moving, x)
	if x.isState() {
		p.states[x.state] = x
		p.counts.HeldStates++
	} else {
		x.of.host = x
		p.counts.HeldBlocks++
	}
	return true
}

// sleeps says that a sequence which sleeps will want x.
func (p *spill) sleeps(x *spilled) bool {
	h := x.of
	if x.isState() {
		h = p.blocks.live[x.state]
	}
	return h != nil && h.asleep && !p.blocks.orphan(h)
}

// victim is what gives way; of sequences that sleep only if sleepers may.
func (p *spill) victim(sleepers bool) *spilled {
	for e := p.list.Front(); e != nil; e = e.Next() {
		if x := e.Value.(*spilled); !x.busy && (sleepers || !p.sleeps(x)) {
			return x
		}
	}
	return nil
}

// giveUp is drop of what might have been wanted.
func (p *spill) giveUp(x *spilled) {
	switch {
	case x.arriving: // it was never there
	case x.isState():
		p.counts.DroppedStates++
	default:
		p.counts.DroppedBlocks++
	}
	p.drop(x)
}

// drop gives a place back, or has it given back after the copy that reads it.
func (p *spill) drop(x *spilled) {
	if x.busy {
		x.once = true
		return
	}
	if x.arriving {
		p.retract(x)
		p.moving = slices.DeleteFunc(p.moving, func(m *spilled) bool { return m == x })
	}
	p.list.Remove(x.at)
	p.model.Drop(x.isState(), x.place)
	if x.isState() {
		p.counts.HeldStates--
		if p.states[x.state] == x {
			delete(p.states, x.state)
		}
		return
	}
	p.counts.HeldBlocks--
	if h := x.of; h != nil {
		h.host = nil
		p.blocks.drop(h)
	}
}

// use keeps x where it is until a copy of the step to come has used it.
func (p *spill) use(x *spilled) {
	p.list.MoveToBack(x.at)
	x.busy = true
	p.moving = append(p.moving, x)
}

// use keeps in the host's memory what f takes from there. The beginning is used last: without it the rest is of no use.
func (s *scheduler) use(f found) {
	if f.host != nil {
		s.spill.use(f.host)
	}
	for _, h := range slices.Backward(f.list) {
		if h.block < 0 {
			s.spill.use(h.host)
		}
	}
}

// state is where the state behind some content is, nil if it is not there whole.
func (p *spill) state(c content) *spilled {
	if p == nil {
		return nil
	}
	if x := p.states[c]; x != nil && !x.arriving && !x.once {
		return x
	}
	return nil
}

// moved ends the copies of a step. Those that failed have filled nothing.
func (p *spill) moved(failed bool) {
	if p == nil {
		return
	}
	for _, x := range p.moving {
		bad := failed && x.arriving
		if x.arriving && !failed {
			p.filled(x)
		}
		x.busy, x.arriving = false, false
		if bad || x.once {
			p.drop(x)
		}
	}
	clear(p.moving)
	p.moving = p.moving[:0]
}

// filled counts a copy that was made.
func (p *spill) filled(x *spilled) {
	if x.isState() {
		p.counts.OutStates++
	} else {
		p.counts.OutBlocks++
	}
}

// retract takes the copy that would fill a place back: the step to come does not make it.
func (s *scheduler) retract(x *spilled) {
	at := slices.IndexFunc(s.batch.Copies, func(c Copy) bool { return c.Host == ToHost && c.State == x.isState() && c.To == x.place })
	s.batch.Copies, s.owed = slices.Delete(s.batch.Copies, at, at+1), slices.Delete(s.owed, at, at+1)
}

// trimmed gives up what is beyond the room there is now, and says that no copy keeps it from that.
func (s *scheduler) trimmed() bool {
	p := s.spill
	for p != nil && p.model.Over() {
		x := p.victim(true)
		if x == nil && (len(p.moving) == 0 || !s.quiet()) {
			return len(p.moving) == 0
		}
		if x != nil {
			p.giveUp(x)
		}
	}
	return true
}

// clear gives up all of it.
func (p *spill) clear() {
	for p != nil {
		x := p.victim(true)
		if x == nil {
			return
		}
		p.drop(x)
	}
}

// there says that h is in the host's memory and could be copied from there.
func (h *held) there() bool { return h.host != nil && !h.host.arriving && !h.host.once }

// blockLeaves is told that a block is taken for something else: what it holds goes to the host's memory, if that is worth it.
func (s *scheduler) blockLeaves(h *held) {
	if h.host != nil {
		s.spill.list.MoveToBack(h.host.at) // the only one from now on
		return
	}
	if s.blocks.orphan(h) || h.own() && !h.asleep || !s.worth(Trade{Blocks: 1, Positions: int(h.n), Chance: s.chance(h.asleep)}) {
		return
	}
	x := &spilled{of: h}
	if b := h.block; s.spill.add(x) {
		s.copy(Copy{Host: ToHost, From: b, To: x.place}, nil)
	}
}

// stateLeaves is told that the place of a snapshot is taken for another.
func (s *scheduler) stateLeaves(old snapshot) {
	h := s.blocks.live[old.of]
	if h == nil || s.spill.states[old.of] != nil || !s.worth(Trade{States: 1, Positions: old.at, Chance: s.chance(h.asleep)}) {
		return
	}
	x := &spilled{state: old.of}
	if s.spill.add(x) {
		s.copy(Copy{State: true, Host: ToHost, From: old.place, To: x.place}, nil)
	}
}

// leastChance is how likely it is at least that a beginning of a prompt comes again.
const leastChance = 1. / 16

// chance is how likely it is that something is wanted back: of a prompt as often as others were.
func (s *scheduler) chance(asleep bool) float64 {
	if asleep || s.counts.queried == 0 {
		return 1
	}
	return max(leastChance, min(1, float64(s.counts.cached)/float64(s.counts.queried)))
}

func (s *scheduler) worth(t Trade) bool {
	t.Row = s.pace.row
	return s.spill != nil && s.spill.model.Worth(t)
}

// sleep publishes all that q has in the cache, so that it is found again when q comes back: also its answer, and a block that is not full.
func (s *scheduler) sleep(q *sequence) {
	if !s.config.PrefixCache || q.scoring() || q.fed == 0 {
		return
	}
	at := q.content
	for i := q.published; i*BlockSize < q.fed; i++ {
		at = s.blocks.publishAs(q.table[i], s.prefix(q, i, min(q.fed, (i+1)*BlockSize), at))
		s.blocks.live[at].asleep = true
	}
	q.slept, q.asleep = q.fed, true
	s.sleepers++
	s.blocks.all = true
	for b := range q.published {
		if h := s.blocks.holds[q.table[b]]; h != nil {
			h.asleep = true
		}
	}
	if !s.config.Stateful {
		return
	}
	if place, ok := s.states.keep(at, q.fed); ok {
		s.copy(Copy{State: true, From: q.slot, To: place}, nil)
	} else if len(s.states.list) == 0 && s.spill != nil {
		s.stateLeaves(snapshot{place: q.slot, of: at, at: q.fed})
	}
}

// wakes says that q sleeps no more, of which so many positions are taken.
func (s *scheduler) wakes(q *sequence, taken int) {
	if !q.asleep {
		return
	}
	q.asleep = false
	s.counts.resumed += uint64(taken)
	s.sleepers--
	s.blocks.all = s.sleepers > 0
	end := 0
	s.walk(q, len(q.tokens), func(h *held) bool {
		h.asleep = false
		if end += int(h.n); !h.whole() && end != taken { // q will not come to it again
			s.unpublish(h)
		}
		return true
	})
}

// prefix is what identifies block i of q up to a position, behind some content.
func (s *scheduler) prefix(q *sequence, i, end int, before content) prefix {
	from := i * BlockSize
	p := prefix{before: before, n: uint8(end - from), prompt: uint8(min(max(q.prompt-from, 0), end-from))}
	if s.config.OneForm {
		p.prompt = p.n
	}
	n := 0
	if from < q.prompt {
		n = copy(p.ids[:p.n], q.keys[from:])
	}
	copy(p.ids[n:p.n], q.tokens[from+n:])
	return p
}

// forgetOwn forgets what nobody but q could want of what it published when it slept.
func (s *scheduler) forgetOwn(q *sequence) {
	if q.slept == 0 {
		return
	}
	s.walk(q, len(q.tokens), func(h *held) bool {
		if h.own() {
			s.unpublish(h)
		}
		return true
	})
}

// unpublish has nobody find h any more. Who has its block keeps it.
func (s *scheduler) unpublish(h *held) {
	if x := h.host; x != nil {
		h.host, x.of = nil, nil
		s.spill.drop(x)
	}
	if h.block >= 0 {
		s.blocks.forget(h.block)
	} else {
		s.blocks.drop(h)
	}
}

// quiet gives up the copies that nobody on board relies on, and says that none is left.
func (s *scheduler) quiet() bool {
	if slices.ContainsFunc(s.owed, func(q *sequence) bool { return q != nil && q.phase != gone }) {
		return false
	}
	s.spoilt()
	return true
}
