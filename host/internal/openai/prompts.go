// prompts.go reads raw prompts: text, or ids.
package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
)

// readPrompts takes a text, a list of texts, one prompt as token ids, or a list of those.
func readPrompts(r *request, v json.RawMessage) (err error) {
	r.Prompts, err = promptList(v, maxPrompts, fmt.Sprintf("a text, a list of texts, a list of token ids, or a list of such lists, at most %d prompts, none without tokens", maxPrompts))
	return err
}

func promptList(v json.RawMessage, most int, expected string) ([]answer.Prompt, error) {
	if s, err := body.Text(v); err == nil {
		return []answer.Prompt{{Text: s}}, nil
	}
	first, ok := body.FirstOf(v)
	if !ok {
		return nil, body.Wrong(v, expected)
	}
	if first != '"' && first != '[' {
		ids, err := tokenIDs(v)
		return []answer.Prompt{{Tokens: ids}}, err
	}
	var list []answer.Prompt
	for at := range body.Elements(v, 0) {
		p, err := readPrompt(v[at.From:at.To])
		if err != nil || len(list) == most {
			return nil, body.Wrong(v, expected)
		}
		list = append(list, p)
	}
	return list, nil
}

func readPrompt(v json.RawMessage) (answer.Prompt, error) {
	if s, err := body.Text(v); err == nil {
		return answer.Prompt{Text: s}, nil
	}
	ids, err := tokenIDs(v)
	return answer.Prompt{Tokens: ids}, err
}

// tokenIDs takes a list of ids; whether the vocabulary has them is for the plugin to say.
func tokenIDs(v json.RawMessage) ([]int32, error) {
	if _, ok := body.FirstOf(v); !ok {
		return nil, body.Wrong(v, "a list of at least one token id")
	}
	list := make([]int32, 0, 1+bytes.Count(v, []byte(",")))
	for at := range body.Elements(v, 0) {
		id, err := strconv.ParseInt(string(v[at.From:at.To]), 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("has no token id at place %d; expected integers from 0 on", len(list))
		}
		list = append(list, int32(id))
	}
	return list, nil
}
