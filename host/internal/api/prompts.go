// prompts.go reads what a model is asked: messages (checked, but kept as they were sent) and raw prompts.
package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// readMessages checks the shape of a conversation. What roles and contents mean is the chat template's business.
func readMessages(r *request, v json.RawMessage) error {
	var list []struct {
		Role    *string         `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(v, &list) != nil || len(list) == 0 {
		return wrong(v, `a list of at least one message, such as [{"role": "user", "content": "Hello"}]`)
	}
	for i, m := range list {
		if m.Role == nil || *m.Role == "" {
			return &fieldError{fmt.Sprintf("messages[%d].role", i), errors.New("is missing; expected user, assistant, system or tool")}
		}
		if err := checkContent(m.Content); err != nil {
			return &fieldError{fmt.Sprintf("messages[%d].content", i), err}
		}
	}
	r.chatOf().Messages = v
	return nil
}

// checkContent takes a string, null, or a list of text parts.
func checkContent(v json.RawMessage) error {
	const expected = `a string or a list of parts such as {"type": "text", "text": "Hello"}`
	if len(v) == 0 || isNull(v) || v[0] == '"' {
		return nil
	}
	var parts []struct {
		Type string  `json:"type"`
		Text *string `json:"text"`
	}
	if json.Unmarshal(v, &parts) != nil {
		return wrong(v, expected)
	}
	for i, p := range parts {
		switch {
		case p.Type == "text" && p.Text != nil:
		case p.Type == "text":
			return fmt.Errorf("has no text in part %d; expected %s", i, expected)
		default:
			return fmt.Errorf("has a part %d of type %q; this host takes only parts of type text yet", i, clip(p.Type))
		}
	}
	return nil
}

// readPrompts takes a text, a list of texts, one prompt as token ids, or a list of those.
func readPrompts(r *request, v json.RawMessage) error {
	const expected = "a text, a list of texts, a list of token ids, or a list of such lists, at most 128 prompts, none without tokens"
	if s, err := text(v); err == nil {
		r.prompts = []prompt{{text: s}}
		return nil
	}
	var list []json.RawMessage
	if json.Unmarshal(v, &list) != nil || len(list) == 0 {
		return wrong(v, expected)
	}
	if list[0][0] != '"' && list[0][0] != '[' {
		ids, err := tokenIDs(v)
		r.prompts = []prompt{{tokens: ids}}
		return err
	}
	if len(list) > maxPrompts {
		return wrong(v, expected)
	}
	for _, item := range list {
		p, err := readPrompt(item)
		if err != nil {
			return wrong(v, expected)
		}
		r.prompts = append(r.prompts, p)
	}
	return nil
}

func readPrompt(v json.RawMessage) (prompt, error) {
	if s, err := text(v); err == nil {
		return prompt{text: s}, nil
	}
	ids, err := tokenIDs(v)
	return prompt{tokens: ids}, err
}

// tokenIDs takes a list of ids; whether the vocabulary has them is for the plugin to say.
func tokenIDs(v json.RawMessage) ([]int32, error) {
	var ids []*int64 // pointers tell null from 0
	if json.Unmarshal(v, &ids) != nil || len(ids) == 0 {
		return nil, wrong(v, "a list of at least one token id")
	}
	list := make([]int32, len(ids))
	for i, id := range ids {
		if id == nil || *id < 0 || *id > math.MaxInt32 {
			return nil, fmt.Errorf("has no token id at place %d; expected integers from 0 on", i)
		}
		list[i] = int32(*id)
	}
	return list, nil
}
