// prompts.go reads raw prompts: text, or ids.
package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// readPrompts takes a text, a list of texts, one prompt as token ids, or a list of those.
func readPrompts(r *request, v json.RawMessage) (err error) {
	r.prompts, err = promptList(v, maxPrompts, fmt.Sprintf("a text, a list of texts, a list of token ids, or a list of such lists, at most %d prompts, none without tokens", maxPrompts))
	return err
}

func promptList(v json.RawMessage, most int, expected string) ([]prompt, error) {
	if s, err := text(v); err == nil {
		return []prompt{{text: s}}, nil
	}
	first, ok := firstOf(v)
	if !ok {
		return nil, wrong(v, expected)
	}
	if first != '"' && first != '[' {
		ids, err := tokenIDs(v)
		return []prompt{{tokens: ids}}, err
	}
	var list []prompt
	for at := range elements(v, 0) {
		p, err := readPrompt(v[at.from:at.to])
		if err != nil || len(list) == most {
			return nil, wrong(v, expected)
		}
		list = append(list, p)
	}
	return list, nil
}

// firstOf is what the first element of an array begins with, false if there is none.
func firstOf(v json.RawMessage) (byte, bool) {
	for at := range elements(v, 0) {
		return v[at.from], true
	}
	return 0, false
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
	if _, ok := firstOf(v); !ok {
		return nil, wrong(v, "a list of at least one token id")
	}
	list := make([]int32, 0, 1+bytes.Count(v, []byte(",")))
	for at := range elements(v, 0) {
		id, err := strconv.ParseInt(string(v[at.from:at.to]), 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("has no token id at place %d; expected integers from 0 on", len(list))
		}
		list = append(list, int32(id))
	}
	return list, nil
}
