// messages.go reads a conversation, whose messages are lists of blocks. What came of a tool is a block of the user's here, and a turn of
// its own for a template.
package anthropic

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

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
		path := fmt.Sprintf("messages[%d]", i)
		i++
		m := json.RawMessage(v[at.From:at.To])
		if m[0] != '{' {
			return body.In(path, body.Wrong(m, expected))
		}
		role, err := body.TextAt(m, "role")
		if err != nil || role != "user" && role != "assistant" && role != "system" {
			return body.In(path+".role", fmt.Errorf("is %q; expected user, assistant or system", body.Clip(role)))
		}
		content, _ := body.FieldAt(m, "content")
		turns, err := readContent(role, path+".content", content)
		if err != nil {
			return err
		}
		r.turns = append(r.turns, turns...)
	}
	return nil
}

// readSystem takes a text or a list of texts.
func readSystem(r *request, v json.RawMessage) error {
	turns, err := readContent("system", "system", v)
	for _, t := range turns {
		r.system = append(r.system, t.Parts...)
	}
	return err
}

// readContent takes a message's text or blocks. A user's message becomes several turns if there is in it what came of tools.
func readContent(role, path string, v json.RawMessage) ([]answer.Turn, error) {
	if s, err := body.Text(v); err == nil {
		return []answer.Turn{{Role: role, Parts: []answer.Part{{Text: s}}}}, nil
	}
	if len(v) == 0 || v[0] != '[' {
		return nil, body.In(path, body.Wrong(v, `a text, or a list of blocks such as {"type": "text", "text": "Hello"}`))
	}
	b := &blocks{role: role}
	i := 0
	for at := range body.Elements(v, 0) {
		block := json.RawMessage(v[at.From:at.To])
		where := fmt.Sprintf("%s[%d]", path, i)
		if block[0] != '{' {
			return nil, body.In(where, body.Wrong(block, `a block such as {"type": "text", "text": "Hello"}`))
		}
		if err := b.add(where, block); err != nil {
			return nil, err
		}
		i++
	}
	if len(b.turns) == 0 { // a message is a turn, also one without blocks
		b.turn(role)
	}
	return b.turns, nil
}

// blocks collects the turns of one message.
type blocks struct {
	role  string
	turns []answer.Turn
}

// turn is the last one, if it is of that role, else a new one.
func (b *blocks) turn(role string) *answer.Turn {
	if n := len(b.turns); n == 0 || b.turns[n-1].Role != role {
		b.turns = append(b.turns, answer.Turn{Role: role})
	}
	return &b.turns[len(b.turns)-1]
}

func (b *blocks) add(path string, v json.RawMessage) error {
	kind, err := body.TextAt(v, "type")
	if err != nil {
		return body.In(path+".type", err)
	}
	switch {
	case kind == "tool_result" && b.role == "user":
		return b.result(path, v)
	case kind == "tool_use" && b.role == "assistant":
		return b.use(path, v)
	case kind == "thinking" && b.role == "assistant":
		thought, err := body.TextAt(v, "thinking")
		if err != nil {
			return body.In(path+".thinking", err)
		}
		t := b.turn(b.role)
		if t.Reasoning != "" && thought != "" {
			t.Reasoning += "\n\n"
		}
		t.Reasoning += thought
		return nil
	case kind == "redacted_thinking" && b.role == "assistant": // by another's model, for its eyes alone
		return nil
	}
	parts, err := readParts(path, kind, v)
	if err != nil {
		return err
	}
	t := b.turn(b.role)
	t.Parts = append(t.Parts, parts...)
	return nil
}

// use is a call that the model made.
func (b *blocks) use(path string, v json.RawMessage) error {
	var u struct {
		ID, Name string
		Input    json.RawMessage
	}
	if json.Unmarshal(v, &u) != nil || u.ID == "" || u.Name == "" || body.Given(u.Input) && u.Input[0] != '{' {
		return body.In(path, errors.New(`is no call; expected {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}`))
	}
	arguments := "{}"
	if body.Given(u.Input) {
		arguments = body.Compact(u.Input)
	}
	t := b.turn(b.role)
	t.Calls = append(t.Calls, answer.Call{ID: u.ID, Name: u.Name, Arguments: arguments})
	return nil
}

// result is what came of a call.
func (b *blocks) result(path string, v json.RawMessage) error {
	id, err := body.TextAt(v, "tool_use_id")
	if err != nil || id == "" {
		return body.In(path+".tool_use_id", errors.New("is missing; expected the id of the call"))
	}
	t := answer.Turn{Role: "tool", CallID: id}
	content, _ := body.FieldAt(v, "content")
	switch {
	case !body.Given(content):
	case content[0] == '"':
		text, _ := body.Text(content)
		t.Say(text)
	case content[0] == '[':
		if t.Parts, err = readList(path+".content", content); err != nil {
			return err
		}
	default:
		return body.In(path+".content", body.Wrong(content, "a text, or a list of blocks"))
	}
	b.turns = append(b.turns, t)
	return nil
}

// readList takes blocks that are shown, one after the other.
func readList(path string, v json.RawMessage) (all []answer.Part, err error) {
	i := 0
	for at := range body.Elements(v, 0) {
		block, where := json.RawMessage(v[at.From:at.To]), fmt.Sprintf("%s[%d]", path, i)
		i++
		if block[0] != '{' {
			return nil, body.In(where, body.Wrong(block, `a block such as {"type": "text", "text": "Hello"}`))
		}
		kind, err := body.TextAt(block, "type")
		if err != nil {
			return nil, body.In(where+".type", err)
		}
		parts, err := readParts(where, kind, block)
		if err != nil {
			return nil, err
		}
		all = append(all, parts...)
	}
	return all, nil
}

// readParts takes a block that is shown: text, a picture, or a document of texts.
func readParts(path, kind string, v json.RawMessage) ([]answer.Part, error) {
	switch kind {
	case "text":
		value, _ := body.FieldAt(v, "text")
		text, err := body.Text(value)
		if err != nil {
			return nil, body.In(path+".text", errors.New("is no string"))
		}
		return []answer.Part{{Text: text}}, nil
	case "image":
		p, err := readImage(path+".source", v)
		return []answer.Part{{Picture: &p}}, err
	case "document":
		return readDocument(path+".source", v)
	case "search_result":
		return readSearchResult(path, v)
	case "tool_reference": // of a tool that the client would have found
		name, err := body.TextAt(v, "tool_name")
		if err != nil {
			return nil, body.In(path+".tool_name", err)
		}
		return []answer.Part{{Text: name}}, nil
	}
	return nil, body.In(path+".type", fmt.Errorf("is %q, which this host does not take there; expected text, image, tool_use, tool_result or thinking", body.Clip(kind)))
}

// readImage takes a picture that is sent along, or its URL.
func readImage(path string, v json.RawMessage) (answer.Picture, error) {
	s, err := readSource(path, v)
	switch {
	case err != nil:
		return answer.Picture{}, err
	case s.Type == "base64" && s.Data != "":
		return answer.Picture{Path: path, URL: "data:" + s.MediaType + ";base64," + s.Data}, nil
	case s.Type == "url" && s.URL != "":
		return answer.Picture{Path: path, URL: s.URL}, nil
	}
	return answer.Picture{}, body.In(path, errors.New(`is no picture; expected {"type": "base64", "media_type": "image/png", "data": "..."} or {"type": "url", "url": "..."}`))
}

// source is where a block's content is.
type source struct {
	Type, Data, URL string
	MediaType       string `json:"media_type"`
	Content         json.RawMessage
}

func readSource(path string, v json.RawMessage) (s source, err error) {
	value, _ := body.FieldAt(v, "source")
	if len(value) == 0 || json.Unmarshal(value, &s) != nil {
		return s, body.In(path, errors.New("is missing, or no object"))
	}
	if strings.ContainsAny(s.MediaType, ";,") || len(s.MediaType) > 100 {
		return s, body.In(path+".media_type", errors.New("is no media type"))
	}
	return s, nil
}

// readDocument takes texts. What else a document can be would have to be read by somebody.
func readDocument(path string, v json.RawMessage) ([]answer.Part, error) {
	s, err := readSource(path, v)
	switch {
	case err != nil:
		return nil, err
	case s.Type == "text":
		return []answer.Part{{Text: s.Data}}, nil
	case s.Type == "content" && len(s.Content) > 0 && s.Content[0] == '"':
		text, _ := body.Text(s.Content)
		return []answer.Part{{Text: text}}, nil
	case s.Type == "content" && len(s.Content) > 0 && s.Content[0] == '[':
		return readList(path+".content", s.Content)
	}
	return nil, body.In(path, fmt.Errorf("is of the type %q; this host takes documents of the types text and content: send the words of others as text", body.Clip(s.Type)))
}

// readSearchResult takes what the client has found: where, and the words.
func readSearchResult(path string, v json.RawMessage) ([]answer.Part, error) {
	var r struct{ Title, Source string }
	content, _ := body.FieldAt(v, "content")
	if json.Unmarshal(v, &r) != nil || len(content) == 0 || content[0] != '[' {
		return nil, body.In(path, errors.New(`is no search_result; expected {"type": "search_result", "title": "...", "source": "...", "content": [{"type": "text", "text": "..."}]}`))
	}
	parts, err := readList(path+".content", content)
	return append([]answer.Part{{Text: r.Title + "\n" + r.Source}}, parts...), err
}
