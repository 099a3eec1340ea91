// prefixes.go has every beginning of a prompt computed once: a sequence takes over what blocks still hold, what a sequence beside it
// is computing, and, if the two prompts are one, also the end that fills no block and the logits behind it.

package engine

import "slices"

// found is what the prefix cache has of a sequence.
type found struct {
	table   []int32 // its blocks, acquired
	shared  int     // how many they are
	content content // what they hold
	state   int32   // the snapshot that belongs behind them, -1 if none is needed
	marks   []int
}

// lookUp finds the longest beginning of q that need not be computed. The last known token always is: its logits are needed.
func (s *scheduler) lookUp(q *sequence) found {
	f := found{table: q.table[:0], state: -1, marks: q.marks[:0]}
	if !s.config.PrefixCache || q.scoring() {
		return f
	}
	n := q.free()
	ids := q.keys[:min(n, q.prompt)]
	if s.config.OneForm && n > q.prompt {
		ids = slices.Concat(ids, q.tokens[q.prompt:n])
	}
	f.table, f.content = s.blocks.find(ids, f.table)
	if s.config.Stateful {
		s.withState(q, &f)
	}
	f.shared = len(f.table)
	return f
}

// withState goes back to where the state is known, and marks where it should have been: where this prompt parts from what was known,
// and at its last whole block, which the next turn of a conversation begins with.
func (s *scheduler) withState(q *sequence, f *found) {
	all, last := len(f.table), (q.prompt-1)/BlockSize
	n, ok := all, false
	for n > 0 && !ok {
		if f.state, ok = s.states.find(s.blocks.numbers[f.table[n-1]]); !ok {
			n--
		}
	}
	s.blocks.release(f.table[n:])
	f.table, f.content = f.table[:n], 0
	if n > 0 {
		f.content = s.blocks.numbers[f.table[n-1]]
	} else {
		f.state = -1
	}
	if len(s.states.list) == 0 {
		return
	}
	for _, block := range []int{all, last} {
		if at := block * BlockSize; block > n && !slices.Contains(f.marks, at) {
			f.marks = append(f.marks, at)
		}
	}
}

// begin puts q where f ends.
func (s *scheduler) begin(q *sequence, f found) {
	q.table, q.content, q.published, q.fed, q.marks = f.table, f.content, f.shared, f.shared*BlockSize, f.marks
	if f.state >= 0 {
		s.copy(Copy{State: true, From: f.state, To: q.slot}, q)
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
	if place, ok := s.states.keep(q.content); ok {
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
		q.content = s.blocks.numbers[b]
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

// spoilt is what a failed step leaves: who relied on its copies, which may not have been made. Snapshots among them are dropped.
func (s *scheduler) spoilt() (list []*sequence) {
	for i, c := range s.batch.Copies {
		if q := s.owed[i]; q != nil {
			list = append(list, q)
		} else {
			s.states.drop(c.To)
		}
	}
	s.batch.Copies, s.owed = s.batch.Copies[:0], s.owed[:0]
	return list
}
