// form.go has what the answers of both endpoints share; chatform.go and textform.go have their JSON.
package openai

import (
	"math"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// head is what every object of an answer begins with.
type head struct {
	ID          string  `json:"id"`
	Object      string  `json:"object"`
	Created     int64   `json:"created"`
	Model       string  `json:"model"`
	Fingerprint *string `json:"system_fingerprint,omitempty"`
}

// form is an answer of either endpoint: what its client asked to see, and what each choice has come to.
type form struct {
	req     *request
	object  string  // the "object" of a stream's chunks
	reached []usage // by choice
}

func (f *form) head(a *answer.Answer, object string) head {
	h := head{ID: a.ID, Object: object, Created: a.Created.Unix(), Model: a.Request.Model}
	if a.Fingerprint != "" {
		h.Fingerprint = &a.Fingerprint
	}
	return h
}

// Framing is the same for both: no event has a name.
func (f *form) Framing() answer.Framing { return answer.Events }

// Begin has nothing to say: the first chunk of a choice is its own.
func (f *form) Begin(*answer.Answer) []answer.Event { return nil }

// Fail ends a stream with an error, and without "[DONE]".
func (f *form) Fail(_ *answer.Answer, e *problem.Error) []answer.Event {
	return []answer.Event{{Data: NewErrorBody(e)}}
}

// End has the extra last chunk of stream_options.include_usage.
func (f *form) End(a *answer.Answer) []answer.Event {
	done := answer.Event{Text: "[DONE]"}
	if !f.req.includeUsage {
		return []answer.Event{done}
	}
	return []answer.Event{{Data: struct {
		head
		Choices []int   `json:"choices"`
		Usage   usage   `json:"usage"`
		Timings timings `json:"timings"`
	}{f.head(a, f.object), []int{}, newUsage(a.Tally.Usage), newTimings(a.Tally)}}, done}
}

// usage counts tokens as OpenAI's object does.
type usage struct {
	Prompt     int               `json:"prompt_tokens"`
	Completion int               `json:"completion_tokens"`
	Total      int               `json:"total_tokens"`
	PromptPart *promptPart       `json:"prompt_tokens_details,omitempty"`
	AnswerPart *completionDetail `json:"completion_tokens_details,omitempty"`
}

type promptPart struct {
	Cached int `json:"cached_tokens"`
}

type completionDetail struct {
	Reasoning int `json:"reasoning_tokens"`
}

func newUsage(u answer.Usage) usage {
	return usage{u.Prompt, u.Generated, u.Prompt + u.Generated, &promptPart{u.Cached}, &completionDetail{u.Reasoning}}
}

// reach counts a piece for the usage of its choice's chunks.
func (f *form) reach(a *answer.Answer, p answer.Piece) {
	if f.reached == nil {
		f.reached = make([]usage, a.Choices())
	}
	u := &f.reached[p.Choice]
	if p.Opens {
		u.Prompt = len(p.Prompt)
	}
	u.Completion += len(p.IDs)
	u.Total = u.Prompt + u.Completion
}

// tail is the usage of a choice's chunk: absent if the client did not ask for usage, what the choice has come to if it asked for that in
// every chunk, else null.
func (f *form) tail(choice int) any {
	switch {
	case !f.req.includeUsage:
		return nil
	case f.req.eachUsage:
		return &f.reached[choice]
	}
	return (*usage)(nil)
}

// tokenIDs is ids if the client asked for them.
func (f *form) tokenIDs(ids []int32) *[]int32 {
	if !f.req.tokenIDs {
		return nil
	}
	if ids == nil {
		ids = []int32{}
	}
	return &ids
}

// shows says whether a client sees anything of a piece: the text of an id may be held back.
func (f *form) shows(p answer.Piece) bool {
	return p.Opens || p.Text != "" || p.Reasoning != "" || len(p.Calls) > 0 || f.req.tokenIDs && len(p.IDs) > 0 || len(p.Scored) > 0 || p.Finish != nil
}

// timings is what llama.cpp's server calls so, by its names.
type timings struct {
	Cached          int     `json:"cache_n"`  // tokens of the prompt that were in the prefix cache
	Prompt          int     `json:"prompt_n"` // the others
	PromptMS        float64 `json:"prompt_ms"`
	PromptSpeed     float64 `json:"prompt_per_second"`
	Generated       int     `json:"predicted_n"`
	GeneratedMS     float64 `json:"predicted_ms"`
	GenerationSpeed float64 `json:"predicted_per_second"`
}

func newTimings(t *answer.Tally) timings {
	u := t.Usage
	return timings{
		Cached: u.Cached, Prompt: u.Prompt - u.Cached, PromptMS: milliseconds(t.FirstToken()), PromptSpeed: answer.PerSecond(u.Prompt-u.Cached, t.FirstToken()),
		Generated: u.Generated, GeneratedMS: milliseconds(t.Decoding()), GenerationSpeed: t.Speed(),
	}
}

func milliseconds(d time.Duration) float64 {
	return math.Round(d.Seconds()*1e6) / 1e3
}
