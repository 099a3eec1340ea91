// generate.go joins text and engine: it is the Generate of every plugin built on both.

package text

import (
	"context"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// Generate answers a request, as [sdk.Plugin] describes it. Everything that is wrong with a request is found before the
// first event.
func (m *Model) Generate(ctx context.Context, e *engine.Engine, req sdk.GenerateRequest, send func(sdk.Event) error) error {
	ids, err := m.prompt(ctx, req, e.ContextLength())
	if err != nil {
		return err
	}
	prompt, media, err := m.see(ctx, req, ids)
	if err != nil {
		return err
	}
	defer m.leaveMedia(media)
	d, err := m.NewDecoder(ctx, req, prompt)
	if err != nil {
		return err
	}
	h, err := m.constrained(req, d, e.Vocab())
	if err != nil {
		return err
	}
	d.hold(h, !req.Sampling.Logprobs && !req.PromptLogprobs)
	r := engine.Request{Prompt: prompt, Media: media, Sampling: m.Params(req.Sampling), Choice: req.Choice,
		ScorePrompt: req.PromptLogprobs && req.Resume == nil, Forced: d.Forced(), MaxTokens: req.MaxTokens, MinTokens: req.MinTokens, EOS: m.EOS(), IgnoreEOS: req.IgnoreEOS}
	if req.Resume != nil {
		r.Generated = req.Resume.Generated
	}
	if err := e.Check(r); err != nil {
		return err
	}
	if stopped := d.replay(r.Generated); stopped {
		d.checked(req)
		finish := d.Finish(engine.Result{Reason: sdk.FinishStop, Completion: len(r.Generated)}, len(prompt))
		return send(sdk.Event{Finish: &finish})
	}
	if d.err != nil {
		return invalid("resume", "%v", d.err)
	}
	if h != nil {
		r.Next = d.goOn
	}
	start := sdk.Start{Prompt: prompt, InReasoning: d.InReasoning(), ContextLength: e.ContextLength(), Constrained: h != nil}
	if req.Resume == nil && !r.ScorePrompt {
		if err := send(sdk.Event{Start: &start}); err != nil {
			return err
		}
	}
	result, err := e.Generate(ctx, r, func(s engine.Sampled) (bool, error) {
		if s.Prompt != nil { // only now is known what the start has to say
			start.PromptLogprobs = m.spellPrompt(s.Prompt, prompt)
			if err := send(sdk.Event{Start: &start}); err != nil {
				return false, err
			}
		}
		t, stop := d.Push(s)
		if d.err != nil {
			return false, d.err
		}
		return stop, send(sdk.Event{Token: &t})
	})
	if err != nil {
		return err
	}
	d.checked(req)
	finish := d.Finish(result, len(prompt))
	return send(sdk.Event{Finish: &finish})
}

// replay brings the decoder to where ids already sent left it. They may end with a stop string.
func (d *Decoder) replay(ids []int32) (stopped bool) {
	for _, id := range ids {
		if _, stopped = d.Push(engine.Sampled{ID: id}); stopped {
			return true
		}
	}
	return false
}
