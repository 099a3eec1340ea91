// piece.go turns an event of a choice into what its client sees of it, and joins the pieces of an answer that is sent whole.
package answer

import (
	"context"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

// Piece is what one event adds to one choice.
type Piece struct {
	Choice          int
	Opens           bool    // the first of its choice
	Prompt          []int32 // of the piece that opens
	Text, Reasoning string
	Calls           []sdk.ToolCallDelta
	IDs             []int32 // also of what is held back, whose text comes later
	Scored          []Scored
	Finish          *sdk.Finish
}

// Scored is one id with its probability.
type Scored struct {
	sdk.TokenLogprob
	Unknown bool // the first id of a prompt has no probability
}

// parted is p as clients want it: the piece that has the reason of the end has nothing else.
func (p Piece) parted() []Piece {
	if p.Finish == nil {
		return []Piece{p}
	}
	end := Piece{Choice: p.Choice, Finish: p.Finish}
	if p.Text == "" && p.Reasoning == "" && len(p.Calls) == 0 {
		return []Piece{end}
	}
	p.Finish = nil
	return []Piece{p, end}
}

// piece of a choice's event, which is noted.
func (a *Answer) piece(choice int, e sdk.Event) Piece {
	a.Tally.see(e)
	p := Piece{Choice: choice}
	switch {
	case e.Start != nil:
		p.Opens, p.Prompt = true, e.Start.Prompt
		if a.Request.Echo {
			p.Text, p.Scored = a.echoed[choice/a.Request.N], scoredPrompt(e.Start.PromptLogprobs)
		}
	case e.Token != nil && !a.Request.Nothing:
		a.token(&p, e.Token)
	case e.Finish != nil:
		a.finish(&p, *e.Finish)
	}
	return p
}

func (a *Answer) token(p *Piece, t *sdk.Token) {
	p.Text, p.Reasoning, p.Calls, p.IDs = t.Text, t.Reasoning, t.ToolCalls, []int32{t.ID}
	if t.Logprob != nil && a.Request.Sampling.Logprobs {
		p.Scored = []Scored{{TokenLogprob: *t.Logprob}}
	}
}

// scoredPrompt has no probability for the first id: nothing comes before it.
func scoredPrompt(list []sdk.TokenLogprob) []Scored {
	out := make([]Scored, len(list))
	for i, l := range list {
		out[i] = Scored{TokenLogprob: l, Unknown: i == 0}
	}
	return out
}

func (a *Answer) finish(p *Piece, f sdk.Finish) {
	if a.Request.Nothing { // the token that was asked for all the same is forgotten
		f = sdk.Finish{Reason: sdk.FinishLength, PromptTokens: f.PromptTokens, CachedTokens: f.CachedTokens}
	}
	if !slices.Contains(a.Request.Stop, f.Stop) {
		f.Stop = "" // what was not asked for, a plugin may not put into an answer
	}
	a.Tally.Usage.add(&f, a.choices[p.Choice].Choice)
	a.Tally.finished(f.Reason)
	p.Text, p.Reasoning, p.Calls, p.Finish = f.Text, f.Reasoning, f.ToolCalls, &f
}

// prompts are the texts that echo puts before the answers, one per prompt; nil if it is not asked for.
func (s *Service) prompts(ctx context.Context, req *Request) ([]string, error) {
	if !req.Echo {
		return nil, nil
	}
	list := make([]string, len(req.Prompts))
	for i, p := range req.Prompts {
		list[i] = p.Text
		if p.Tokens == nil {
			continue
		}
		var err error
		if list[i], err = s.Backend.Detokenize(ctx, req.Model, p.Tokens); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Render is what the template makes of a conversation. Nobody looks at the files of its pictures: that there are some is for a model that takes
// none to refuse.
func (s *Service) Render(ctx context.Context, req *Request) (string, error) {
	for range req.Pictures {
		req.Chat.Images = append(req.Chat.Images, []byte{})
	}
	return s.Backend.Render(ctx, req.Model, *req.Chat)
}

// Collected is one choice of an answer that is sent whole.
type Collected struct {
	Text, Reasoning strings.Builder
	Calls           []sdk.ToolCallDelta // whole ones
	Prompt, IDs     []int32
	Scored          []Scored
	Thought         int // of Scored, how many are of the reasoning
	Finish          sdk.FinishReason
	Stop            string // the stop string that ended it, "" if none did
}

func (c *Collected) add(p Piece) {
	c.Text.WriteString(p.Text)
	c.Reasoning.WriteString(p.Reasoning)
	c.IDs = append(c.IDs, p.IDs...)
	c.Scored = append(c.Scored, p.Scored...)
	c.Calls = Joined(c.Calls, p.Calls)
	if p.Reasoning != "" {
		c.Thought = len(c.Scored)
	}
	if p.Opens {
		c.Prompt = p.Prompt
	}
	if p.Finish != nil {
		c.Finish, c.Stop = p.Finish.Reason, p.Finish.Stop
	}
}

// Joined adds pieces of calls to the calls that they belong to: one entry for each.
func Joined(calls, pieces []sdk.ToolCallDelta) []sdk.ToolCallDelta {
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
