// choices.go runs the answers to a request. The first to each prompt has it read; the others begin from the ids that it was read
// as, so that a prompt is rendered, tokenized and, where there is a prefix cache, computed once.
package answer

import (
	"context"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

// each generates every choice at once and calls send with one event at a time. The first failure ends the others, and is
// the one returned.
func (s *Service) each(ctx context.Context, a *Answer, send func(choice int, e sdk.Event) error) error {
	waiting, err := s.Intake.queue(s.IDOf(a.Request.Model), len(a.choices))
	if err != nil {
		return err
	}
	defer waiting.begun(len(a.choices))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	prompts := make([]*knownPrompt, len(a.choices)/a.Request.N)
	for i := range prompts {
		prompts[i] = &knownPrompt{known: make(chan struct{})}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, g := range a.choices {
		wg.Go(func() {
			defer s.caught(cancel)
			begun := false
			err := s.choose(ctx, a.Request.Model, g, prompts[i/a.Request.N], func(e sdk.Event) error {
				mu.Lock()
				defer mu.Unlock()
				if err := context.Cause(ctx); err != nil {
					return err
				}
				if err := a.Request.held(e); err != nil {
					return err
				}
				if !begun && e.Start == nil {
					begun = true
					waiting.begun(1)
				}
				return send(i, e)
			})
			if err != nil {
				cancel(a.Request.inItsWords(err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// knownPrompt is a prompt as the plugin has read it, once known is closed.
type knownPrompt struct {
	known chan struct{}
	start *sdk.Start
}

// choose generates one answer to p, whose first answer tells what it is.
func (s *Service) choose(ctx context.Context, model string, g sdk.GenerateRequest, p *knownPrompt, send func(sdk.Event) error) error {
	if g.Choice == 0 {
		err := s.generate(ctx, model, g, func(e sdk.Event) error {
			err := send(e)
			if e.Start != nil && p.start == nil {
				p.start = e.Start
				close(p.known)
			}
			return err
		})
		if err == nil && p.start == nil {
			err = sdk.Errorf(sdk.ReasonInternal, "the plugin answered without saying what it read")
		}
		return err
	}
	select {
	case <-p.known:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if g.Chat == nil { // ids are a prompt too
		g.Text, g.HasText, g.Tokens = "", false, p.start.Prompt
		return s.generate(ctx, model, g, send)
	}
	// A chat says more than its prompt, so it goes on where the first answer was before its first token; its start is known.
	g.Resume = &sdk.Resume{Prompt: p.start.Prompt, InReasoning: p.start.InReasoning}
	start := *p.start
	if err := send(sdk.Event{Start: &start}); err != nil {
		return err
	}
	return s.generate(ctx, model, g, send)
}

// generate asks for one answer. What is large waits until there is room for a copy of it on its way to the plugin, which is
// there at the first event.
func (s *Service) generate(ctx context.Context, model string, g sdk.GenerateRequest, send func(sdk.Event) error) error {
	arrived, err := s.Intake.TakeSending(ctx, 2*weigh(&g)) // here and there
	if err != nil {
		return err
	}
	defer arrived()
	return s.Backend.Generate(ctx, model, g, func(e sdk.Event) error {
		arrived()
		return send(e)
	})
}

// weigh is how many bytes a request has of what its client sent.
func weigh(g *sdk.GenerateRequest) (n int64) {
	n = int64(len(g.Text) + 4*len(g.Tokens))
	if c := g.Constraint; c != nil {
		n += int64(len(c.JSONSchema) + len(c.Regex) + len(c.Grammar))
	}
	if c := g.Chat; c != nil {
		n += int64(len(c.Messages) + len(c.Tools) + len(c.Kwargs))
		for _, file := range c.Images {
			n += int64(len(file))
		}
	}
	return n
}

// caught makes a panic of one choice the failure of its request: the goroutine is not the handler's own, so that nobody
// else would catch it and the host would end.
func (s *Service) caught(cancel context.CancelCauseFunc) {
	if p := recover(); p != nil {
		s.Log.Error("a request panicked", "panic", p, "stack", string(debug.Stack()))
		cancel(problem.New(http.StatusInternalServerError, "", "internal", "the host has a bug here; its log says more"))
	}
}
