// chatform.go has the JSON of /v1/chat/completions, whole and in pieces.
package api

import "github.com/inference-pio/inference-pio/sdk"

type chatForm struct{}

func (chatForm) prefix() string      { return "chatcmpl-" }
func (chatForm) object() string      { return "chat.completion.chunk" }
func (chatForm) promptField() string { return "messages" }

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

func (chatForm) whole(a *answer, list []collected) any {
	choices := make([]chatChoice, len(list))
	for i := range list {
		c := &list[i]
		choices[i] = chatChoice{
			Index: i, Message: c.message(), Logprobs: newChatLogprobs(c.scored), Finish: c.finish, TokenIDs: a.tokenIDs(c.ids),
		}
	}
	return struct {
		head
		Choices   []chatChoice `json:"choices"`
		Usage     *usage       `json:"usage"`
		Timings   timings      `json:"timings"`
		PromptIDs *[]int32     `json:"prompt_token_ids,omitempty"`
	}{a.head("chat.completion"), choices, &a.tally.usage, a.tally.timings(), a.tokenIDs(list[0].prompt)}
}

func (c *collected) message() chatMessage {
	m := chatMessage{Role: "assistant", Reasoning: c.reasoning.String()}
	if text := c.text.String(); text != "" || len(c.calls) == 0 {
		m.Content = &text
	}
	for _, d := range c.calls {
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

func (f chatForm) chunk(a *answer, p piece) (any, bool) {
	if p.empty() {
		return nil, false
	}
	d := chatDelta{Reasoning: p.reasoning}
	if p.text != "" || p.opens {
		d.Content = &p.text
	}
	for _, c := range joined(nil, p.calls) { // clients add up the chunks, and raise at two entries of one call in one of them
		d.Calls = append(d.Calls, pieceOf(c))
	}
	out := chatChunk{head: a.head(f.object()), Usage: a.tail(p.choice)}
	if p.opens {
		d.Role, out.PromptIDs = "assistant", a.tokenIDs(p.prompt)
	}
	out.Choices = []chatPiece{{Index: p.choice, Delta: d, Logprobs: newChatLogprobs(p.scored), Finish: p.finish, TokenIDs: a.tokenIDs(p.ids)}}
	return out, true
}

func pieceOf(d sdk.ToolCallDelta) toolCall {
	c := toolCall{Index: &d.Index, ID: d.ID, Function: functionCall{d.Name, d.Arguments}}
	if d.ID != "" {
		c.Type = "function"
	}
	return c
}
