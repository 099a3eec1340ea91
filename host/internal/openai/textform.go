// textform.go has the JSON of /v1/completions, whole and in pieces.
package openai

import (
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/sdk"
)

// Completions is /v1/completions.
type Completions struct{ Errors }

// Prefix is OpenAI's.
func (Completions) Prefix() string { return "cmpl-" }

// PromptField is where the prompts stand.
func (Completions) PromptField() string { return "prompt" }

func (Completions) Read(members []body.Member, unknown func(string)) (*answer.Request, answer.Writer, error) {
	r, err := parseCompletion(members, unknown)
	if err != nil {
		return nil, nil, err
	}
	return &r.Request, &completionForm{form{req: r, object: "text_completion"}, map[int]*characters{}}, nil
}

// completionForm knows where the text of each choice has come to.
type completionForm struct {
	form
	places map[int]*characters
}

type completionChoice struct {
	Index     int               `json:"index"`
	Text      string            `json:"text"`
	Reasoning string            `json:"reasoning_content,omitempty"`
	Logprobs  *textLogprobs     `json:"logprobs"`
	Finish    *sdk.FinishReason `json:"finish_reason"`
	TokenIDs  *[]int32          `json:"token_ids,omitempty"`
	PromptIDs *[]int32          `json:"prompt_token_ids,omitempty"`
}

type completionObject struct {
	head
	Choices []completionChoice `json:"choices"`
	Usage   any                `json:"usage,omitempty"`
	Timings *timings           `json:"timings,omitempty"`
}

func (f *completionForm) Whole(a *answer.Answer, list []answer.Collected) any {
	choices := make([]completionChoice, len(list))
	for i := range list {
		c := &list[i]
		choices[i] = completionChoice{
			Index: i, Text: c.Text.String(), Reasoning: c.Reasoning.String(), Logprobs: newTextLogprobs(c.Scored, f.place(i)),
			Finish: &c.Finish, TokenIDs: f.tokenIDs(c.IDs), PromptIDs: f.tokenIDs(c.Prompt),
		}
	}
	t := newTimings(a.Tally)
	return completionObject{f.head(a, f.object), choices, newUsage(a.Tally.Usage), &t}
}

// Piece shows a choice's beginning only if there is something in it: a completion has no role to tell.
func (f *completionForm) Piece(a *answer.Answer, p answer.Piece) []answer.Event {
	f.reach(a, p)
	if !f.shows(p) || p.Opens && p.Text == "" && len(p.Scored) == 0 && !f.req.tokenIDs {
		return nil
	}
	one := completionChoice{
		Index: p.Choice, Text: p.Text, Reasoning: p.Reasoning, Logprobs: newTextLogprobs(p.Scored, f.place(p.Choice)),
		Finish: reason(p), TokenIDs: f.tokenIDs(p.IDs),
	}
	if p.Opens {
		one.PromptIDs = f.tokenIDs(p.Prompt)
	}
	return []answer.Event{{Data: completionObject{f.head(a, f.object), []completionChoice{one}, f.tail(p.Choice), nil}}}
}

func (f *completionForm) place(choice int) *characters {
	if f.places[choice] == nil {
		f.places[choice] = new(characters)
	}
	return f.places[choice]
}
