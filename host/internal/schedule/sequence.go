// sequence.go is the way of one sequence: a client appends tokens to it, call by call, and asks their logits. The host keeps the
// tokens, so that a death between two calls costs time alone.
package schedule

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// letTime is how long a process may take to forget a sequence; nobody waits for it.
const letTime = 10 * time.Second

// sequence is what the host keeps of one.
type sequence struct {
	id    string
	model *model
	ctx   context.Context // ends with the sequence; its cause says why
	end   context.CancelCauseFunc
	turn  chan struct{} // has room for one: the call that is made

	// Of whoever has the turn. What the first call appended is computed as a prompt is, the rest as answers are.
	tokens   []int32
	first    int
	weights  string // that it was begun with
	life     *life  // has it; nil: none
	names    int    // that it has had in processes
	replayed bool   // it was computed again since the last answer

	// Of the table, under its mu.
	calls   int // under way or waiting
	lease   *time.Timer
	until   time.Time // of the lease, without a call
	counted bool      // off
}

// Sequence is one that was opened.
type Sequence struct {
	ID    string        // nobody can guess it
	Model string        // its id
	Idle  time.Duration // how long it stays open without a call
}

// Forwarded is the answer to Forward.
type Forwarded struct {
	sdk.ForwardResult
	// Replayed says that all tokens were computed again since the last answer: in the next process after a death, or since a call
	// was given up. No bit of the logits depends on it.
	Replayed bool
}

func newSequence(m *model) *sequence {
	s := &sequence{id: "seq-" + strings.ToLower(rand.Text()), model: m, turn: make(chan struct{}, 1)}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	return s
}

// OpenSequence starts an empty sequence of the model with that id or alias. Errors are those of Generate.
func (h *Host) OpenSequence(ctx context.Context, name string) (Sequence, error) {
	m, err := h.find(name)
	if err != nil {
		return Sequence{}, err
	}
	s := newSequence(m)
	return h.open(ctx, s, s.settle)
}

// open takes a sequence in that begin starts in a process.
func (h *Host) open(ctx context.Context, s *sequence, begin func(context.Context, *life) error) (Sequence, error) {
	limits := h.Config().Server
	if err := h.sequences.add(s, limits); err != nil {
		return Sequence{}, err
	}
	defer h.sequences.leave(s, idleOf(limits))
	if err := h.use(ctx, s, begin); err != nil {
		h.sequences.remove(s, err)
		s.let()
		return Sequence{}, err
	}
	return Sequence{ID: s.id, Model: s.model.entry.ID, Idle: idleOf(limits)}, nil
}

// Sequence finds an open one.
func (h *Host) Sequence(id string) (Sequence, error) {
	s, err := h.sequences.take(id)
	if err != nil {
		return Sequence{}, err
	}
	idle := idleOf(h.Config().Server)
	h.sequences.leave(s, idle)
	return Sequence{ID: s.id, Model: s.model.entry.ID, Idle: idle}, nil
}

// ForkSequence starts a sequence that goes on from where another is. Neither sees what is appended to the other.
func (h *Host) ForkSequence(ctx context.Context, id string) (Sequence, error) {
	s, err := h.sequences.take(id)
	if err != nil {
		return Sequence{}, err
	}
	defer h.sequences.leave(s, idleOf(h.Config().Server))
	f := newSequence(s.model)
	if err := s.await(ctx); err != nil {
		return Sequence{}, err
	}
	defer s.yield()
	f.tokens, f.first, f.weights, f.replayed = slices.Clone(s.tokens), s.first, s.weights, s.replayed
	return h.open(ctx, f, func(ctx context.Context, l *life) error { return f.forkOf(ctx, s, l) })
}

// CloseSequence forgets a sequence; a call under way on it ends.
func (h *Host) CloseSequence(ctx context.Context, id string) error {
	s, err := h.sequences.take(id)
	if err != nil {
		return err
	}
	defer h.sequences.leave(s, 0)
	h.sequences.remove(s, sdk.Errorf(sdk.ReasonNotFound, "the sequence was closed"))
	select {
	case s.turn <- struct{}{}: // whoever has it has been told
		s.let()
		s.yield()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Forward appends tokens to a sequence and returns the logits of those rows of them, in the order asked; nil means the last.
// A call that fails has appended nothing. Calls on one sequence are made one after the other.
func (h *Host) Forward(ctx context.Context, id string, tokens []int32, rows []int) (Forwarded, error) {
	s, err := h.sequences.take(id)
	if err != nil {
		return Forwarded{}, err
	}
	defer h.sequences.leave(s, idleOf(h.Config().Server))
	if err := s.await(ctx); err != nil {
		return Forwarded{}, err
	}
	defer s.yield()
	var r sdk.ForwardResult
	err = h.use(ctx, s, func(ctx context.Context, l *life) (err error) {
		r, err = s.forward(ctx, l, tokens, rows)
		return err
	})
	if err != nil {
		return Forwarded{}, err
	}
	if len(s.tokens) == 0 {
		s.first = len(tokens)
	}
	s.tokens = append(s.tokens, tokens...)
	out := Forwarded{ForwardResult: r, Replayed: s.replayed}
	s.replayed = false
	return out, nil
}

// use makes a call for a sequence, which ends with it.
func (h *Host) use(ctx context.Context, s *sequence, call func(context.Context, *life) error) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	err := h.hand(limited, s.model, func(ctx context.Context, m *model) error {
		return m.ask(ctx, func(ctx context.Context, l *life) error {
			defer m.computes(l)()
			return call(ctx, l)
		})
	})
	if err != nil && s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return s.model.unable(sdk.CapabilityForward, err)
}

// unable names the model whose plugin does not have a capability.
func (m *model) unable(c sdk.Capability, err error) error {
	if err == nil || sdk.ReasonOf(err) != sdk.ReasonUnimplemented {
		return err
	}
	return &sdk.Error{Reason: sdk.ReasonUnimplemented, Field: "model",
		Message: fmt.Sprintf("the plugin of the model %q does not have the capability %q", m.entry.ID, c)}
}

// await takes the turn.
func (s *sequence) await(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		if s.ctx.Err() == nil {
			return nil
		}
		s.yield()
		return context.Cause(s.ctx)
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *sequence) yield() { <-s.turn }

// name is what the process knows the sequence by. A new one each time: of a call that failed nobody knows what it left behind.
func (s *sequence) name() string { return fmt.Sprintf("%s.%d", s.id, s.names) }

// forward makes one call of a process, which is brought to where the sequence is if it is another than the last.
func (s *sequence) forward(ctx context.Context, l *life, tokens []int32, rows []int) (r sdk.ForwardResult, err error) {
	if err := s.model.mayForward(len(s.tokens), tokens, rows); err != nil {
		return r, err
	}
	for range 2 {
		if r, err = s.attempt(ctx, l, tokens, rows); err == nil {
			s.model.useful()
			return r, nil
		}
		if refused(err) {
			return r, err
		}
		s.let()
		if sdk.ReasonOf(err) != sdk.ReasonNotFound {
			return r, err
		} // the plugin has lost it
	}
	return r, err
}

func (s *sequence) attempt(ctx context.Context, l *life, tokens []int32, rows []int) (r sdk.ForwardResult, err error) {
	if err := s.settle(ctx, l); err != nil {
		return r, err
	}
	r, err = l.Forward(ctx, sdk.ForwardRequest{Sequence: s.name(), Tokens: tokens, Rows: rows})
	if err == nil {
		err = s.hold(r, len(s.tokens)+len(tokens))
	}
	return r, err
}

// refused says that the plugin did not take a call up, and left the sequence as it was.
func refused(err error) bool {
	reason := sdk.ReasonOf(err)
	return reason == sdk.ReasonInvalid || reason == sdk.ReasonContext
}

// hold is the error of an answer that does not fit the sequence.
func (s *sequence) hold(r sdk.ForwardResult, length int) error {
	if r.Length == length {
		return nil
	}
	err := sdk.Errorf(sdk.ReasonInternal, "the plugin says that the sequence has %d positions; it has %d", r.Length, length)
	s.model.log.Warn("a sequence was given up: its plugin broke its contract", "sequence", s.id, "error", err)
	return err
}

// settle brings a process to where the sequence is: what its first call appended, then the rest.
func (s *sequence) settle(ctx context.Context, l *life) error {
	if s.life == l {
		return nil
	}
	if len(s.tokens) > 0 && s.weights != l.weights {
		err := sdk.Errorf(sdk.ReasonChanged, "the model was loaded anew with other weights after %d tokens of this sequence; open another", len(s.tokens))
		s.end(err)
		return err
	}
	s.names++
	s.life, s.weights = l, l.weights
	if err := l.OpenSequence(ctx, s.name()); err != nil {
		s.let() // it may be open all the same
		return err
	}
	done := 0
	for _, part := range [][]int32{s.tokens[:s.first], s.tokens[s.first:]} {
		if len(part) == 0 {
			continue
		}
		done += len(part)
		r, err := l.Forward(ctx, sdk.ForwardRequest{Sequence: s.name(), Tokens: part})
		if err == nil {
			err = s.hold(r, done)
		}
		if err != nil {
			s.let()
			return err
		}
		s.replayed = true
	}
	return nil
}

// forkOf starts f in the process that has s; if l does not, f is brought there when it is asked something.
func (f *sequence) forkOf(ctx context.Context, s *sequence, l *life) error {
	if s.life != l {
		return nil
	}
	f.names++
	f.life = l
	err := l.ForkSequence(ctx, s.name(), f.name())
	if err != nil {
		f.let()
	}
	if sdk.ReasonOf(err) == sdk.ReasonNotFound { // the plugin has lost it
		s.let()
		return nil
	}
	return err
}

// let has the process that has the sequence forget it.
func (s *sequence) let() {
	l, name := s.life, s.name()
	if l == nil {
		return
	}
	s.life = nil
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), letTime)
		defer cancel()
		_ = l.CloseSequence(ctx, name) // it is forgotten, or its process ends soon
	}()
}

// mayForward refuses what no plugin can take before it is sent.
func (m *model) mayForward(before int, tokens []int32, rows []int) error {
	m.mu.Lock()
	table := m.status.Table
	m.mu.Unlock()
	if len(tokens) == 0 {
		return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "tokens", Message: "tokens is empty; at least one token id is needed"}
	}
	if n := before + len(tokens); table.Context > 0 && n > table.Context {
		return &sdk.Error{Reason: sdk.ReasonContext, Field: "tokens", Message: fmt.Sprintf("the sequence has %d tokens and would have %d", before, n)}
	}
	for _, r := range rows {
		if r < 0 || r >= len(tokens) {
			return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "rows",
				Message: fmt.Sprintf("rows has %d, and there are %d tokens in this call, numbered from 0", r, len(tokens))}
		}
	}
	if most := mostRows(table.VocabSize); most > 0 && len(rows) > most {
		return &sdk.Error{Reason: sdk.ReasonInvalid, Field: "rows",
			Message: fmt.Sprintf("rows has %d elements; a plugin can send the logits of at most %d rows at once, with a vocabulary of %d", len(rows), most, table.VocabSize)}
	}
	return nil
}

// mostRows is how many rows of logits a plugin can send at once; 0: the vocabulary's size is not known.
func mostRows(vocab int) int {
	if vocab <= 0 {
		return 0
	}
	return max(1, (sdk.MaxMessageBytes-1024)/(4*vocab)) // as package wire has it
}
