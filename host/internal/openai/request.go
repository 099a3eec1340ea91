// request.go turns a body into requests to a model, one per choice of the answer.
package openai

import (
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// defaultCompletionTokens is what /v1/completions generates if max_tokens is absent, as the OpenAI API does; a chat
// answer ends by itself and may use the whole context.
const defaultCompletionTokens = 16

// parser is the reader of an endpoint's bodies.
type parser func(members []body.Member, unknown func(string)) (*request, error)

func parse(members []body.Member, unknown func(key string), tables ...fields) (*request, error) {
	r := &request{Request: answer.Request{N: 1}}
	if err := body.Fill(r, members, unknown, tables...); err != nil {
		return nil, err
	}
	return r, nil
}

func parseChat(members []body.Member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, chatFields, common)
	if err != nil {
		return nil, err
	}
	if err := r.NeedsModel(); err != nil {
		return nil, err
	}
	if err := r.settleChat(); err != nil {
		return nil, err
	}
	if r.completion != 0 {
		if r.MaxTokens != 0 && r.MaxTokens != r.completion {
			return nil, problem.Invalid("max_completion_tokens", "max_completion_tokens is %d and max_tokens is %d; give one of them", r.completion, r.MaxTokens)
		}
		r.MaxTokens = r.completion
	}
	if r.Sampling.TopLogprobs > 0 && !r.Sampling.Logprobs {
		return nil, problem.Invalid("top_logprobs", "top_logprobs is %d without logprobs; set logprobs to true", r.Sampling.TopLogprobs)
	}
	return r, r.SettleLength()
}

// settleChat joins what a conversation's fields say together.
func (r *request) settleChat() error {
	if r.Chat == nil || r.Chat.Messages == nil {
		return problem.Invalid("messages", "messages is missing; expected a list of at least one message")
	}
	if err := r.SettleThinking(r.thinking); err != nil {
		return err
	}
	switch {
	case r.begun:
		if err := r.ContinueLast(); err != nil {
			return err
		}
	case r.unprompted:
		r.SetKwarg("add_generation_prompt", "false")
	}
	return r.SettleCalls(r.calls)
}

func parseCompletion(members []body.Member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, completionFields, common)
	if err != nil {
		return nil, err
	}
	if err := r.NeedsModel(); err != nil {
		return nil, err
	}
	if len(r.Prompts) == 0 {
		return nil, problem.Invalid("prompt", "prompt is missing; expected a text or a list of token ids")
	}
	if total := len(r.Prompts) * r.N; total > maxChoices {
		return nil, problem.Invalid("n", "n is %d for each of %d prompts, which makes %d answers; expected at most %d", r.N, len(r.Prompts), total, maxChoices)
	}
	r.Sampling.Logprobs = r.topGiven
	switch {
	case r.Nothing && !r.Echo:
		return nil, problem.Invalid("max_tokens", "max_tokens is 0; expected an integer of at least 1, or echo")
	case r.Nothing:
		r.MaxTokens = 1 // what a plugin cannot leave out is dropped on its way
	case r.MaxTokens == 0:
		r.MaxTokens = max(defaultCompletionTokens, r.MinTokens)
	}
	return r, r.SettleLength()
}
