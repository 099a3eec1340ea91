// loop.go is the one goroutine that owns all state: it takes messages, builds a step, runs it, samples, delivers, waits a
// moment for the callers, and begins again.

package engine

import (
	"cmp"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// patience is how long the loop waits after a step for the callers to take their tokens. Taking one is a channel send and
// a write to a socket's buffer, microseconds; who needs longer sits out steps until it is done.
const patience = 2 * time.Millisecond

type message struct {
	kind  kind
	q     *sequence
	stop  bool            // of taken
	given []int32         // of taken: ids that came behind it
	next  []uint32        // and those that may come next
	ask   *ask            // of forward
	work  func(busy bool) // of between
	ack   chan struct{}   // of cancel, drain, trim and between: closed when done
}

type kind uint8

const (
	add     kind = iota // a new sequence
	taken               // the caller took the last token
	forward             // a session is asked
	cancel              // the caller has left
	drain
	trim // what is in the host's memory
	between
	shut
)

type loop struct {
	engine    *Engine
	model     Model
	scheduler *scheduler
	arrivals  uint64
	onTime    int // sequences whose caller is expected to take a token now
	drained   []chan struct{}
	trims     []chan struct{}
	draining  bool
	shut      bool
	counts    Stats
	last      []delivered
	choosers  choosers
}

// delivered is a sampled id that has yet to be sent.
type delivered struct {
	q *sequence
	d delivery
}

func (l *loop) run() {
	defer close(l.engine.done)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		l.settle(timer)
		l.poll()
		if l.shut {
			l.failAll(errClosed)
			l.trim()
			return
		}
		batch := l.scheduler.next(time.Now())
		l.publish()
		prepared := l.prepare() // after next, which gives places; who is ready only now has rows in the next step
		if len(batch.Rows) == 0 {
			if prepared {
				continue
			}
			l.idle(timer)
			continue
		}
		l.step(batch)
	}
}

// settle waits until every token just delivered was taken, but no longer than patience; whoever is left is late.
func (l *loop) settle(timer *time.Timer) {
	if l.onTime == 0 {
		return
	}
	timer.Reset(patience)
	for l.onTime > 0 {
		select {
		case m := <-l.engine.inbox:
			l.handle(m)
		case now := <-timer.C:
			l.markLate(now)
		}
	}
}

func (l *loop) markLate(now time.Time) {
	for _, q := range l.scheduler.running {
		if q.awaiting && q.late.IsZero() {
			q.late = now
		}
	}
	l.onTime = 0
}

// poll takes what has arrived meanwhile.
func (l *loop) poll() {
	for {
		select {
		case m := <-l.engine.inbox:
			l.handle(m)
		default:
			return
		}
	}
}

// What a model does with nothing to do: memory that holds nothing is given back soon, and after a long time also the prefix cache.
const (
	sweepAfter  = time.Minute
	forgetAfter = 30 * time.Minute
)

// idle waits for something to do: a message, or the moment when a caller that does not listen loses its place to one
// that waits.
func (l *loop) idle(timer *time.Timer) {
	if running, waiting := l.scheduler.load(); running+waiting == 0 {
		l.rest(timer)
		return
	}
	var stall <-chan time.Time
	if len(l.scheduler.waiting) > 0 {
		timer.Reset(stallAfter)
		stall = timer.C
	}
	select {
	case m := <-l.engine.inbox:
		l.handle(m)
	case <-stall:
	}
}

// rest waits for the next message and gives back memory meanwhile.
func (l *loop) rest(timer *time.Timer) {
	sweeper, ok := l.model.(Sweeper)
	for wait := sweepAfter; ok; wait = forgetAfter {
		timer.Reset(wait)
		select {
		case m := <-l.engine.inbox:
			l.handle(m)
			return
		case <-timer.C:
		}
		l.sweep(sweeper, wait == forgetAfter)
		ok = wait != forgetAfter
	}
	l.handle(<-l.engine.inbox)
}

// sweep gives back memory: all says that the prefix cache is forgotten before, also what the host's memory has of it.
func (l *loop) sweep(sweeper Sweeper, all bool) {
	if !l.scheduler.quiet() {
		return
	}
	if list := l.scheduler.forget(all); len(list) > 0 {
		sweeper.Sweep(list)
	}
	l.publish()
}

func (l *loop) handle(m message) {
	switch m.kind {
	case add:
		l.add(m.q)
	case taken:
		l.taken(m)
	case forward:
		l.forward(m.q, m.ask)
	case cancel:
		if m.q.phase != gone {
			l.forget(m.q)
			l.publish()
		}
		close(m.ack)
	case drain:
		l.draining = true
		l.drained = append(l.drained, m.ack)
		l.endSessions()
	case trim:
		l.trims = append(l.trims, m.ack)
		l.trim()
	case between:
		running, waiting := l.scheduler.load()
		m.work(running+waiting > 0)
		close(m.ack)
	case shut:
		l.shut = true
	}
	l.checkDrained()
	l.publish()
}

// trim has the host's memory hold no more than there is room for, and tells those who wait for that once no copy is in the way.
func (l *loop) trim() {
	if len(l.trims) > 0 && l.scheduler.trimmed() {
		for _, ack := range l.trims {
			close(ack)
		}
		l.trims = nil
	}
}

func (l *loop) add(q *sequence) {
	if l.draining {
		q.phase = gone
		q.end <- outcome{err: errDraining}
		return
	}
	l.arrivals++
	q.arrival = l.arrivals
	l.scheduler.enqueue(q)
}

// endSessions ends those that nobody asks; the others end with their next call.
func (l *loop) endSessions() {
	for _, q := range slices.Concat(l.scheduler.running, l.scheduler.waiting) {
		if q.resting() {
			l.finish(q, outcome{err: errDraining})
		}
	}
}

func (l *loop) taken(m message) {
	q := m.q
	if q.phase == gone {
		return
	}
	l.listened(q)
	q.give(m.given)
	q.sampler.allowed = m.next
	switch reason := q.finished(); {
	case m.stop:
		l.finish(q, outcome{reason: sdk.FinishStop})
	case reason != "":
		l.finish(q, outcome{reason: reason})
	}
}

// listened ends the wait for q's caller.
func (l *loop) listened(q *sequence) {
	if q.awaiting && q.late.IsZero() && l.onTime > 0 {
		l.onTime--
	}
	q.awaiting, q.late = false, time.Time{}
}

func (l *loop) forget(q *sequence) {
	l.listened(q)
	l.scheduler.remove(q)
}

// finish tells the caller after the sequence's blocks are free and the statistics say so.
func (l *loop) finish(q *sequence, o outcome) {
	l.forget(q)
	l.publish()
	q.end <- o
}

func (l *loop) failAll(err error) {
	for _, q := range slices.Concat(l.scheduler.running, l.scheduler.waiting) {
		l.finish(q, outcome{err: err})
	}
}

func (l *loop) checkDrained() {
	if !l.draining || len(l.scheduler.running)+len(l.scheduler.waiting) > 0 {
		return
	}
	for _, ack := range l.drained {
		close(ack)
	}
	l.drained = nil
}

// step runs one batch and samples the next id of every sequence that got logits.
func (l *loop) step(batch *Batch) {
	defer l.trim()
	began := time.Now()
	logits, err := l.compute(batch)
	l.counts.Steps++
	if err != nil {
		l.failStep(err)
		return
	}
	if !l.scheduler.copiesHost() { // which take time of their own
		l.scheduler.pace.took(l.scheduler.bulk(), time.Since(began))
	}
	l.scheduler.fed()
	l.choosers.choose(l.scheduler, logits)
	for _, p := range l.scheduler.parts {
		if p.q.fed <= p.q.prompt {
			l.counts.PromptTokens += uint64(p.rows)
		}
		n := p.logits()
		if p.q.session {
			p.q.gather(logits[:p.scored])
		} else if p.scored > 0 {
			l.score(p.q, logits[:p.scored])
		}
		if p.output && p.q.phase != gone {
			l.lead(p.q, logits[n-1])
			l.sample(p.q, &p.q.sampler.next, logits[n-1])
		}
		logits = logits[n:]
	}
	l.deliver()
	if l.draining {
		l.endSessions()
		l.checkDrained()
	}
}

// failStep ends the sequences of a step that failed, and those that relied on its copies.
func (l *loop) failStep(err error) {
	for _, q := range l.scheduler.spoilt() {
		if q.phase != gone {
			l.finish(q, outcome{err: err})
		}
	}
	for _, p := range l.scheduler.parts {
		if p.q.phase != gone {
			l.finish(p.q, outcome{err: err})
		}
	}
	l.checkDrained()
}

// lead has those go on that waited for p's prompt. The sampler may write into logits.
func (l *loop) lead(p *sequence, logits []float32) {
	for _, q := range l.scheduler.followers(p) {
		l.scheduler.follow(q, p)
		if q.left() == 0 {
			l.sample(q, q.ask(), slices.Clone(logits))
		}
	}
}

// compute calls the model and holds it to its contract.
func (l *loop) compute(batch *Batch) (logits [][]float32, err error) {
	defer func() { recovered(recover(), &err) }()
	logits, err = l.model.Step(batch)
	if err != nil {
		return nil, err
	}
	n := 0
	for i := range batch.Rows {
		r := &batch.Rows[i]
		if !r.Output {
			continue
		}
		if n < len(logits) {
			if err := l.engine.config.checkRow(r, logits[n]); err != nil {
				return nil, err
			}
		}
		n++
	}
	if len(logits) != n {
		return nil, fmt.Errorf("the model returned %d rows of logits; %d were asked for", len(logits), n)
	}
	return logits, nil
}

// checkRow says what is wrong with what a model gave for a row.
func (c *Config) checkRow(r *Row, got []float32) error {
	switch {
	case r.Choice != nil && r.Choice.Made() && r.Choice.err == nil && (r.Choice.id < 0 || int(r.Choice.id) >= c.Vocab):
		return fmt.Errorf("the model chose id %d; the vocabulary has %d", r.Choice.id, c.Vocab)
	case r.Choice != nil && r.Choice.Made():
		return nil
	case r.Final && len(got) != c.Hidden:
		return fmt.Errorf("the model returned a final state of %d elements, not %d", len(got), c.Hidden)
	case !r.Final && len(got) != c.Vocab:
		return fmt.Errorf("the model returned %d logits in a row; the vocabulary has %d", len(got), c.Vocab)
	}
	return nil
}

// recovered makes an error of a panic of the model. Whoever is answered gets what it says, the log where it was.
func recovered(v any, err *error) {
	if v != nil {
		slog.Error("the model panicked", "panic", v, "stack", string(debug.Stack()))
		*err = fmt.Errorf("the model panicked: %v", v)
	}
}

// score notes how likely the next ids of a prompt were.
func (l *loop) score(q *sequence, logits [][]float32) {
	errs := make([]error, len(logits))
	l.choosers.each(&l.engine.config, len(logits), func(w *workspace, i int) {
		logprob, err := w.logprob(logits[i], q.tokens[q.scored+i], q.sampler.params.TopLogprobs)
		if errs[i] = err; err == nil {
			q.scores[q.scored+i] = *logprob
		}
	})
	if err := cmp.Or(errs...); err != nil {
		l.finish(q, outcome{err: err})
		return
	}
	q.scored += len(logits)
}

// sample takes the next id of a sequence, which the model may have chosen, else logits decide.
func (l *loop) sample(q *sequence, c *Choice, logits []float32) {
	if !c.Made() {
		c.From(logits)
	}
	index := len(q.tokens) - q.prompt
	id, logprob, err := c.Chosen()
	if err != nil {
		l.finish(q, outcome{err: err})
		return
	}
	l.counts.GeneratedTokens++
	q.tokens = append(q.tokens, id)
	q.sampler.Answer(id)
	l.last = append(l.last, delivered{q, delivery{Sampled{Index: index, ID: id, Logprob: logprob, Prompt: q.prompted(index)}, q.finished()}})
}

// deliver sends the sampled ids. Finished sequences have given up their blocks before their callers learn of it.
func (l *loop) deliver() {
	for _, s := range l.last {
		if s.d.reason != "" {
			l.forget(s.q)
		}
	}
	l.publish()
	for _, s := range l.last {
		if s.d.reason == "" {
			s.q.awaiting = true
			l.onTime++
		}
		s.q.out <- s.d // has room: the one before was taken
	}
	clear(l.last)
	l.last = l.last[:0]
	l.checkDrained()
}

func (l *loop) publish() {
	s := l.counts
	s.Running, s.Waiting = l.scheduler.load()
	s.Blocks, s.BlocksUsed = len(l.scheduler.blocks.refs), l.scheduler.blocks.used()
	s.BlocksKept, s.BlocksThrown = l.scheduler.blocks.keptSize, l.scheduler.blocks.thrown
	s.QueriedTokens, s.CachedTokens, s.Preemptions = l.scheduler.counts.queried, l.scheduler.counts.cached, l.scheduler.counts.preempts
	s.ResumedTokens = l.scheduler.counts.resumed
	if sp := l.scheduler.spill; sp != nil {
		s.Spill = sp.counts
	}
	l.engine.mu.Lock()
	l.engine.stats = s
	l.engine.mu.Unlock()
}
