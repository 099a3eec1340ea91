// input.go reads the items of the turns before: messages, calls and what came of them, and what the model thought.
package responses

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

func readInput(r *request, v json.RawMessage) error {
	if s, err := body.Text(v); err == nil {
		r.turns = []answer.Turn{{Role: "user", Parts: []answer.Part{{Text: s}}}}
		return nil
	}
	const expected = `a text, or a list of at least one item such as {"role": "user", "content": "Hello"}`
	if _, ok := body.FirstOf(v); !ok {
		return body.Wrong(v, expected)
	}
	if err := body.NotTooMany(v); err != nil {
		return err
	}
	i := 0
	for at := range body.Elements(v, 0) {
		item := json.RawMessage(v[at.From:at.To])
		path := fmt.Sprintf("input[%d]", i)
		if item[0] != '{' {
			return body.In(path, body.Wrong(item, expected))
		}
		if err := r.item(path, item); err != nil {
			return err
		}
		i++
	}
	return nil
}

// item adds one to the conversation.
func (r *request) item(path string, v json.RawMessage) error {
	kind, err := body.TextAt(v, "type")
	if err != nil {
		return body.In(path+".type", err)
	}
	switch kind {
	case "", "message":
		return r.message(path, v)
	case "function_call", "custom_tool_call":
		return r.call(path, kind, v)
	case "function_call_output", "custom_tool_call_output":
		return r.output(path, v)
	case "reasoning":
		return r.reasoning(path, v)
	case "item_reference":
		return body.In(path, errors.New("refers to an item, but this host keeps none; send the item itself"))
	}
	return body.In(path+".type", fmt.Errorf("is %q; expected message, function_call, custom_tool_call, the output of one, or reasoning", body.Clip(kind)))
}

var roles = []string{"user", "assistant", "system", "developer"}

func (r *request) message(path string, v json.RawMessage) error {
	role, err := body.TextAt(v, "role")
	if err != nil || !slices.Contains(roles, role) {
		return body.In(path+".role", fmt.Errorf("is %q; expected %s", body.Clip(role), strings.Join(roles, ", ")))
	}
	content, _ := body.FieldAt(v, "content")
	parts, err := readParts(path+".content", content)
	if err != nil {
		return err
	}
	if role == "assistant" {
		t := r.assistant(func(t *answer.Turn) bool { return len(t.Parts) == 0 && len(t.Calls) == 0 })
		t.Parts = parts
		return nil
	}
	r.turns = append(r.turns, answer.Turn{Role: role, Parts: parts})
	return nil
}

// assistant is the model's turn under way if it takes more, else a new one: thoughts, words and calls of one answer are items of their own.
func (r *request) assistant(takes func(*answer.Turn) bool) *answer.Turn {
	if n := len(r.turns); n > 0 && r.turns[n-1].Role == "assistant" && takes(&r.turns[n-1]) {
		return &r.turns[n-1]
	}
	r.turns = append(r.turns, answer.Turn{Role: "assistant"})
	return &r.turns[len(r.turns)-1]
}

func (r *request) call(path, kind string, v json.RawMessage) error {
	var c struct {
		CallID           string `json:"call_id"`
		Name, Namespace  string
		Arguments, Input string
	}
	if json.Unmarshal(v, &c) != nil || c.Name == "" || c.CallID == "" {
		return body.In(path, errors.New(`is no call; expected {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}`))
	}
	text, custom := c.Arguments, kind == "custom_tool_call"
	if custom {
		text = c.Input
	}
	call, err := called{custom, c.Namespace, c.Name}.asked(c.CallID, text)
	if err != nil {
		return err
	}
	t := r.assistant(func(*answer.Turn) bool { return true })
	t.Calls = append(t.Calls, call)
	return nil
}

func (r *request) output(path string, v json.RawMessage) error {
	id, err := body.TextAt(v, "call_id")
	if err != nil || id == "" {
		return body.In(path+".call_id", errors.New("is missing; expected that of the call"))
	}
	output, _ := body.FieldAt(v, "output")
	parts, err := readParts(path+".output", output)
	if err != nil {
		return err
	}
	r.turns = append(r.turns, answer.Turn{Role: "tool", CallID: id, Parts: parts})
	return nil
}

// reasoning takes what was thought, of which the summary is all where it came from here.
func (r *request) reasoning(path string, v json.RawMessage) error {
	var item struct{ Summary, Content []struct{ Text string } }
	if json.Unmarshal(v, &item) != nil {
		return body.In(path, errors.New(`is no reasoning item; expected {"type": "reasoning", "summary": [{"type": "summary_text", "text": "..."}]}`))
	}
	thoughts := item.Content
	if len(thoughts) == 0 {
		thoughts = item.Summary
	}
	var texts []string
	for _, t := range thoughts {
		texts = append(texts, t.Text)
	}
	t := r.assistant(func(t *answer.Turn) bool { return t.Reasoning == "" && len(t.Parts) == 0 && len(t.Calls) == 0 })
	t.Reasoning = strings.Join(texts, "\n\n")
	return nil
}

// readParts takes content: a text, or a list of texts and pictures.
func readParts(path string, v json.RawMessage) ([]answer.Part, error) {
	if !body.Given(v) {
		return nil, nil
	}
	if s, err := body.Text(v); err == nil {
		return []answer.Part{{Text: s}}, nil
	}
	if v[0] != '[' {
		return nil, body.In(path, body.Wrong(v, `a text, or a list of parts such as {"type": "input_text", "text": "Hello"}`))
	}
	var parts []answer.Part
	for at := range body.Elements(v, 0) {
		p, err := readPart(fmt.Sprintf("%s[%d]", path, len(parts)), v[at.From:at.To])
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func readPart(path string, v json.RawMessage) (answer.Part, error) {
	if v[0] != '{' {
		return answer.Part{}, body.In(path, body.Wrong(v, `a part such as {"type": "input_text", "text": "Hello"}`))
	}
	kind, err := body.TextAt(v, "type")
	if err != nil {
		return answer.Part{}, body.In(path+".type", err)
	}
	key := "text"
	switch kind {
	case "input_text", "output_text", "text":
	case "refusal":
		key = "refusal"
	case "input_image":
		return readImage(path, v)
	case "input_file":
		return answer.Part{}, body.In(path, errors.New("is a file, which this host does not take; expected input_text or input_image"))
	case "input_audio":
		return answer.Part{}, body.In(path, errors.New("is sound, which this host does not take; expected input_text or input_image"))
	default:
		return answer.Part{}, body.In(path+".type", fmt.Errorf("is %q; expected input_text, output_text or input_image", body.Clip(kind)))
	}
	value, _ := body.FieldAt(v, key)
	text, err := body.Text(value)
	if err != nil {
		return answer.Part{}, body.In(path+"."+key, errors.New("is no string"))
	}
	return answer.Part{Text: text}, nil
}

// readImage takes a picture by its URL: this host keeps no files.
func readImage(path string, v json.RawMessage) (answer.Part, error) {
	url, err := body.TextAt(v, "image_url")
	if err != nil || url == "" {
		return answer.Part{}, body.In(path+".image_url", errors.New(`is missing; expected a URL such as "data:image/png;base64,..." (this host keeps no files)`))
	}
	return answer.Part{Picture: &answer.Picture{Path: path + ".image_url", URL: url}}, nil
}
