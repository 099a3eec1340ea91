// chatform.go has the JSON of /v1/chat/completions, whole and in pieces.
package openai

import (
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/sdk"
)

// Chat is /v1/chat/completions.
type Chat struct{ Errors }

// Prefix is OpenAI's.
func (Chat) Prefix() string { return "chatcmpl-" }

// PromptField is where a conversation stands.
func (Chat) PromptField() string { return "messages" }

func (Chat) Read(members []body.Member, unknown func(string)) (*answer.Request, answer.Writer, error) {
	r, err := parseChat(members, unknown)
	if err != nil {
		return nil, nil, err
	}
	return &r.Request, &chatForm{form{req: r, object: "chat.completion.chunk"}}, nil
}

type chatForm struct{ form }

type chatMessage struct {
	Role      string     `json:"role"`
	Content   *string    `json:"content"` // null if there are only calls
	Reasoning string     `json:"reasoning_content,omitempty"`
	Calls     []toolCall `json:"tool_calls,omitempty"`
	Refusal   *string    `json:"refusal"`
}

// toolCall is a call, or a piece of one: then it has an index, and an id and a type only in its first piece.
type toolCall struct {
	Index    *int         `json:"index,omitempty"`
	ID       string       `json:"id,omitempty"`
	Type     string       `json:"type,omitempty"`
	Function functionCall `json:"function"`
}

type functionCall struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

type chatChoice struct {
	Index    int              `json:"index"`
	Message  chatMessage      `json:"message"`
	Logprobs *chatLogprobs    `json:"logprobs"`
	Finish   sdk.FinishReason `json:"finish_reason"`
	TokenIDs *[]int32         `json:"token_ids,omitempty"`
}

func (f *chatForm) Whole(a *answer.Answer, list []answer.Collected) any {
	choices := make([]chatChoice, len(list))
	for i := range list {
		c := &list[i]
		choices[i] = chatChoice{
			Index: i, Message: newMessage(c), Logprobs: newChatLogprobs(c.Scored), Finish: c.Finish, TokenIDs: f.tokenIDs(c.IDs),
		}
	}
	return struct {
		head
		Choices   []chatChoice `json:"choices"`
		Usage     usage        `json:"usage"`
		Timings   timings      `json:"timings"`
		PromptIDs *[]int32     `json:"prompt_token_ids,omitempty"`
	}{f.head(a, "chat.completion"), choices, newUsage(a.Tally.Usage), newTimings(a.Tally), f.tokenIDs(list[0].Prompt)}
}

func newMessage(c *answer.Collected) chatMessage {
	m := chatMessage{Role: "assistant", Reasoning: c.Reasoning.String()}
	if text := c.Text.String(); text != "" || len(c.Calls) == 0 {
		m.Content = &text
	}
	for _, d := range c.Calls {
		m.Calls = append(m.Calls, toolCall{ID: d.ID, Type: "function", Function: functionCall{d.Name, d.Arguments}})
	}
	return m
}

type chatDelta struct {
	Role      string     `json:"role,omitempty"`
	Content   *string    `json:"content,omitempty"`
	Reasoning string     `json:"reasoning_content,omitempty"`
	Calls     []toolCall `json:"tool_calls,omitempty"`
}

type chatPiece struct {
	Index    int               `json:"index"`
	Delta    chatDelta         `json:"delta"`
	Logprobs *chatLogprobs     `json:"logprobs"`
	Finish   *sdk.FinishReason `json:"finish_reason"`
	TokenIDs *[]int32          `json:"token_ids,omitempty"`
}

type chatChunk struct {
	head
	Choices   []chatPiece `json:"choices"`
	Usage     any         `json:"usage,omitempty"`
	PromptIDs *[]int32    `json:"prompt_token_ids,omitempty"`
}

func (f *chatForm) Piece(a *answer.Answer, p answer.Piece) []answer.Event {
	if f.reach(a, p); !f.shows(p) {
		return nil
	}
	d := chatDelta{Reasoning: p.Reasoning}
	if p.Text != "" || p.Opens {
		d.Content = &p.Text
	}
	for _, c := range answer.Joined(nil, p.Calls) { // clients add up the chunks, and raise at two entries of one call in one of them
		d.Calls = append(d.Calls, pieceOf(c))
	}
	out := chatChunk{head: f.head(a, f.object), Usage: f.tail(p.Choice)}
	if p.Opens {
		d.Role, out.PromptIDs = "assistant", f.tokenIDs(p.Prompt)
	}
	out.Choices = []chatPiece{{Index: p.Choice, Delta: d, Logprobs: newChatLogprobs(p.Scored), Finish: reason(p), TokenIDs: f.tokenIDs(p.IDs)}}
	return []answer.Event{{Data: out}}
}

// reason is why a choice ended, nil before that.
func reason(p answer.Piece) *sdk.FinishReason {
	if p.Finish == nil {
		return nil
	}
	return &p.Finish.Reason
}

func pieceOf(d sdk.ToolCallDelta) toolCall {
	c := toolCall{Index: &d.Index, ID: d.ID, Function: functionCall{d.Name, d.Arguments}}
	if d.ID != "" {
		c.Type = "function"
	}
	return c
}
