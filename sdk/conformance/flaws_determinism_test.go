package conformance

// flaws_determinism_test.go: answers that depend on what they must not depend on.

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/sdk"
)

func determinismFlaws() []mutant {
	var salt, calls atomic.Int64
	return failing("determinism", []mutant{
		{flaw: "draws anew each time", must: "R1", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Sampling.Seed = uint64(calls.Add(1)) })})},
		{flaw: "says something else the second time", must: "R1", plugin: func() sdk.Plugin {
			var asked atomic.Int64
			return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.HasText && req.MaxTokens == samples()[0].MaxTokens && asked.Add(1) == 2 {
					r = &reference{salt: 1}
				}
				return r.Generate(ctx, req, send)
			}}
		}},
		{flaw: "depends on the process", must: "R1", plugin: func() sdk.Plugin {
			own := &reference{salt: int(salt.Add(1))}
			return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.HasText && req.MaxTokens == samples()[0].MaxTokens { // others compare an answer with something else
					r = own
				}
				return r.Generate(ctx, req, send)
			}}
		}},
		{flaw: "says something else in company", must: "R2", plugin: inCompany((&reference{salt: 1}).Generate)},
		{flaw: "wants no company", must: "R2", plugin: inCompany(
			func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error {
				return sdk.Errorf(sdk.ReasonOverloaded, "one at a time")
			})},
		{flaw: "cannot be resumed behind the last token", must: "R3", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.Resume != nil && req.Chat == nil && len(req.Resume.Generated) == req.MaxTokens {
					return sdk.Errorf(sdk.ReasonInternal, "there is nothing to resume")
				}
				return r.Generate(ctx, req, send)
			}})},
		{flaw: "resumes without the words in between", must: "R3", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				return r.Generate(ctx, req, func(e sdk.Event) error {
					if req.Resume != nil && req.Chat == nil && e.Token != nil && e.Token.Index == len(req.Resume.Generated) {
						e.Token.Text = ""
					}
					return send(e)
				})
			}})},
		{flaw: "counts only what came after resuming", must: "R3", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				return r.Generate(ctx, req, func(e sdk.Event) error {
					if req.Resume != nil && req.Chat == nil && e.Finish != nil {
						e.Finish.CompletionTokens -= len(req.Resume.Generated)
					}
					return send(e)
				})
			}})},
	})
}

// inCompany makes twins that answer the samples of the case determinism in another way when others are answered at the same
// time. Each waits for another after those that the case asks for one by one, so that the company is sure to be there.
func inCompany(another func(context.Context, sdk.GenerateRequest, func(sdk.Event) error) error) func() sdk.Plugin {
	return func() sdk.Plugin {
		var asked, running atomic.Int64
		met := make(chan struct{})
		meet := sync.OnceFunc(func() { close(met) })
		alone := int64(2 * len(samples()))
		return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
			if !req.HasText || req.MaxTokens != samples()[0].MaxTokens || req.Resume != nil || asked.Add(1) <= alone {
				return r.Generate(ctx, req, send)
			}
			if running.Add(1) > 1 {
				meet()
			}
			defer running.Add(-1)
			select {
			case <-met:
				return another(ctx, req, send)
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
	}
}
