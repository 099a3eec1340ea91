package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/inference-pio/inference-pio/sdk"
)

func cannot(field, message string) error {
	return &sdk.Error{Reason: sdk.ReasonInvalid, Field: field, Message: "echo " + message}
}

// refuseLoading names what a checkpoint cannot be loaded with.
func refuseLoading(req sdk.InspectRequest) error {
	switch {
	case req.Quantize != "":
		return cannot("quantize", "has no weights to quantize")
	case req.Layers != 0:
		return cannot("layers", "has no layers to leave out")
	case req.Numerics != "" && req.Numerics != sdk.NumericsExact:
		return cannot("numerics", fmt.Sprintf("knows the numerics %q alone, not %q", sdk.NumericsExact, req.Numerics))
	case req.KVCache != "":
		return cannot("kv_cache", "keeps no keys and values")
	}
	return nil
}

// refuse names what echo cannot do: a plugin never ignores what it was asked for. Temperature and its like are honoured as
// they are: an echo is certain, however it is drawn.
func refuse(req sdk.GenerateRequest) error {
	c := req.Chat
	switch {
	case len(req.Stop) > 0:
		return cannot("stop", "does not watch for stop strings")
	case req.MinTokens > 0:
		return cannot("min_tokens", "ends where its prompt does")
	case req.Sampling.Logprobs:
		return cannot("logprobs", "does not know how likely its tokens are")
	case req.PromptLogprobs:
		return cannot("prompt_logprobs", "does not know how likely a prompt is")
	case req.Constraint != nil:
		return cannot("constraint", "says what it was told, whatever an answer should be")
	case len(req.Sampling.LogitBias) > 0:
		return cannot("logit_bias", "has no logits")
	case c != nil && len(c.Tools) > 0 && c.ToolChoice != "none":
		return cannot("tools", "calls no tools")
	case c != nil && len(c.Images) > 0:
		return cannot("messages", "sees no pictures")
	}
	return nil
}

// promptIDs are the ids of a prompt in whichever form it came.
func promptIDs(req sdk.GenerateRequest) ([]int32, error) {
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
		Content content `json:"content"`
	}
	if err := json.Unmarshal(raw, &messages); err != nil {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "messages: %w", err)
	}
	if len(messages) == 0 {
		return nil, sdk.Errorf(sdk.ReasonInvalid, "messages: there are none")
	}
	return ids(string(messages[len(messages)-1].Content)), nil
}

// content is a text, or a list of parts that are texts.
type content string

func (c *content) UnmarshalJSON(data []byte) error {
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(data, &parts) != nil {
		return json.Unmarshal(data, (*string)(c))
	}
	var all strings.Builder
	for _, p := range parts {
		all.WriteString(p.Text)
	}
	*c = content(all.String())
	return nil
}
