// piece.go turns an event of a choice into what its client sees of it, and joins the pieces of an answer that is sent whole.
package api

import (
	"context"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// piece is what one event adds to one choice.
type piece struct {
	choice          int
	opens           bool // the first of its choice
	prompt          []int32
	text, reasoning string
	calls           []sdk.ToolCallDelta
	ids             []int32
	scored          []scored
	finish          *sdk.FinishReason
}

// empty says that there is nothing to send: the id's text is held back.
func (p *piece) empty() bool {
	return !p.opens && p.text == "" && p.reasoning == "" && len(p.calls) == 0 && len(p.ids) == 0 && len(p.scored) == 0 && p.finish == nil
}

// parted is p as clients want it: the chunk that has the reason of the end has nothing else.
func (p piece) parted() []piece {
	if p.finish == nil {
		return []piece{p}
	}
	end := piece{choice: p.choice, finish: p.finish}
	if p.finish = nil; p.empty() {
		return []piece{end}
	}
	return []piece{p, end}
}

// piece of a choice's event, which is noted.
func (a *answer) piece(choice int, e sdk.Event) piece {
	a.tally.see(e)
	p := piece{choice: choice}
	a.reach(choice, e)
	switch {
	case e.Start != nil:
		p.opens, p.prompt = true, e.Start.Prompt
		if a.req.echo {
			p.text, p.scored = a.echoed[choice/a.req.n], scoredPrompt(e.Start.PromptLogprobs)
		}
	case e.Token != nil && !a.req.nothing:
		a.token(&p, e.Token)
	case e.Finish != nil:
		a.finish(&p, *e.Finish)
	}
	return p
}

// reach counts an event for the usage of its choice's chunks. Events come one at a time.
func (a *answer) reach(choice int, e sdk.Event) {
	if a.reached == nil {
		a.reached = make([]usage, len(a.choices))
	}
	u := &a.reached[choice]
	switch {
	case e.Start != nil:
		u.Prompt = len(e.Start.Prompt)
	case e.Token != nil && !a.req.nothing:
		u.Completion++
	}
	u.Total = u.Prompt + u.Completion
}

func (a *answer) token(p *piece, t *sdk.Token) {
	p.text, p.reasoning, p.calls = t.Text, t.Reasoning, t.ToolCalls
	if a.req.tokenIDs {
		p.ids = []int32{t.ID}
	}
	if t.Logprob != nil && a.req.sampling.Logprobs {
		p.scored = []scored{{TokenLogprob: *t.Logprob}}
	}
}

// scoredPrompt has no probability for the first id: nothing comes before it.
func scoredPrompt(list []sdk.TokenLogprob) []scored {
	out := make([]scored, len(list))
	for i, l := range list {
		out[i] = scored{TokenLogprob: l, unknown: i == 0}
	}
	return out
}

func (a *answer) finish(p *piece, f sdk.Finish) {
	if a.req.nothing { // the token that was asked for all the same is forgotten
		f = sdk.Finish{Reason: sdk.FinishLength, PromptTokens: f.PromptTokens, CachedTokens: f.CachedTokens}
	}
	a.tally.usage.add(&f, a.choices[p.choice].Choice)
	a.tally.finished(f.Reason)
	p.text, p.reasoning, p.calls, p.finish = f.Text, f.Reasoning, f.ToolCalls, &f.Reason
}

// prompts are the texts that echo puts before the answers, one per prompt; nil if it is not asked for.
func (a *api) prompts(ctx context.Context, req *request) ([]string, error) {
	if !req.echo {
		return nil, nil
	}
	list := make([]string, len(req.prompts))
	for i, p := range req.prompts {
		list[i] = p.text
		if p.tokens == nil {
			continue
		}
		var err error
		if list[i], err = a.backend.Detokenize(ctx, req.model, p.tokens); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// collected is one choice of an answer that is sent whole.
type collected struct {
	text, reasoning strings.Builder
	calls           []sdk.ToolCallDelta // whole ones
	prompt, ids     []int32
	scored          []scored
	finish          sdk.FinishReason
}

func (c *collected) add(p piece) {
	c.text.WriteString(p.text)
	c.reasoning.WriteString(p.reasoning)
	c.ids = append(c.ids, p.ids...)
	c.scored = append(c.scored, p.scored...)
	c.calls = joined(c.calls, p.calls)
	if p.opens {
		c.prompt = p.prompt
	}
	if p.finish != nil {
		c.finish = *p.finish
	}
}

// joined adds pieces of calls to the calls that they belong to: one entry for each.
func joined(calls, pieces []sdk.ToolCallDelta) []sdk.ToolCallDelta {
	for _, d := range pieces {
		i := slices.IndexFunc(calls, func(known sdk.ToolCallDelta) bool { return known.Index == d.Index })
		if i < 0 {
			calls = append(calls, d)
			continue
		}
		known := &calls[i]
		known.ID += d.ID
		known.Name += d.Name
		known.Arguments += d.Arguments
	}
	return calls
}
