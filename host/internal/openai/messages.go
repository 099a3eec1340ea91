// messages.go reads a conversation: checked from outside, but kept as it was sent, since what roles and fields mean is
// the chat template's business.
package openai

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

func readMessages(r *request, v json.RawMessage) error {
	const expected = `a list of at least one message, such as [{"role": "user", "content": "Hello"}]`
	if _, ok := body.FirstOf(v); !ok {
		return body.Wrong(v, expected)
	}
	i := 0
	for at := range body.Elements(v, 0) {
		if v[at.From] != '{' {
			return body.Wrong(v, expected)
		}
		if field, err := checkMessage(v[at.From:at.To]); err != nil {
			return body.In(fmt.Sprintf("messages[%d].%s", i, field), err)
		}
		i++
	}
	words, pictures, err := splitPictures(v)
	r.ChatOf().Messages, r.Pictures = words, pictures
	return err
}

// checkMessage returns the field that is wrong, and how. A template may know others than those that are looked at.
func checkMessage(m json.RawMessage) (field string, err error) {
	role, _ := body.FieldAt(m, "role")
	if name, err := body.Text(role); err != nil && body.Given(role) {
		return "role", err
	} else if name == "" {
		return "role", errors.New("is missing; expected user, assistant, system or tool")
	}
	for _, key := range []string{"reasoning_content", "tool_call_id"} {
		if value, _ := body.FieldAt(m, key); body.Given(value) && value[0] != '"' {
			return key, body.Wrong(value, "a string")
		}
	}
	calls, _ := body.FieldAt(m, "tool_calls")
	return checkCalls(calls)
}

// checkCalls looks at the calls of an assistant's turn, as this host once answered them.
func checkCalls(v json.RawMessage) (field string, err error) {
	if !body.Given(v) {
		return "", nil
	}
	var list []struct {
		Function struct {
			Name      string          `json:"name"`
			Arguments json.RawMessage `json:"arguments"`
		} `json:"function"`
	}
	if json.Unmarshal(v, &list) != nil {
		return "tool_calls", body.Wrong(v, `a list of calls such as {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}`)
	}
	for i, c := range list {
		path := fmt.Sprintf("tool_calls[%d].function.", i)
		if c.Function.Name == "" {
			return path + "name", errors.New("is missing")
		}
		if a := c.Function.Arguments; body.Given(a) && a[0] != '"' && a[0] != '{' {
			return path + "arguments", body.Wrong(a, "a string that holds a JSON object")
		}
	}
	return "", nil
}

func kwargs(r *request, v json.RawMessage) error { return answer.ReadKwargs(&r.Request, v) }

func readGenerationPrompt(r *request, v json.RawMessage) error { return readNot(v, &r.unprompted) }

func readContinue(r *request, v json.RawMessage) (err error) {
	r.begun, err = body.Boolean(v)
	return err
}
