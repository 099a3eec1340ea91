// request.go turns a body into requests to a model, one per choice of the answer.
package api

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/inference-pio/inference-pio/sdk"
)

// defaultCompletionTokens is what /v1/completions generates if max_tokens is absent, as the OpenAI API does; a chat
// answer ends by itself and may use the whole context.
const defaultCompletionTokens = 16

// fieldError blames a path inside a field.
type fieldError struct {
	path string
	err  error
}

func (e *fieldError) Error() string { return e.err.Error() }

// parse reads the members of a body by an endpoint's tables. unknown is told of each key that is in no table.
func parse(members []member, unknown func(key string), tables ...fields) (*request, error) {
	r := &request{n: 1}
	for _, m := range members {
		read, known := lookup(m.key, tables)
		if !known {
			unknown(m.key)
			continue
		}
		if read == nil || isNull(m.value) {
			continue
		}
		if m.key != "prompt" && m.key != "tokens" && m.key != "input" { // lists of ids, which are read as they are counted
			if err := notTooMany(m.value); err != nil {
				return nil, blame(m.key, err)
			}
		}
		if err := read(r, m.value); err != nil {
			return nil, blame(m.key, err)
		}
	}
	return r, nil
}

func lookup(key string, tables []fields) (reader, bool) {
	for _, t := range tables {
		if read, known := t[key]; known {
			return read, true
		}
	}
	return nil, false
}

// settleLength compares the bounds of an answer's length, when both are known.
func (r *request) settleLength() error {
	if r.maxTokens != 0 && r.minTokens > r.maxTokens {
		return invalid("min_tokens", "min_tokens is %d, and the answer may have %d tokens at most", r.minTokens, r.maxTokens)
	}
	return nil
}

func (r *request) needsModel() error {
	if r.model == "" {
		return invalid("model", "model is missing; expected the id of a model, as /v1/models lists them")
	}
	return nil
}

func blame(key string, err error) *Error {
	var inside *fieldError
	if errors.As(err, &inside) {
		key = inside.path
	}
	return invalid(key, "%s %v", key, err)
}

func parseChat(members []member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, chatFields, common)
	if err != nil {
		return nil, err
	}
	if err := r.needsModel(); err != nil {
		return nil, err
	}
	if err := r.settleChat(); err != nil {
		return nil, err
	}
	if r.completion != 0 {
		if r.maxTokens != 0 && r.maxTokens != r.completion {
			return nil, invalid("max_completion_tokens", "max_completion_tokens is %d and max_tokens is %d; give one of them", r.completion, r.maxTokens)
		}
		r.maxTokens = r.completion
	}
	if r.sampling.TopLogprobs > 0 && !r.sampling.Logprobs {
		return nil, invalid("top_logprobs", "top_logprobs is %d without logprobs; set logprobs to true", r.sampling.TopLogprobs)
	}
	return r, r.settleLength()
}

// settleChat joins what a conversation's fields say together.
func (r *request) settleChat() error {
	if r.chat == nil || r.chat.Messages == nil {
		return invalid("messages", "messages is missing; expected a list of at least one message")
	}
	if err := r.settleThinking(); err != nil {
		return err
	}
	if r.unprompted {
		r.setKwarg("add_generation_prompt", "false")
	}
	return r.settleTools()
}

func parseCompletion(members []member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, completionFields, common)
	if err != nil {
		return nil, err
	}
	if err := r.needsModel(); err != nil {
		return nil, err
	}
	if len(r.prompts) == 0 {
		return nil, invalid("prompt", "prompt is missing; expected a text or a list of token ids")
	}
	if total := len(r.prompts) * r.n; total > maxChoices {
		return nil, invalid("n", "n is %d for each of %d prompts, which makes %d answers; expected at most %d", r.n, len(r.prompts), total, maxChoices)
	}
	r.sampling.Logprobs = r.topGiven
	switch {
	case r.nothing && !r.echo:
		return nil, invalid("max_tokens", "max_tokens is 0; expected an integer of at least 1, or echo")
	case r.nothing:
		r.maxTokens = 1 // what a plugin cannot leave out is dropped on its way
	case r.maxTokens == 0:
		r.maxTokens = max(defaultCompletionTokens, r.minTokens)
	}
	return r, r.settleLength()
}

// choices are the requests to the model: n to each prompt, which their Choice tells apart. A seed that the client chose
// holds for every prompt, so that a prompt's answer does not depend on its neighbours; a drawn one differs, so that equal
// prompts have different answers.
func (r *request) choices(id string) []sdk.GenerateRequest {
	asked := []sdk.GenerateRequest{{Chat: r.chat}}
	if r.chat == nil {
		asked = make([]sdk.GenerateRequest, len(r.prompts))
		for i, p := range r.prompts {
			asked[i].Tokens, asked[i].Text, asked[i].HasText = p.tokens, p.text, p.tokens == nil
		}
	}
	list := make([]sdk.GenerateRequest, 0, len(asked)*r.n)
	for _, g := range asked {
		g.Sampling, g.MaxTokens, g.MinTokens, g.Stop, g.IgnoreEOS = r.sampling, r.maxTokens, r.minTokens, r.stop, r.ignoreEOS
		g.Constraint = r.constraint
		g.PromptLogprobs = r.echo && r.sampling.Logprobs
		r.drawSeed(&g)
		for g.Choice = range r.n {
			list = append(list, g)
		}
	}
	for i := range list {
		list[i].ID = id
		if len(list) > 1 {
			list[i].ID = fmt.Sprintf("%s-%d", id, i)
		}
	}
	return list
}

func (r *request) drawSeed(g *sdk.GenerateRequest) {
	if r.seeded {
		return
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	g.Sampling.Seed = binary.LittleEndian.Uint64(b[:])
}
