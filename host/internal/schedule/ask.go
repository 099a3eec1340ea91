// ask.go asks a model's plugin what needs no answer of the model: its tokenizer and its chat template.
package schedule

import (
	"context"
	"errors"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
)

// maxAsked is how many processes may die of one question.
const maxAsked = 2

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

// ask calls a ready process, waiting for one that is still coming up. A question has no state: if the process dies, the
// next one is asked, but one that kills again has had its chance.
func (h *Host) ask(ctx context.Context, name string, call func(context.Context, Process) error) error {
	return h.serve(ctx, name, func(ctx context.Context, m *model) error {
		timer := time.NewTimer(h.Config().Server.Wait)
		defer timer.Stop()
		var l *life
		var err error
		for deaths := 0; deaths < maxAsked; {
			timer.Reset(h.Config().Server.Wait) // for a process that is ready; what the last one did with its time does not count
			if l, err = m.await(ctx, timer.C, func(*life) bool { return m.status.Silent.IsZero() }); err != nil {
				return err
			}
			joined, done := l.join(ctx)
			m.asks(l, 1)
			err = call(joined, l)
			m.asks(l, -1)
			done()
			switch {
			case ctx.Err() == nil && l.moves(err):
			case errors.Is(err, client.ErrGone):
				deaths++
			default:
				return err
			}
			if err := m.gone(ctx, l); err != nil {
				return err
			}
		}
		return sdk.Errorf(sdk.ReasonInternal, "the plugin died %d times over this request, the last time it %s", maxAsked, l.end())
	})
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
