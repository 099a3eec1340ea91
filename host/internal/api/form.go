// form.go has the JSON of the two endpoints: a chat answer and a completion, whole and in pieces.
package api

import "github.com/inference-pio/inference-pio/sdk"

// form is how one endpoint spells its answers.
type form interface {
	prefix() string      // of ids
	chunk() string       // the "object" of a stream's chunks
	promptField() string // the field that is too long when the context overflows
	whole(a *answer, list []collected, u *usage) any
	// piece is one chunk of a stream.
	piece(a *answer, p piece) any
	// opening is the chunk that comes before the first token, false if there is none.
	opening(a *answer, p piece) (any, bool)
}

// piece is what one event adds to one choice.
type piece struct {
	choice          int
	text, reasoning string
	ids             []int32
	prompt          []int32 // of the choice's first chunk
	finish          *sdk.FinishReason
}

// head is what every object of an answer begins with.
type head struct {
	ID          string  `json:"id"`
	Object      string  `json:"object"`
	Created     int64   `json:"created"`
	Model       string  `json:"model"`
	Fingerprint *string `json:"system_fingerprint,omitempty"`
}

func (a *answer) head(object string) head {
	h := head{ID: a.id, Object: object, Created: a.created, Model: a.req.model}
	if a.finger != "" {
		h.Fingerprint = &a.finger
	}
	return h
}

// tail is the usage of a chunk: null in all but the last if the client asked for it, absent if it did not.
func (a *answer) tail() any {
	if a.req.includeUsage {
		return (*usage)(nil)
	}
	return nil
}

// tokenIDs is ids if the client asked for them.
func (a *answer) tokenIDs(ids []int32) *[]int32 {
	if !a.req.tokenIDs {
		return nil
	}
	if ids == nil {
		ids = []int32{}
	}
	return &ids
}

// usage is the extra last chunk of stream_options.include_usage.
func (a *answer) usage(u *usage) any {
	return struct {
		head
		Choices []int  `json:"choices"`
		Usage   *usage `json:"usage"`
	}{a.head(a.form.chunk()), []int{}, u}
}

type chatForm struct{}

func (chatForm) prefix() string      { return "chatcmpl-" }
func (chatForm) chunk() string       { return "chat.completion.chunk" }
func (chatForm) promptField() string { return "messages" }

type chatMessage struct {
	Role      string  `json:"role"`
	Content   string  `json:"content"`
	Reasoning string  `json:"reasoning_content,omitempty"`
	Refusal   *string `json:"refusal"`
}

type chatChoice struct {
	Index    int              `json:"index"`
	Message  chatMessage      `json:"message"`
	Logprobs *int             `json:"logprobs"` // not built: always null
	Finish   sdk.FinishReason `json:"finish_reason"`
	TokenIDs *[]int32         `json:"token_ids,omitempty"`
}

func (chatForm) whole(a *answer, list []collected, u *usage) any {
	c := &list[0] // a chat has one choice: n is not built
	return struct {
		head
		Choices   []chatChoice `json:"choices"`
		Usage     *usage       `json:"usage"`
		PromptIDs *[]int32     `json:"prompt_token_ids,omitempty"`
	}{
		a.head("chat.completion"),
		[]chatChoice{{
			Message: chatMessage{Role: "assistant", Content: c.text.String(), Reasoning: c.reasoning.String()},
			Finish:  c.finish, TokenIDs: a.tokenIDs(c.ids),
		}},
		u, a.tokenIDs(c.prompt),
	}
}

type chatDelta struct {
	Role      string  `json:"role,omitempty"`
	Content   *string `json:"content,omitempty"`
	Reasoning string  `json:"reasoning_content,omitempty"`
}

type chatPiece struct {
	Index    int               `json:"index"`
	Delta    chatDelta         `json:"delta"`
	Logprobs *int              `json:"logprobs"`
	Finish   *sdk.FinishReason `json:"finish_reason"`
	TokenIDs *[]int32          `json:"token_ids,omitempty"`
}

type chatChunk struct {
	head
	Choices   []chatPiece `json:"choices"`
	Usage     any         `json:"usage,omitempty"`
	PromptIDs *[]int32    `json:"prompt_token_ids,omitempty"`
}

func (chatForm) piece(a *answer, p piece) any {
	d := chatDelta{Reasoning: p.reasoning}
	if p.text != "" {
		d.Content = &p.text
	}
	one := chatPiece{Index: p.choice, Delta: d, Finish: p.finish, TokenIDs: a.tokenIDs(p.ids)}
	return chatChunk{head: a.head(a.form.chunk()), Choices: []chatPiece{one}, Usage: a.tail()}
}

func (chatForm) opening(a *answer, p piece) (any, bool) {
	empty := ""
	one := chatPiece{Index: p.choice, Delta: chatDelta{Role: "assistant", Content: &empty}, TokenIDs: a.tokenIDs(nil)}
	return chatChunk{a.head(a.form.chunk()), []chatPiece{one}, a.tail(), a.tokenIDs(p.prompt)}, true
}

type completionForm struct{}

func (completionForm) prefix() string      { return "cmpl-" }
func (completionForm) chunk() string       { return "text_completion" }
func (completionForm) promptField() string { return "prompt" }

type completionChoice struct {
	Index     int               `json:"index"`
	Text      string            `json:"text"`
	Reasoning string            `json:"reasoning_content,omitempty"`
	Logprobs  *int              `json:"logprobs"` // not built: always null
	Finish    *sdk.FinishReason `json:"finish_reason"`
	TokenIDs  *[]int32          `json:"token_ids,omitempty"`
	PromptIDs *[]int32          `json:"prompt_token_ids,omitempty"`
}

type completionObject struct {
	head
	Choices []completionChoice `json:"choices"`
	Usage   any                `json:"usage,omitempty"`
}

func (completionForm) whole(a *answer, list []collected, u *usage) any {
	choices := make([]completionChoice, len(list))
	for i := range list {
		c := &list[i]
		choices[i] = completionChoice{
			Index: i, Text: c.text.String(), Reasoning: c.reasoning.String(), Finish: &c.finish,
			TokenIDs: a.tokenIDs(c.ids), PromptIDs: a.tokenIDs(c.prompt),
		}
	}
	return completionObject{a.head("text_completion"), choices, u}
}

func (completionForm) piece(a *answer, p piece) any {
	one := completionChoice{Index: p.choice, Text: p.text, Reasoning: p.reasoning, Finish: p.finish, TokenIDs: a.tokenIDs(p.ids)}
	if p.prompt != nil {
		one.PromptIDs = a.tokenIDs(p.prompt)
	}
	return completionObject{a.head("text_completion"), []completionChoice{one}, a.tail()}
}

func (f completionForm) opening(a *answer, p piece) (any, bool) {
	if !a.req.tokenIDs {
		return nil, false
	}
	return f.piece(a, p), true
}
