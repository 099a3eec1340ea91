package conformance

// flaws_generate_test.go: flaws of answers and of their end.

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/inference-pio/inference-pio/sdk"
)

func generateFlaws() []mutant {
	return failing("generate", []mutant{
		{flaw: "leaves out a token of prompts of ids", must: "G1", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				return r.Generate(ctx, req, func(e sdk.Event) error {
					if req.Tokens != nil && e.Token != nil && e.Token.Index == 1 {
						return nil
					}
					return send(e)
				})
			}})},
		{flaw: "ignores stop strings", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Stop = nil })})},
		{flaw: "ignores what an answer is held to", must: "G10", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Constraint = nil })})},
		{flaw: "ends before min_tokens", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.MinTokens > 0 {
					r.MaxTokens = 1
				}
			})})},
		{flaw: "ignores that logprobs are asked for", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Sampling.Logprobs = false })})},
		{flaw: "ignores logit_bias", must: "G7", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.Sampling.LogitBias = nil })})},
		{flaw: "refuses without the field", must: "G7", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				err := r.Generate(ctx, req, send)
				var told *sdk.Error
				if errors.As(err, &told) && told.Field == "stop" {
					told.Field = ""
				}
				return err
			}})},
		{flaw: "takes what it cannot do for a bug of its own", must: "G7", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				err := r.Generate(ctx, req, send)
				if len(req.Stop) > 0 {
					err = errors.New("stop strings are not supported")
				}
				return err
			}})},
		{flaw: "says one token too many", must: "G3", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.MaxTokens > 0 {
					r.MaxTokens++
				}
			})})},
		{flaw: "forgets the limit of an answer that may end", must: "G3", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.HasText && !r.IgnoreEOS && r.MaxTokens == 2 {
					r.MaxTokens++
				}
			})})},
		{flaw: "calls every end a stop", must: "G3", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil && e.Finish.Reason == sdk.FinishLength {
					e.Finish.Reason = sdk.FinishStop
				}
			})})},
		{flaw: "adds a token to prompts of ids", must: "G2", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				if r.Tokens != nil && len(r.Tokens) < referenceContext-2 {
					r.Tokens = append([]int32{0}, r.Tokens...)
				}
			})})},
		{flaw: "names another context", must: "G2", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Start != nil {
					e.Start.ContextLength++
				}
			})})},
		{flaw: "counts the prompt as answer", must: "G4", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil {
					e.Finish.CompletionTokens += e.Finish.PromptTokens
				}
			})})},
		{flaw: "names a stop string that nobody gave", must: "G11", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Finish != nil {
					e.Finish.Stop = "."
				}
			})})},
		{flaw: "cuts long prompts", must: "G5", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				r.Tokens = slices.Clip(r.Tokens)[:min(len(r.Tokens), referenceContext/2)]
			})})},
		{flaw: "does not say how likely the prompt was", must: "G8", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) { r.PromptLogprobs = false })})},
		{flaw: "takes a prompt's likelihood for a bug", must: "G8", plugin: one(&twin{
			generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.PromptLogprobs {
					return errors.New("not supported")
				}
				return r.Generate(ctx, req, send)
			}})},
		{flaw: "takes the prompt for impossible", must: "G8", plugin: one(&twin{
			generate: edited(func(e *sdk.Event) {
				if e.Start != nil && e.Start.PromptLogprobs != nil {
					e.Start.PromptLogprobs[0].Logprob = 0.5
				}
			})})},
		{flaw: "says a novel with one token", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Token != nil && e.Token.Index == 2 {
					e.Token.Text = strings.Repeat("a", 128<<10)
				}
			})})},
		{flaw: "tells likelihoods unasked", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Token != nil {
					e.Token.Logprob = &sdk.TokenLogprob{}
				}
			})})},
		{flaw: "tells likelihoods of the prompt unasked", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Start != nil {
					e.Start.PromptLogprobs = make([]sdk.TokenLogprob, len(e.Start.Prompt))
				}
			})})},
		{flaw: "has less room than it takes", must: "G9", plugin: one(&twin{
			generate: ofIDs(func(e *sdk.Event) {
				if e.Start != nil {
					e.Start.ContextLength = 1
				}
			})})},
		{flaw: "knows ids that do not exist", must: "G6", plugin: one(&twin{
			generate: asked(func(r *sdk.GenerateRequest) {
				for i := range r.Tokens {
					r.Tokens[i] %= referenceVocab
				}
			})})},
	})
}

func cancelFlaws(release <-chan struct{}) []mutant {
	return failing("cancel", []mutant{
		{flaw: "does not stop when cancelled", must: "C1", timeout: brief, plugin: func() sdk.Plugin {
			var asked atomic.Bool // for the short answer with which the case cancel begins
			return &twin{generate: func(ctx context.Context, r *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				if req.MaxTokens == 4 {
					asked.Store(true)
				}
				err := r.Generate(ctx, req, send)
				if asked.Load() && ctx.Err() != nil {
					<-release
				}
				return err
			}}
		}},
		{flaw: "remembers what was cancelled", must: "C2", plugin: func() sdk.Plugin {
			var poisoned atomic.Int64
			return &twin{generate: func(ctx context.Context, _ *reference, req sdk.GenerateRequest, send func(sdk.Event) error) error {
				salted := &reference{salt: int(poisoned.Load())}
				err := salted.Generate(ctx, req, send)
				if ctx.Err() != nil {
					poisoned.Add(1)
				}
				return err
			}}
		}},
	})
}
