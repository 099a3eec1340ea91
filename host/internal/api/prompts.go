// prompts.go reads raw prompts: text, or ids.
package api

import (
	"encoding/json"
	"fmt"
	"math"
)

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
