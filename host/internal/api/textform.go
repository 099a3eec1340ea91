// textform.go has the JSON of /v1/completions, whole and in pieces.
package api

import "github.com/inference-pio/inference-pio/sdk"

// completionForm of one answer: where the text of each choice has come to.
type completionForm struct{ places map[int]*characters }

func newCompletionForm() completionForm { return completionForm{map[int]*characters{}} }

func (completionForm) prefix() string      { return "cmpl-" }
func (completionForm) object() string      { return "text_completion" }
func (completionForm) promptField() string { return "prompt" }

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

func (f completionForm) whole(a *answer, list []collected) any {
	choices := make([]completionChoice, len(list))
	for i := range list {
		c := &list[i]
		choices[i] = completionChoice{
			Index: i, Text: c.text.String(), Reasoning: c.reasoning.String(), Logprobs: newTextLogprobs(c.scored, f.place(i)),
			Finish: &c.finish, TokenIDs: a.tokenIDs(c.ids), PromptIDs: a.tokenIDs(c.prompt),
		}
	}
	t := a.tally.timings()
	return completionObject{a.head("text_completion"), choices, &a.tally.usage, &t}
}

// chunk shows a choice's beginning only if there is something in it: a completion has no role to tell.
func (f completionForm) chunk(a *answer, p piece) (any, bool) {
	if p.empty() || p.opens && p.text == "" && len(p.scored) == 0 && !a.req.tokenIDs {
		return nil, false
	}
	one := completionChoice{
		Index: p.choice, Text: p.text, Reasoning: p.reasoning, Logprobs: newTextLogprobs(p.scored, f.place(p.choice)),
		Finish: p.finish, TokenIDs: a.tokenIDs(p.ids),
	}
	if p.opens {
		one.PromptIDs = a.tokenIDs(p.prompt)
	}
	return completionObject{a.head(f.object()), []completionChoice{one}, a.tail(p.choice), nil}, true
}

func (f completionForm) place(choice int) *characters {
	if f.places[choice] == nil {
		f.places[choice] = new(characters)
	}
	return f.places[choice]
}
