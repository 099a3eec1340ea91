// prompt.go turns a request into the ids that the model reads.

package text

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"unicode/utf8"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/chat"
)

// Prompt returns the ids of a request's prompt, rendered and encoded, with one id for each picture; those of a resumed one
// are given.
func (m *Model) Prompt(ctx context.Context, req sdk.GenerateRequest) ([]int32, error) {
	return m.prompt(ctx, req, math.MaxInt)
}

// largeText is beyond what models take: a book of a million words has six million bytes.
const largeText = 8 << 20

// prompt is Prompt for a context of so many positions: what is certain not to fit is not tokenized.
func (m *Model) prompt(ctx context.Context, req sdk.GenerateRequest, positions int) ([]int32, error) {
	if err := exactlyOne(req); err != nil {
		return nil, err
	}
	field, words := "prompt", req.Text
	switch {
	case req.Resume != nil:
		return req.Resume.Prompt, nil
	case req.Tokens != nil:
		return req.Tokens, nil
	case req.Chat != nil:
		rendered, err := m.Render(ctx, *req.Chat)
		if err != nil {
			return nil, err
		}
		field, words = "messages", rendered
	case m.tokenizer == nil:
		return nil, errNoTokenizer("prompt")
	case !utf8.ValidString(req.Text):
		return nil, invalid("prompt", "the prompt is not valid UTF-8")
	}
	if n := m.tokenizer.AtLeast(words); n >= positions {
		forget(words)
		return nil, sdk.Errorf(sdk.ReasonContext, "the prompt has at least %d tokens; the context holds %d, with room for at least one token of the answer", n, positions)
	}
	return m.encode(ctx, field, words)
}

// TokenizeWithin is Tokenize for a context of so many positions that the text has to itself: what is certain not to fit is refused
// before it is tokenized.
func (m *Model) TokenizeWithin(ctx context.Context, text string, positions int) ([]int32, error) {
	if m.tokenizer == nil {
		return nil, errNoTokenizer("text")
	}
	if n := m.tokenizer.AtLeast(text); n > positions {
		forget(text)
		return nil, sdk.Errorf(sdk.ReasonContext, "the text has at least %d tokens; the context holds %d", n, positions)
	}
	return m.encode(ctx, "text", text)
}

// forget makes room after a refusal: such requests come in floods, and what one has taken is not there when the next takes it.
func forget(text string) {
	if len(text) > largeText {
		runtime.GC()
	}
}

func exactlyOne(req sdk.GenerateRequest) error {
	n := 0
	for _, given := range []bool{req.HasText || req.Text != "", req.Tokens != nil, req.Chat != nil} {
		if given {
			n++
		}
	}
	if n == 1 || n == 0 && req.Resume != nil {
		return nil
	}
	return invalid("prompt", "a request has exactly one of text, tokens and chat; this one has %d", n)
}

// Render writes a chat as the checkpoint's template has it, up to where the model's turn begins.
func (m *Model) Render(ctx context.Context, c sdk.Chat) (string, error) {
	if err := m.blind(c.Images); err != nil { // before the template stumbles over a part that it does not know
		return "", err
	}
	if m.tokenizer == nil {
		return "", errNoTokenizer("messages")
	}
	if m.template == nil {
		return "", sdk.Errorf(sdk.ReasonTemplate, "the checkpoint has no chat template; send a prompt of text or token ids instead")
	}
	if err := checkChat(c); err != nil {
		return "", err
	}
	c, said, err := m.begun(c)
	if err != nil {
		return "", err
	}
	rendered, err := m.template.Render(ctx, chat.Input{Messages: c.Messages, Tools: c.Tools, Kwargs: c.Kwargs, AddGenerationPrompt: true})
	var refused *chat.TemplateError
	var wrong *chat.RequestError
	switch {
	case err != nil && ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &wrong):
		return "", invalid(wrong.Field, "%s", wrong.Message)
	case errors.As(err, &refused):
		return "", sdk.Errorf(sdk.ReasonTemplate, "the chat template refused the messages: %w", refused)
	case err != nil:
		return "", sdk.Errorf(sdk.ReasonTemplate, "the chat template could not be rendered: %w", err)
	}
	if err := m.heedsThinking(c.Kwargs, rendered); err != nil || said == "" {
		return rendered, err
	}
	return rendered + m.closing(rendered) + said, nil
}

// checkChat looks at the outside of what the client sent; the template sees to the rest.
func checkChat(c sdk.Chat) error {
	var messages []struct { // whatever else they have is skipped, not copied
		Role isString `json:"role"`
	}
	if !starts(c.Messages, '[') {
		return invalid("messages", "messages must be an array of objects")
	}
	var wrong *json.UnmarshalTypeError
	switch err := json.Unmarshal(c.Messages, &messages); {
	case errors.As(err, &wrong): // one that is no object: it has no role
	case err != nil:
		return invalid("messages", "messages must be an array of objects")
	case len(messages) == 0:
		return invalid("messages", "messages is empty; a chat has at least one")
	}
	for i, message := range messages {
		if !message.Role {
			return invalid("messages", "messages[%d] must be an object with a role, which is a string", i)
		}
	}
	var tools []map[string]json.RawMessage
	if given(c.Tools) && (!starts(c.Tools, '[') || json.Unmarshal(c.Tools, &tools) != nil) {
		return invalid("tools", "tools must be an array of objects")
	}
	var kwargs map[string]json.RawMessage
	if given(c.Kwargs) && (!starts(c.Kwargs, '{') || json.Unmarshal(c.Kwargs, &kwargs) != nil) {
		return invalid("chat_template_kwargs", "chat_template_kwargs must be an object")
	}
	return nil
}

// isString is read from any JSON value, and kept of it is what it is.
type isString bool

func (s *isString) UnmarshalJSON(text []byte) error {
	*s = text[0] == '"'
	return nil
}

func starts(text json.RawMessage, with byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	return len(text) > 0 && text[0] == with
}

func given(text json.RawMessage) bool {
	return len(text) > 0 && string(bytes.TrimSpace(text)) != "null"
}
