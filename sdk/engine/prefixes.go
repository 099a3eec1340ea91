// prefixes.go has every beginning of a prompt computed once: a sequence takes over what blocks still hold, what a sequence beside it
// is computing, and, if the two prompts are one, also the end that fills no block and the logits behind it.

package engine

import "slices"

// found is what the prefix cache has of a sequence.
type found struct {
	list   []*held  // its blocks
	table  []int32  // where they are, acquired; -1 of those that are to come from the host's memory
	end    int      // positions
	saved  int      // of them, those that the host's memory saves
	state  int32    // the snapshot that belongs behind them, -1 if none is needed
	host   *spilled // or where it is in the host's memory
	marks  []int
	copies int // blocks that are to be copied from there
}

// lookUp finds the longest beginning of q that need not be computed, and acquires its blocks. The last known token always is: its logits are
// needed.
func (s *scheduler) lookUp(q *sequence) found {
	f := found{table: q.table[:0], state: -1, marks: q.marks[:0]}
	if !s.config.PrefixCache || q.scoring() {
		return f
	}
	chain := s.chain(q, q.free())
	near, far := s.reach(chain)
	if s.config.Stateful {
		s.mark(q, &f, len(chain), far)
	}
	if far > near && !s.worth(s.trade(chain, near, far)) {
		far = near
	}
	f.list, f.end, f.saved = chain[:far], endOf(chain[:far]), endOf(chain[:far])-endOf(chain[:near])
	if s.config.Stateful && far > 0 {
		f.state, f.host = s.stateOf(chain[far-1].number)
	}
	for _, h := range f.list {
		if f.table = append(f.table, h.block); h.block >= 0 {
			s.blocks.acquire(h.block)
		} else {
			f.copies++
		}
	}
	return f
}

// chain lists what is known of q's first positions, block by block, and can be had.
func (s *scheduler) chain(q *sequence, positions int) []*held {
	list := s.chained[:0]
	s.walk(q, positions, func(h *held) bool {
		if h.block < 0 && !h.there() {
			return false
		}
		list = append(list, h)
		return true
	})
	s.chained = list
	return list
}

// walk visits what is known of q's first positions, block by block, as long as visit says so.
func (s *scheduler) walk(q *sequence, positions int, visit func(*held) bool) {
	at := content(0)
	for i := 0; ; i++ {
		h := s.knownOf(q, i, (i+1)*BlockSize, positions, at)
		if h == nil {
			h = s.knownOf(q, i, q.slept, positions, at)
		}
		if h == nil {
			return
		}
		at = h.number
		if whole := h.whole(); !visit(h) || !whole {
			return
		}
	}
}

// knownOf is what is known of block i of q up to a position, if that is in the block and among so many.
func (s *scheduler) knownOf(q *sequence, i, end, positions int, before content) *held {
	if end <= i*BlockSize || end > min((i+1)*BlockSize, positions) {
		return nil
	}
	return s.blocks.index[s.prefix(q, i, end, before)]
}

// endOf is how many positions a list of blocks has.
func endOf(list []*held) int {
	if len(list) == 0 {
		return 0
	}
	return (len(list)-1)*BlockSize + int(list[len(list)-1].n)
}

// reach is how much of a chain can be begun behind with what is in the cache, and with what is in the host's memory besides. A model with
// a state can begin only where that is known.
func (s *scheduler) reach(chain []*held) (near, far int) {
	for near < len(chain) && chain[near].block >= 0 {
		near++
	}
	far = len(chain)
	if !s.config.Stateful {
		return near, far
	}
	state := func(n int) (here, there bool) {
		place, host := s.stateOf(chain[n-1].number)
		return place >= 0, host != nil
	}
	for ; near > 0; near-- {
		if here, _ := state(near); here {
			break
		}
	}
	for ; far > near; far-- {
		if here, there := state(far); here || there {
			break
		}
	}
	return near, far
}

// stateOf is where the state behind some content is: -1 and nil if nowhere.
func (s *scheduler) stateOf(c content) (place int32, host *spilled) {
	if place, ok := s.states.find(c); ok {
		return place, nil
	}
	return -1, s.spill.state(c)
}

// trade is the one between the two ends of reach.
func (s *scheduler) trade(chain []*held, near, far int) Trade {
	t := Trade{Positions: endOf(chain[:far]) - endOf(chain[:near])}
	for _, h := range chain[:far] {
		if h.block < 0 {
			t.Blocks++
		}
	}
	if s.config.Stateful {
		if _, host := s.stateOf(chain[far-1].number); host != nil {
			t.States++
		}
	}
	return t
}

// mark says where the state should have been known: where this prompt parts from what was known, and at its last whole block, which the
// next turn of a conversation begins with.
func (s *scheduler) mark(q *sequence, f *found, all, n int) {
	if len(s.states.list) == 0 {
		return
	}
	for _, block := range []int{all, (q.prompt - 1) / BlockSize} {
		if at := block * BlockSize; block > n && !slices.Contains(f.marks, at) {
			f.marks = append(f.marks, at)
		}
	}
}

// leave gives up what lookUp acquired.
func (s *scheduler) leave(f found) {
	have := slices.DeleteFunc(f.table, func(b int32) bool { return b < 0 })
	s.blocks.release(have)
}

// begin puts q where f ends. Every block of f's table is there by now.
func (s *scheduler) begin(q *sequence, f found) {
	q.table, q.fed, q.marks, q.published, q.content = f.table, f.end, f.marks, 0, 0
	s.wakes(q, f.end)
	for i, h := range f.list {
		if h.asleep = false; h.block < 0 {
			s.spill.counts.BackBlocks++
			s.copy(Copy{Host: FromHost, From: h.host.place, To: f.table[i]}, q)
			s.blocks.attach(f.table[i], h)
		}
		if !h.own() {
			q.published, q.content = i+1, h.number
		}
	}
	s.beginState(q, f)
	if n := len(f.list); n > 0 && !f.list[n-1].whole() { // q goes on in it
		s.unpublish(f.list[n-1])
	}
	if f.saved > 0 {
		s.spill.counts.Saved += uint64(f.saved)
	}
	if q.placed || q.scoring() { // later it would find its own blocks
		q.placed = true
		return
	}
	q.placed = true
	if s.config.PrefixCache && !q.session {
		s.counts.queried += uint64(q.prompt)
		s.took(q, min(q.fed, q.prompt))
	}
}

// beginState gives q the state behind f. That of a block that is not full nobody else can begin with.
func (s *scheduler) beginState(q *sequence, f found) {
	own := len(f.list) > 0 && !f.list[len(f.list)-1].whole()
	if f.state >= 0 {
		s.copy(Copy{State: true, From: f.state, To: q.slot}, q)
		if own {
			s.states.drop(f.state)
		}
	}
	if f.host != nil {
		s.spill.counts.BackStates++
		s.copy(Copy{State: true, Host: FromHost, From: f.host.place, To: q.slot}, q)
		if own {
			s.spill.drop(f.host)
		}
	}
}

// took counts positions that q did not have to compute.
func (s *scheduler) took(q *sequence, n int) {
	q.cached += n
	s.counts.cached += uint64(n)
}

// publish makes the full blocks of q known, and has states kept at its marks.
func (s *scheduler) publish(q *sequence) {
	if !s.config.PrefixCache {
		return
	}
	end := min(q.fed, q.prompt)
	if s.config.OneForm {
		end = q.fed
	}
	for (q.published+1)*BlockSize <= end {
		q.content = s.blocks.publish(q.table[q.published], q.content, q.key(q.published*BlockSize))
		q.published++
	}
	if !s.config.Stateful || !slices.Contains(q.marks, q.fed) || q.fed != q.published*BlockSize {
		return
	}
	if place, ok := s.states.keep(q.content, q.fed); ok {
		s.copy(Copy{State: true, From: q.slot, To: place}, nil)
	}
}

// copy asks the model for a copy before the next rows.
func (s *scheduler) copy(c Copy, q *sequence) {
	s.batch.Copies, s.owed = append(s.batch.Copies, c), append(s.owed, q)
}

// shares says that q need not be computed in this step, because a sequence beside it computes the same. If blocks of it are done
// already, q has them.
func (s *scheduler) shares(q *sequence) bool {
	if !s.config.PrefixCache || q.scoring() {
		return false
	}
	if !s.config.Stateful {
		s.catchUp(q)
	}
	for _, p := range s.running {
		if p.arrival < q.arrival && p.fed < p.prompt && p.same(q) {
			return true // all of it comes with p's last rows
		}
	}
	return !s.config.Stateful && slices.ContainsFunc(s.parts, func(p part) bool { return p.q.fed < p.q.prompt && p.q.leads(q) })
}

// catchUp takes over the whole blocks that others have computed since q was placed.
func (s *scheduler) catchUp(q *sequence) {
	for q.fed%BlockSize == 0 && q.fed+BlockSize <= min(q.free(), q.prompt) {
		b, ok := s.blocks.known(q.content, q.keys[q.fed:q.fed+BlockSize])
		if !ok {
			return
		}
		s.exchange(q, q.fed/BlockSize, b)
		q.content = s.blocks.number(b)
		q.published++
		q.fed += BlockSize
		s.took(q, BlockSize)
	}
}

// exchange gives q a block of others for one of its own.
func (s *scheduler) exchange(q *sequence, i int, b int32) {
	if q.table[i] != b {
		s.blocks.acquire(b)
		s.blocks.release(q.table[i : i+1])
		q.table[i] = b
	}
}

// leads says that what p computes next is what q needs next: a whole block.
func (p *sequence) leads(q *sequence) bool {
	end := q.fed + BlockSize
	return p.fed == q.fed && p.content == q.content && q.fed%BlockSize == 0 && end <= min(q.free(), q.prompt, p.prompt) && !p.scoring() &&
		slices.Equal(p.keys[p.fed:end], q.keys[q.fed:end])
}

// same says that the two prompts are one, and that both are for answers alone.
func (p *sequence) same(q *sequence) bool {
	return p.prompt == q.prompt && p.scores == nil && q.scores == nil && !p.session && !q.session && slices.Equal(p.keys, q.keys)
}

// followers are the sequences that waited for p, whose prompt has just been computed whole.
func (s *scheduler) followers(p *sequence) (list []*sequence) {
	if !s.config.PrefixCache || p.fed != p.prompt {
		return nil
	}
	for _, q := range s.running {
		if p.leadsAll(q) {
			list = append(list, q)
		}
	}
	return list
}

// shared says that more than p will draw from the row behind so many of its tokens.
func (s *scheduler) shared(p *sequence, fed int) bool {
	return s.config.PrefixCache && fed == p.prompt && slices.ContainsFunc(s.running, p.leadsAll)
}

// leadsAll says that q waits for p's prompt, which is its own.
func (p *sequence) leadsAll(q *sequence) bool { return q != p && q.fed < q.prompt && p.same(q) }

// follow gives q all that p has of their prompt.
func (s *scheduler) follow(q, p *sequence) {
	s.took(q, q.prompt-q.fed)
	for i := q.fed / BlockSize; i < blocksFor(q.prompt); i++ {
		if (i+1)*BlockSize <= q.prompt {
			s.exchange(q, i, p.table[i])
		} else {
			s.copy(Copy{From: p.table[i], To: q.table[i]}, q)
		}
	}
	if s.config.Stateful {
		s.copy(Copy{State: true, From: p.slot, To: q.slot}, q)
	}
	q.fed, q.published, q.content, q.marks = q.prompt, p.published, p.content, q.marks[:0]
	q.prepared = true
}

// spoilt is what a failed step leaves: who relied on its copies, which may not have been made. Snapshots among them are dropped, and what
// came from the host's memory or was to go there.
func (s *scheduler) spoilt() (list []*sequence) {
	for i, c := range s.batch.Copies {
		q := s.owed[i]
		if q != nil {
			list = append(list, q)
		}
		switch {
		case c.Host == FromHost && !c.State:
			list = append(list, s.sharing(c.To)...)
			s.blocks.forget(c.To)
		case q == nil && c.Host == Within:
			s.states.drop(c.To)
		}
	}
	s.batch.Copies, s.owed = s.batch.Copies[:0], s.owed[:0]
	s.spill.moved(true)
	return list
}

// sharing are the sequences that have a block.
func (s *scheduler) sharing(b int32) (list []*sequence) {
	for _, q := range s.running {
		if slices.Contains(q.table, b) {
			list = append(list, q)
		}
	}
	return list
}
