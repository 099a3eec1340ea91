package main

import (
	"encoding/json"

	"github.com/inference-pio/inference-pio/sdk"
)

// promptIDs are the ids of a prompt in whichever form it came.
func promptIDs(req sdk.GenerateRequest) ([]int32, error) {
	if len(req.Stop) > 0 {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "stop: echo does not watch for stop strings")
	}
	if req.PromptLogprobs {
		return nil, &sdk.Error{Reason: sdk.ReasonInvalid, Field: "prompt_logprobs", Message: "echo does not know how likely a prompt is"}
	}
	if c := req.Chat; c != nil && len(c.Tools) > 0 && c.ToolChoice != "none" {
		return nil, &sdk.Error{Reason: sdk.ReasonInvalid, Field: "tools", Message: "echo calls no tools"}
	}
	switch {
	case req.Resume != nil:
		return req.Resume.Prompt, nil
	case req.Chat != nil:
		return lastMessage(req.Chat.Messages)
	case req.Tokens != nil:
		for _, id := range req.Tokens {
			if id >= vocabSize {
				return nil, sdk.Errorf(sdk.ReasonInvalid, "tokens: %d is not among the %d ids", id, vocabSize)
			}
		}
		return req.Tokens, nil
	}
	return ids(req.Text), nil
}

func ids(text string) []int32 {
	var out []int32
	for _, r := range text {
		out = append(out, r)
	}
	return out
}

// lastMessage stands for a chat template.
func lastMessage(raw json.RawMessage) ([]int32, error) {
	var messages []struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(raw, &messages); err != nil {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "messages: %w", err)
	}
	if len(messages) == 0 {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "messages: there are none")
	}
	return ids(messages[len(messages)-1].Content), nil
}
