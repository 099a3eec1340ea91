// engine.go is the caller's side: Generate and what else may be called from any goroutine. The loop's side is loop.go.

package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
)

// Engine serves many Generate calls with one Model.
type Engine struct {
	config Config
	inbox  chan message  // to the loop; unbuffered, so what was sent will be handled
	done   chan struct{} // closed when the loop has ended
	work   *workspace    // the loop's

	mu    sync.Mutex
	stats Stats
}

// Stats are gauges and counters of an engine.
type Stats struct {
	Running, Waiting   int
	Blocks, BlocksUsed int
	BlocksKept         int    // that nobody uses and that hold beginnings of prompts
	BlocksThrown       uint64 // of those kept that were given up
	Steps              uint64
	PromptTokens       uint64 // rows computed in prefill form
	GeneratedTokens    uint64 // ids sampled
	QueriedTokens      uint64 // prompt positions looked for in the prefix cache
	CachedTokens       uint64 // prompt positions found there, or computed by a sequence beside
	Preemptions        uint64
	ResumedTokens      uint64 // positions that preempted sequences did not have to compute again
	Spill              SpillStats
}

// New starts an engine. Close must be called to end its goroutine.
func New(m Model, c Config) (*Engine, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	e := &Engine{config: c, inbox: make(chan message), done: make(chan struct{}), work: new(workspace)}
	l := &loop{engine: e, model: m, scheduler: newScheduler(&e.config)}
	if sp, ok := m.(Spiller); ok {
		l.scheduler.spillTo(sp)
	}
	l.publish()
	go l.run()
	return e, nil
}

// Check says what is wrong with a request, before anything is done for it.
func (e *Engine) Check(r Request) error {
	if err := e.config.check(r); err != nil {
		return err
	}
	_, err := e.config.limit(r)
	return err
}

// ContextLength is the most tokens prompt and answer may have together.
func (e *Engine) ContextLength() int { return min(e.config.Context, e.config.Blocks*BlockSize+1) }

// Vocab is how many logits a row has.
func (e *Engine) Vocab() int { return e.config.Vocab }

// Generate produces one answer. emit gets each id on this goroutine; it returns true if the answer is complete with it,
// and an error to give up. When ctx ends, the sequence's blocks are freed at the end of the running step, and then
// Generate returns the context's error.
func (e *Engine) Generate(ctx context.Context, r Request, emit func(Sampled) (stop bool, err error)) (Result, error) {
	q, err := e.config.newSequence(r, e.work)
	if err != nil {
		return Result{}, err
	}
	if reason := q.finished(); reason != "" { // resumed after its last id
		return q.result(reason), nil
	}
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	begun, err := e.goOn(q, &r, len(r.Generated), emit)
	if err != nil {
		return Result{}, err
	}
	q.give(begun.given)
	q.sampler.allowed = begun.next
	switch reason := q.finished(); {
	case begun.stop:
		return q.result(sdk.FinishStop), nil
	case reason != "":
		return q.result(reason), nil
	}
	if !e.send(message{kind: add, q: q}) {
		return Result{}, errClosed
	}
	for {
		select {
		case d := <-q.out:
			stop, err := e.take(d, emit)
			m := message{stop: stop}
			if err == nil && !stop && d.reason == "" {
				m, err = e.goOn(q, &r, d.Index+1, emit)
			}
			switch {
			case err != nil:
				e.cancel(q)
				return Result{}, err
			case d.reason != "" && stop:
				return q.result(sdk.FinishStop), nil
			case d.reason != "":
				return q.result(d.reason), nil
			}
			m.kind, m.q = taken, q
			e.send(m)
		case o := <-q.end:
			return q.result(o.reason), o.err
		case <-ctx.Done():
			e.cancel(q)
			return Result{}, ctx.Err()
		}
	}
}

// goOn asks how an answer of so many ids may go on, and emits what is given, as far as there is room.
func (e *Engine) goOn(q *sequence, r *Request, index int, emit func(Sampled) (bool, error)) (m message, err error) {
	if r.Next == nil || index < len(r.Forced) || r.ScorePrompt && index == 0 {
		return m, nil
	}
	for {
		n := r.Next()
		if m.next = n.Allowed; len(n.Given) == 0 {
			return m, nil
		}
		for _, id := range n.Given {
			if m.stop, err = e.take(delivery{Sampled: Sampled{Index: index, ID: id}}, emit); err != nil {
				return m, err
			}
			m.given = append(m.given, id)
			if index++; m.stop || q.prompt+index >= q.limit || slices.Contains(q.eos, id) {
				return m, nil
			}
		}
	}
}

func (e *Engine) take(d delivery, emit func(Sampled) (bool, error)) (stop bool, err error) {
	stop, err = emit(d.Sampled)
	if err == nil && e.config.Hold != nil {
		e.config.Hold(d.Index)
	}
	return stop, err
}

// cancel returns when the loop has freed what q held.
func (e *Engine) cancel(q *sequence) {
	ack := make(chan struct{})
	if e.send(message{kind: cancel, q: q, ack: ack}) {
		<-ack
	}
}

// send hands m to the loop; false means that the loop has ended.
func (e *Engine) send(m message) bool {
	select {
	case e.inbox <- m:
		return true
	case <-e.done:
		return false
	}
}

// Drain refuses new requests from now on and returns when those on board have finished, or when ctx ends.
func (e *Engine) Drain(ctx context.Context) error {
	ack := make(chan struct{})
	if !e.send(message{kind: drain, ack: ack}) {
		return nil
	}
	select {
	case <-ack:
		return nil
	case <-e.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TrimSpill returns when the model's Spiller has no more taken than there is room for, as far as no step to come needs it.
func (e *Engine) TrimSpill() {
	ack := make(chan struct{})
	if !e.send(message{kind: trim, ack: ack}) {
		return
	}
	select {
	case <-ack:
	case <-e.done:
	}
}

// Between runs f between two steps, or at once if there is nothing to compute, and returns then: whether there was something. f takes microseconds, for all
// answers wait for it. If the engine has ended f is not run.
func (e *Engine) Between(f func()) (busy bool) {
	ack := make(chan struct{})
	m := message{kind: between, ack: ack, work: func(b bool) {
		f()
		busy = b
	}}
	if e.send(m) {
		<-ack
	}
	return busy
}

// Close fails what is on board and ends the engine's goroutine after the running step. It may be called more than once.
func (e *Engine) Close() {
	e.send(message{kind: shut})
	<-e.done
}

// Stats returns the state at the end of the last step, or of the last change between two.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}
