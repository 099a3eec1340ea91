// ask.go asks a model's plugin what has no stream of events for its answer: its tokenizer, its chat template, vectors.
package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// maxAsked is how many processes in a row may die of a question: two as of anybody, two as of a suspect. Each makes the next pause longer
// for everybody.
const maxAsked = firstPatience + 2

// longestWithout is the most that a question waits to see whether its plugin lives without it.
const longestWithout = 30 * time.Second

// Tokenize returns the ids of text in the model with that id or alias. Errors are those of Generate.
func (h *Host) Tokenize(ctx context.Context, name, text string) (ids []int32, err error) {
	err = h.ask(ctx, name, func(ctx context.Context, p Process) (err error) {
		ids, err = p.Tokenize(ctx, text)
		return err
	})
	return ids, err
}

// Detokenize returns the text of ids, special tokens included.
func (h *Host) Detokenize(ctx context.Context, name string, ids []int32) (text string, err error) {
	err = h.ask(ctx, name, func(ctx context.Context, p Process) (err error) {
		text, err = p.Detokenize(ctx, ids)
		return err
	})
	return text, err
}

// Spell returns the ids as the vocabulary has them, "" for one that it has not.
func (h *Host) Spell(ctx context.Context, name string, ids []int32) (list []string, err error) {
	err = h.ask(ctx, name, func(ctx context.Context, p Process) (err error) {
		list, err = p.Spell(ctx, ids)
		return err
	})
	return list, err
}

// Render returns the prompt that the model's template makes of a chat.
func (h *Host) Render(ctx context.Context, name string, chat sdk.Chat) (text string, err error) {
	err = h.ask(ctx, name, func(ctx context.Context, p Process) (err error) {
		text, err = p.Render(ctx, chat)
		return err
	})
	return text, err
}

// Embed returns one vector for each text of a request.
func (h *Host) Embed(ctx context.Context, name string, req sdk.EmbedRequest) (r sdk.EmbedResult, err error) {
	err = h.serve(ctx, name, func(ctx context.Context, m *model) error {
		return m.unable(sdk.CapabilityEmbed, m.ask(ctx, func(ctx context.Context, l *life) (err error) {
			defer m.computes(l)()
			if r, err = l.Embed(ctx, req); err == nil {
				m.useful()
			}
			return err
		}))
	})
	return r, err
}

// ask asks the model with that id or alias.
func (h *Host) ask(ctx context.Context, name string, call func(context.Context, Process) error) error {
	return h.serve(ctx, name, func(ctx context.Context, m *model) error {
		return m.ask(ctx, func(ctx context.Context, l *life) error { return call(ctx, l) })
	})
}

// turn is that of one suspect among all.
type turn struct {
	all  chan struct{} // holds what is taken
	held bool
}

func (t *turn) take(ctx context.Context) error {
	select {
	case t.all <- struct{}{}:
		t.held = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *turn) yield() {
	if t.held {
		<-t.all
		t.held = false
	}
}

// ask calls a ready process, waiting for one that is still coming up. A question has no state in it that matters: if the process
// dies, or has to be replaced, the next one is asked. One that two processes in a row died of is suspected: before it is asked again it
// waits until a process has lived without it for three times as long as the last one lived with it. If that one dies too, of nobody
// who is suspected, the question is cleared; two deaths of a suspect end it. Suspects take turns, so that none dies of another.
func (m *model) ask(ctx context.Context, call func(context.Context, *life) error) error {
	timer := time.NewTimer(m.host.Config().Server.Wait)
	defer timer.Stop()
	deadline := timer.C
	var l *life
	var err error
	var beside time.Duration // the last one lived with it
	mine := turn{all: m.asking}
	defer mine.yield()
	for deaths := 0; deaths < maxAsked; {
		if mine.yield(); deaths >= firstPatience {
			if err := mine.take(ctx); err != nil {
				return err
			}
			cleared, err := m.without(ctx, contrast*beside)
			if err != nil {
				return err
			}
			if cleared {
				deaths = 0
			}
		}
		if l, err = m.await(ctx, deadline, func(*life) bool { return m.status.Silent.IsZero() }); err != nil {
			return err
		}
		deadline = nil // as in fly
		joined, done := l.join(ctx)
		suspect, began := deaths >= firstPatience, time.Now()
		m.asks(l, 1, suspect)
		err = call(joined, l)
		m.asks(l, -1, suspect && !l.died(err))
		done()
		beside = time.Since(began)
		switch {
		case err == nil, ctx.Err() != nil && !errors.Is(err, client.ErrGone):
			return err
		case outdates(err):
			if err := m.outdate(ctx, l, err); err != nil {
				return err
			}
			continue
		case l.died(err):
			deaths++
		case l.moves(err):
		default:
			return err
		}
		if err := m.gone(ctx, l); err != nil {
			return err
		}
	}
	return sdk.Errorf(sdk.ReasonInternal, "the plugin died %d times over this request, the last time it %s", maxAsked, l.end())
}

// without waits until a process has lived for so long without a question. cleared says that it died all the same.
func (m *model) without(ctx context.Context, long time.Duration) (cleared bool, err error) {
	l, err := m.await(ctx, nil, func(*life) bool { return true })
	if err != nil {
		return false, err
	}
	timer := time.NewTimer(min(long, longestWithout))
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-l.buried:
		m.mu.Lock()
		defer m.mu.Unlock()
		return l.guiltless, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// useful notes that a process has done something of what it is for, which is more than to know its tokenizer.
func (m *model) useful() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trouble = 0
}

// gone waits until the death of l has been understood.
func (m *model) gone(ctx context.Context, l *life) error {
	l.once.Do(func() { close(l.lost) })
	select {
	case <-l.buried:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
