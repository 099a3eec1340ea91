// scheduler.go decides which rows make up the next step. Invariants:
//
//   - running and waiting are ordered by arrival; who arrived first is fed first and preempted last, so it always finishes.
//   - A running sequence has the blocks of all its known tokens; only the growth of answers can run out of blocks.
//   - A sequence without blocks sleeps: it starts again behind what is still there of them, here or in the host's memory, else at its first
//     position. Nothing else is lost: tokens and sampler stay.
//   - A sequence whose last token the caller has not taken gets no rows.

package engine

import (
	"slices"
	"sort"
	"time"
)

// stallAfter is how long a caller may sit on a token before its place may go to a waiting request. It must be far above
// a hiccup of a client, because coming back costs a replay.
const stallAfter = time.Second

type scheduler struct {
	config   *Config
	blocks   *blockTable
	states   *snapshots
	spill    *spill // nil: the model keeps nothing besides its cache
	pace     pace
	slots    []int32 // free ones
	running  []*sequence
	waiting  []*sequence
	batch    Batch
	owed     []*sequence // by copy of the batch: who relies on it, nil for a snapshot
	parts    []part
	queue    []*sequence // prompts
	chained  []*held     // of chain
	sleepers int         // sequences
	budget   int
	turn     int // of prompts
	counts   counters
}

// counters only go up.
type counters struct {
	preempts uint64
	queried  uint64 // prompt positions that were looked for in the prefix cache
	cached   uint64 // and found there, or computed by a sequence beside
	resumed  uint64 // positions that preempted sequences did not have to compute again
}

// oldestEvery is how often the oldest prompt goes before shorter ones.
const oldestEvery = 4

// part is a sequence's share of a step. Its logits are those of the rows that score the prompt or that a session wants, then of the
// last row if it is an output.
type part struct {
	q      *sequence
	rows   int
	scored int
	output bool
}

func (p *part) logits() int {
	if p.output {
		return p.scored + 1
	}
	return p.scored
}

func newScheduler(c *Config) *scheduler {
	s := &scheduler{config: c, blocks: newBlockTable(c.Blocks, c.Keep), states: newSnapshots(c.MaxSequences, c.Snapshots),
		pace:  pace{target: c.StepTime, least: max(c.chunk(), minChunk)},
		batch: Batch{Tables: make([][]int32, c.MaxSequences), Media: make([][]Media, c.MaxSequences)}}
	for slot := c.MaxSequences - 1; slot >= 0; slot-- {
		s.slots = append(s.slots, int32(slot))
	}
	return s
}

// minChunk is what a step computes of prompts, however long that takes: fewer rows take hardly less time.
const minChunk = 16

// next builds a step: one row for each answer under way, then replays, then prompts as far as the budget goes. It is
// empty if there is nothing to do.
func (s *scheduler) next(now time.Time) *Batch {
	s.reset()
	s.blocks.trim()
	s.grow()
	s.admit(now)
	for _, q := range s.running {
		if q.ready() && q.fed >= q.prompt && q.left() == 1 {
			s.add(q, 1, Decode)
		}
	}
	if len(s.parts) > 0 {
		s.budget = s.pace.rows(s.budget)
	}
	many := false // the logits of one block of one sequence: more are not held
	for _, q := range s.running {
		if !q.ready() || q.fed < q.prompt || q.left() < 2 {
			continue
		}
		if n := min(q.left(), s.budget); q.wants(n) < 2 {
			s.add(q, n, Decode)
		} else if !many {
			many = s.add(q, min(n, BlockSize), Decode)
		}
	}
	for _, q := range s.prompts() {
		if s.shares(q) {
			continue
		}
		if n := s.chunk(q, s.budget); !q.scoring() && q.wants(n) < 2 {
			s.add(q, n, Prefill)
		} else if !many {
			many = s.add(q, s.chunk(q, min(s.budget, BlockSize)), Prefill)
		}
	}
	return &s.batch
}

// prompts are the sequences whose prompts are not computed yet, in the order in which they are to be: what is left of them decides,
// and every so often the oldest goes first.
func (s *scheduler) prompts() []*sequence {
	s.queue = s.queue[:0]
	for _, q := range s.running {
		if q.ready() && q.fed < q.prompt {
			s.queue = append(s.queue, q)
		}
	}
	if len(s.queue) < 2 {
		return s.queue
	}
	rest := s.queue
	if s.turn++; s.turn%oldestEvery == 0 {
		rest = rest[1:]
	}
	slices.SortStableFunc(rest, func(a, b *sequence) int { return (a.prompt - a.fed) - (b.prompt - b.fed) })
	return s.queue
}

// chunk is how many positions of a prompt go into a step that has room for budget rows.
func (s *scheduler) chunk(q *sequence, budget int) int {
	end := q.prompt
	for _, mark := range q.marks {
		if q.fed < mark {
			end = min(end, mark)
		}
	}
	if q.fed+budget >= end {
		return end - q.fed
	}
	return max(0, (q.fed+budget)/s.config.chunk()*s.config.chunk()-q.fed)
}

func (s *scheduler) reset() {
	s.batch.Rows = s.batch.Rows[:0]
	clear(s.batch.Tables)
	clear(s.batch.Media)
	clear(s.parts)
	s.parts = s.parts[:0]
	s.budget = s.config.StepTokens
}

func (s *scheduler) add(q *sequence, n int, form Form) (added bool) {
	if n == 0 {
		return false
	}
	p := part{q: q, rows: n, output: n == q.left() && !q.session}
	for pos := q.fed; pos < q.fed+n; pos++ {
		r := Row{Token: q.tokens[pos], Pos: int32(pos), Seq: q.slot, Form: form}
		if next := pos + 1; q.scored <= next && next < len(q.scores) { // it says how likely the next id is
			r.Output = true
			p.scored++
		}
		if p.scored < len(q.wanted) && q.wanted[p.scored] == pos {
			r.Output, r.Final = true, q.final
			p.scored++
		}
		s.batch.Rows = append(s.batch.Rows, r)
	}
	if p.output {
		last := &s.batch.Rows[len(s.batch.Rows)-1]
		last.Output = true
		if c := q.ask(); !s.shared(q, q.fed+n) {
			last.Choice = c
		}
	}
	s.batch.Tables[q.slot], s.batch.Media[q.slot] = q.table, q.media
	s.parts = append(s.parts, p)
	s.budget -= n
	return true
}

// fed notes that the rows of the last step are in the cache, and its copies made.
func (s *scheduler) fed() {
	s.batch.Copies, s.owed = s.batch.Copies[:0], s.owed[:0]
	s.spill.moved(false)
	for _, p := range s.parts {
		p.q.fed += p.rows
		s.publish(p.q)
	}
}

// bulk is how many rows the step has of prompts and replays.
func (s *scheduler) bulk() (n int) {
	for _, p := range s.parts {
		if p.rows > 1 || p.q.fed < p.q.prompt {
			n += p.rows
		}
	}
	return n
}

// grow gives a block to each answer whose next position begins one; where there is none left, sequences give way.
func (s *scheduler) grow() {
	for _, q := range s.running {
		for q.ready() && len(q.table) < blocksFor(len(q.tokens)) {
			if s.blocks.freeSize == 0 {
				s.preempt(s.victim()) // q itself, if all others arrived before it
				continue
			}
			q.table = append(q.table, s.blocks.take())
		}
	}
	s.running = slices.DeleteFunc(s.running, func(q *sequence) bool { return q.phase != running })
}

// victim is the sequence that gives way: one that has nothing to do or whose caller is not listening, else the one that arrived
// last.
func (s *scheduler) victim() *sequence {
	var last *sequence
	idle := func(q *sequence) bool { return q.resting() || !q.late.IsZero() }
	for _, q := range s.running {
		if q.phase == running && (last == nil || idle(q) || !idle(last)) {
			last = q
		}
	}
	return last
}

// preempt takes slot and blocks away. The caller removes q from running.
func (s *scheduler) preempt(q *sequence) {
	s.sleep(q)
	s.vacate(q)
	q.phase = waiting
	if !q.resting() {
		q.preempted = true
		s.counts.preempts++
	}
	s.enqueue(q)
}

func (s *scheduler) vacate(q *sequence) {
	s.blocks.release(q.table)
	s.slots = append(s.slots, q.slot)
	q.table, q.slot, q.fed, q.published, q.content, q.marks = q.table[:0], -1, 0, 0, 0, q.marks[:0]
}

func (s *scheduler) enqueue(q *sequence) { s.waiting = insert(s.waiting, q) }

// admit gives places to waiting sequences in the order of their arrival, until one does not fit.
func (s *scheduler) admit(now time.Time) {
	for i := 0; i < len(s.waiting); i++ {
		q := s.waiting[i]
		if q.awaiting || q.resting() {
			continue // it could not be fed
		}
		for !s.place(q) {
			stalled := s.stalled(now)
			if stalled == nil {
				return
			}
			s.running = slices.DeleteFunc(s.running, func(q *sequence) bool { return q == stalled })
			s.preempt(stalled)
			i = slices.Index(s.waiting, q)
		}
		if q.queued == 0 {
			q.queued = now.Sub(q.since)
		}
		s.waiting = slices.Delete(s.waiting, i, i+1)
		i--
	}
}

// place finds a slot and blocks for all known tokens of q. While others run it leaves each of them blocks to grow
// into: otherwise q would soon be preempted again.
func (s *scheduler) place(q *sequence) bool {
	if len(s.slots) == 0 {
		return false
	}
	found := s.lookUp(q)
	fresh := blocksFor(len(q.tokens)) - len(found.list) + found.copies
	if s.blocks.freeSize < fresh+s.growth(q) {
		s.leave(found)
		return false
	}
	s.use(found)
	for i, b := range found.table {
		if b < 0 {
			found.table[i] = s.blocks.take()
		}
	}
	for range fresh - found.copies {
		found.table = append(found.table, s.blocks.take())
	}
	q.slot, s.slots = s.slots[len(s.slots)-1], s.slots[:len(s.slots)-1]
	s.begin(q, found)
	q.prepared = len(q.media) == 0
	q.phase = running
	s.running = insert(s.running, q)
	return true
}

// roomAfter is how many blocks each running sequence may yet grow by before one that was preempted comes back: coming back costs
// a replay, so that it must not be for a moment.
const roomAfter = 8

// growth is how many blocks are left to those that run when q joins them.
func (s *scheduler) growth(q *sequence) (n int) {
	for _, r := range s.running {
		if q.preempted {
			n += min(roomAfter, max(1, blocksFor(r.limit)-len(r.table)))
		} else {
			n++
		}
	}
	return n
}

// stalled is a running sequence that has nothing to do, or whose caller has not taken its last token for a long time.
func (s *scheduler) stalled(now time.Time) *sequence {
	for _, q := range s.running {
		if q.resting() || !q.late.IsZero() && now.Sub(q.late) >= stallAfter {
			return q
		}
	}
	return nil
}

// remove forgets a sequence and frees what it holds.
func (s *scheduler) remove(q *sequence) {
	same := func(other *sequence) bool { return other == q }
	s.wakes(q, 0)
	s.forgetOwn(q)
	if q.phase == running {
		s.vacate(q)
		s.running = slices.DeleteFunc(s.running, same)
	} else {
		s.waiting = slices.DeleteFunc(s.waiting, same)
	}
	q.phase = gone
}

// load is how many sequences have a place, and how many wait for one; sessions that nobody asks count as neither.
func (s *scheduler) load() (running, waiting int) {
	count := func(list []*sequence) (n int) {
		for _, q := range list {
			if !q.resting() {
				n++
			}
		}
		return n
	}
	return count(s.running), count(s.waiting)
}

// insert keeps a list ordered by arrival.
func insert(list []*sequence, q *sequence) []*sequence {
	at := sort.Search(len(list), func(i int) bool { return list[i].arrival > q.arrival })
	return slices.Insert(list, at, q)
}
