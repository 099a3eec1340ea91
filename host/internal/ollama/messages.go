// messages.go reads a conversation, in which calls have no names by which what came of them could be told apart: their order does.
package ollama

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

// said is a message as it is sent.
type said struct {
	Role, Content, Thinking string
	Images                  json.RawMessage
	Calls                   []saidCall `json:"tool_calls"`
	ToolName                string     `json:"tool_name"`
	CallID                  string     `json:"tool_call_id"`
}

type saidCall struct {
	ID       string
	Function struct {
		Name      string
		Arguments json.RawMessage
	}
}

var roles = []string{"user", "assistant", "system", "tool"}

func readMessages(r *request, v json.RawMessage) error {
	const expected = `a list of messages such as [{"role": "user", "content": "Hello"}]`
	if v[0] != '[' {
		return body.Wrong(v, expected)
	}
	for at := range body.Elements(v, 0) {
		path, text := fmt.Sprintf("messages[%d]", len(r.turns)), json.RawMessage(v[at.From:at.To])
		var m said
		if text[0] != '{' || json.Unmarshal(text, &m) != nil {
			return body.In(path, body.Wrong(text, expected))
		}
		t, err := r.turn(path, m)
		if err != nil {
			return err
		}
		r.turns = append(r.turns, t)
	}
	return nil
}

// turn is a message for a template, pictures before the words.
func (r *request) turn(path string, m said) (answer.Turn, error) {
	t := answer.Turn{Role: m.Role, Reasoning: m.Thinking}
	if !slices.Contains(roles, m.Role) {
		return t, body.In(path+".role", fmt.Errorf("is %q; expected user, assistant, system or tool", body.Clip(m.Role)))
	}
	pictures, err := readImages(path+".images", m.Images)
	if err != nil {
		return t, err
	}
	for _, p := range pictures {
		t.Show(p)
	}
	if m.Content != "" || len(pictures) == 0 {
		t.Say(m.Content)
	}
	for i, c := range m.Calls {
		arguments, ok := argumentsOf(c.Function.Arguments)
		if c.Function.Name == "" || !ok {
			return t, body.In(fmt.Sprintf("%s.tool_calls[%d].function", path, i), errors.New(`is no call; expected {"name": "get_weather", "arguments": {}}`))
		}
		if c.ID == "" {
			c.ID = fmt.Sprintf("call_%d_%d", len(r.turns), i)
		}
		t.Calls = append(t.Calls, answer.Call{ID: c.ID, Name: c.Function.Name, Arguments: arguments})
		r.waiting = append(r.waiting, c.ID)
	}
	if m.Role == "tool" {
		t.Name, t.CallID = m.ToolName, r.answered(m.CallID)
	}
	return t, nil
}

// answered is the id of the call that a result belongs to: the one that it names, or the first that waits.
func (r *request) answered(id string) string {
	if i := slices.Index(r.waiting, id); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
		return id
	}
	if id == "" && len(r.waiting) > 0 {
		id, r.waiting = r.waiting[0], r.waiting[1:]
	}
	return id
}

// argumentsOf takes an object, or a string that has one in it.
func argumentsOf(v json.RawMessage) (string, bool) {
	switch {
	case !body.Given(v):
		return "{}", true
	case v[0] == '{':
		return body.Compact(v), true
	}
	s, err := body.Text(v)
	return s, err == nil
}

// readImages takes pictures in base64.
func readImages(path string, v json.RawMessage) ([]answer.Picture, error) {
	if !body.Given(v) {
		return nil, nil
	}
	if v[0] != '[' {
		return nil, body.In(path, body.Wrong(v, "a list of pictures in base64"))
	}
	var list []answer.Picture
	for at := range body.Elements(v, 0) {
		where := fmt.Sprintf("%s[%d]", path, len(list))
		data, err := body.Text(v[at.From:at.To])
		if err != nil || data == "" {
			return nil, body.In(where, errors.New("is no picture; expected a file in base64"))
		}
		list = append(list, answer.Picture{Path: where, URL: "data:;base64," + data})
	}
	return list, nil
}
