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

func readMessages(r *request, v json.RawMessage) error {
	const expected = `a list of at least one message, such as [{"role": "user", "content": "Hello"}]`
	if _, ok := firstOf(v); !ok {
		return wrong(v, expected)
	}
	i := 0
	for at := range elements(v, 0) {
		if v[at.from] != '{' {
			return wrong(v, expected)
		}
		if field, err := checkMessage(v[at.from:at.to]); err != nil {
			return &fieldError{fmt.Sprintf("messages[%d].%s", i, field), err}
		}
		i++
	}
	words, pictures, err := splitPictures(v)
	r.chatOf().Messages, r.pictures = words, pictures
	return err
}

// checkMessage returns the field that is wrong, and how. A template may know others than those that are looked at.
func checkMessage(m json.RawMessage) (field string, err error) {
	role, _ := fieldAt(m, "role")
	if name, err := text(role); err != nil && given(role) {
		return "role", err
	} else if name == "" {
		return "role", errors.New("is missing; expected user, assistant, system or tool")
	}
	for _, key := range []string{"reasoning_content", "tool_call_id"} {
		if value, _ := fieldAt(m, key); given(value) && value[0] != '"' {
			return key, wrong(value, "a string")
		}
	}
	calls, _ := fieldAt(m, "tool_calls")
	return checkCalls(calls)
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

// setKwarg gives the template a variable. What is set last holds.
func (r *request) setKwarg(name, value string) {
	body := bytes.TrimSuffix(bytes.TrimSpace(r.chat.Kwargs), []byte("}"))
	switch {
	case len(body) == 0:
		body = []byte("{")
	case len(bytes.TrimSpace(body)) > 1:
		body = append(bytes.Clone(body), ',')
	}
	r.chat.Kwargs = append(bytes.Clone(body), `"`+name+`":`+value+`}`...)
}

func (r *request) chatOf() *sdk.Chat {
	if r.chat == nil {
		r.chat = &sdk.Chat{}
	}
	return r.chat
}
