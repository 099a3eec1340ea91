// session.go appends tokens to a sequence that a caller keeps and hands out logits: nothing is sampled. Between two calls a session
// keeps its place while nobody needs it; without one its tokens are computed again when it is asked next.

package engine

import (
	"context"
	"slices"
	"sync"

	"github.com/inference-pio/inference-pio/sdk"
)

// Session is a sequence of which logits are asked. What the first call appends is computed as a prompt is, what later ones append
// as answers are, so that the logits behind a prompt and an answer are those that the answer was drawn from.
type Session struct {
	engine *Engine
	mu     sync.Mutex // one call at a time
	q      *sequence  // nil before the first call
	tokens []int32    // of q, when no call runs
	final  bool       // final states are wanted in place of logits
	err    error      // ended the session
}

// ask is what one call wants of a session.
type ask struct {
	tokens []int32
	wanted []int // positions, ascending
	done   chan [][]float32
}

// Open starts an empty session. Close must be called when it is not needed any more.
func (e *Engine) Open() *Session { return &Session{engine: e} }

// Fork is a session that goes on from where s is.
func (s *Session) Fork() (*Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	f := s.engine.Open()
	if s.q != nil {
		f.q, f.tokens = s.engine.sessionSequence(s.q.prompt, s.tokens), slices.Clone(s.tokens)
	}
	return f, nil
}

// Len is how many tokens were appended.
func (s *Session) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens)
}

// Forward appends ids and returns the logits of those rows of them, in the order asked; nil means the last one. When ctx ends
// earlier the ids are appended all the same. Any other error than that and one about the request ends the session.
func (s *Session) Forward(ctx context.Context, ids []int32, rows []int) ([][]float32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if rows == nil {
		rows = []int{len(ids) - 1}
	}
	if err := s.engine.config.checkForward(len(s.tokens), ids, rows); err != nil {
		return nil, err
	}
	if s.q == nil {
		s.q = s.engine.sessionSequence(len(ids), nil)
		s.q.final = s.final
	}
	a := &ask{tokens: ids, done: make(chan [][]float32, 1)}
	for _, r := range rows {
		a.wanted = append(a.wanted, len(s.tokens)+r)
	}
	slices.Sort(a.wanted)
	a.wanted = slices.Compact(a.wanted)
	s.tokens = append(s.tokens, ids...)
	if !s.engine.send(message{kind: forward, q: s.q, ask: a}) {
		s.err = errClosed
		return nil, s.err
	}
	select {
	case logits := <-a.done:
		return inOrder(logits, a.wanted, rows, len(s.tokens)-len(ids)), nil
	case o := <-s.q.end:
		s.err = o.err
		return nil, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Final is the final state behind the last of some tokens: (Hidden).
func (e *Engine) Final(ctx context.Context, ids []int32) ([]float32, error) {
	if e.config.Hidden == 0 {
		return nil, sdk.Errorf(sdk.ReasonUnimplemented, "this model gives no final states")
	}
	s := e.Open()
	defer s.Close()
	s.final = true
	rows, err := s.Forward(ctx, ids, nil)
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// inOrder gives each row asked for its logits; a row may be asked for twice.
func inOrder(logits [][]float32, wanted, rows []int, from int) [][]float32 {
	out := make([][]float32, len(rows))
	for i, r := range rows {
		at, _ := slices.BinarySearch(wanted, from+r)
		out[i] = logits[at]
	}
	return out
}

// Close ends the session. It may be called more than once.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.q != nil && s.err == nil {
		s.engine.cancel(s.q)
	}
	if s.err == nil {
		s.err = sdk.Errorf(sdk.ReasonNotFound, "the sequence is closed")
	}
}

// checkForward says what is wrong with a call on a sequence of that many tokens.
func (c *Config) checkForward(before int, ids []int32, rows []int) error {
	if len(ids) == 0 {
		return invalid("tokens", "there are no tokens; at least one is needed")
	}
	if err := c.checkIDs("tokens", ids); err != nil {
		return err
	}
	for _, r := range rows {
		if r < 0 || r >= len(ids) {
			return invalid("rows", "row %d is asked for and there are %d tokens, numbered from 0", r, len(ids))
		}
	}
	if len(rows) > 1 && !c.PromptLogprobs {
		return invalid("rows", "%d rows are asked for; this model gives the logits of one row in a call", len(rows))
	}
	switch n := before + len(ids); {
	case n > c.Context:
		return sdk.Errorf(sdk.ReasonContext, "the sequence would have %d tokens; the context holds %d", n, c.Context)
	case n > c.Blocks*BlockSize:
		return sdk.Errorf(sdk.ReasonMemory, "the sequence needs %d positions of the cache, which has %d", n, c.Blocks*BlockSize)
	}
	return nil
}

// sessionSequence is a sequence that begins with so many tokens of prompt, of which the first are given.
func (e *Engine) sessionSequence(prompt int, tokens []int32) *sequence {
	return &sequence{session: true, prompt: prompt, limit: e.config.Context, end: make(chan outcome, 1), tokens: slices.Clone(tokens),
		keys: slices.Clone(tokens[:min(prompt, len(tokens))]), slot: -1}
}

// forward takes a call into the loop.
func (l *loop) forward(q *sequence, a *ask) {
	switch {
	case q.phase == gone:
		return // its end is in q.end
	case l.draining:
		l.finish(q, outcome{err: errDraining})
		return
	case q.arrival == 0:
		l.arrivals++
		q.arrival = l.arrivals
		l.scheduler.enqueue(q)
	}
	q.tokens = append(q.tokens, a.tokens...)
	if len(q.keys) < q.prompt {
		q.keys = q.tokens[:q.prompt:q.prompt]
	}
	q.asks = append(q.asks, a)
	q.wanted = append(q.wanted, a.wanted...)
}

// gather keeps logits that a session wants, and answers the calls that have all of theirs.
func (q *sequence) gather(logits [][]float32) {
	for _, row := range logits {
		q.got = append(q.got, slices.Clone(row))
	}
	q.wanted = q.wanted[len(logits):]
	for len(q.asks) > 0 && len(q.got) >= len(q.asks[0].wanted) {
		n := len(q.asks[0].wanted)
		q.asks[0].done <- q.got[:n:n]
		q.asks, q.got = q.asks[1:], q.got[n:]
	}
}

// resting says that a session has nothing to do: it may lose its place to whoever has.
func (q *sequence) resting() bool { return q.session && len(q.asks) == 0 }

// wants counts the rows from the next one on whose logits a session wants.
func (q *sequence) wants(rows int) (n int) {
	for _, at := range q.wanted {
		if at < q.fed+rows {
			n++
		}
	}
	return n
}

// free is how many positions may come from elsewhere: the logits of the row behind them are needed.
func (q *sequence) free() int {
	if len(q.wanted) > 0 {
		return q.wanted[0]
	}
	return len(q.tokens) - 1
}
