// messages.go reads a conversation: checked from outside, but kept as it was sent, since what roles and fields mean is
// the chat template's business.
package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk"
)

// message has the fields that are looked at; a template may know others.
type message struct {
	Role      *string         `json:"role"`
	Reasoning json.RawMessage `json:"reasoning_content"`
	Calls     json.RawMessage `json:"tool_calls"`
	CallID    json.RawMessage `json:"tool_call_id"`
}

func readMessages(r *request, v json.RawMessage) error {
	var list []message
	if json.Unmarshal(v, &list) != nil || len(list) == 0 {
		return wrong(v, `a list of at least one message, such as [{"role": "user", "content": "Hello"}]`)
	}
	for i, m := range list {
		if field, err := m.check(); err != nil {
			return &fieldError{fmt.Sprintf("messages[%d].%s", i, field), err}
		}
	}
	words, pictures, err := splitPictures(v)
	r.chatOf().Messages, r.pictures = words, pictures
	return err
}

// check returns the field that is wrong, and how.
func (m *message) check() (field string, err error) {
	if m.Role == nil || *m.Role == "" {
		return "role", errors.New("is missing; expected user, assistant, system or tool")
	}
	if given(m.Reasoning) && m.Reasoning[0] != '"' {
		return "reasoning_content", wrong(m.Reasoning, "a string")
	}
	if given(m.CallID) && m.CallID[0] != '"' {
		return "tool_call_id", wrong(m.CallID, "a string")
	}
	return checkCalls(m.Calls)
}

func given(v json.RawMessage) bool { return len(v) > 0 && !isNull(v) }

// checkCalls looks at the calls of an assistant's turn, as this host once answered them.
func checkCalls(v json.RawMessage) (field string, err error) {
	if !given(v) {
		return "", nil
	}
	var list []struct {
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	if json.Unmarshal(v, &list) != nil {
		return "tool_calls", wrong(v, `a list of calls such as {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}`)
	}
	for i, c := range list {
		path := fmt.Sprintf("tool_calls[%d].function.", i)
		if c.Function.Name == "" {
			return path + "name", errors.New("is missing")
		}
		if a := c.Function.Arguments; given(a) && a[0] != '"' && a[0] != '{' {
			return path + "arguments", wrong(a, "a string that holds a JSON object")
		}
	}
	return "", nil
}

func readKwargs(r *request, v json.RawMessage) error {
	if v[0] != '{' {
		return wrong(v, `an object of template variables, such as {"enable_thinking": false}`)
	}
	r.chatOf().Kwargs = v
	return nil
}

func readGenerationPrompt(r *request, v json.RawMessage) error { return readNot(v, &r.unprompted) }

// settleKwargs tells the template not to open the model's turn, if the client said so. What is set last holds.
func (r *request) settleKwargs() {
	if !r.unprompted {
		return
	}
	body := bytes.TrimSuffix(bytes.TrimSpace(r.chat.Kwargs), []byte("}"))
	switch {
	case len(body) == 0:
		body = []byte("{")
	case len(bytes.TrimSpace(body)) > 1:
		body = append(bytes.Clone(body), ',')
	}
	r.chat.Kwargs = append(bytes.Clone(body), `"add_generation_prompt":false}`...)
}

func (r *request) chatOf() *sdk.Chat {
	if r.chat == nil {
		r.chat = &sdk.Chat{}
	}
	return r.chat
}
