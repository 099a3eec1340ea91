// request.go turns a body into requests to a model, one per choice of the answer.
package api

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"

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

// parse reads the members of a body by an endpoint's table. unknown is told of each key that is in no table.
func parse(members []member, own fields, unknown func(key string)) (*request, error) {
	r := &request{}
	for _, m := range members {
		read, known := own[m.key]
		if !known {
			read, known = common[m.key]
		}
		if !known {
			unknown(m.key)
			continue
		}
		if read == nil || isNull(m.value) {
			continue
		}
		if err := read(r, m.value); err != nil {
			return nil, blame(m.key, err)
		}
	}
	if r.model == "" {
		return nil, invalid("model", "model is missing; expected the id of a model, as /v1/models lists them")
	}
	return r, nil
}

func blame(key string, err error) *Error {
	var inside *fieldError
	if errors.As(err, &inside) {
		key = inside.path
	}
	return invalid(key, "%s %v", key, err)
}

func parseChat(members []member, unknown func(string)) (*request, error) {
	r, err := parse(members, chatFields, unknown)
	if err != nil {
		return nil, err
	}
	if r.chat == nil || r.chat.Messages == nil {
		return nil, invalid("messages", "messages is missing; expected a list of at least one message")
	}
	if r.completion != 0 {
		if r.maxTokens != 0 && r.maxTokens != r.completion {
			return nil, invalid("max_completion_tokens", "max_completion_tokens is %d and max_tokens is %d; give one of them", r.completion, r.maxTokens)
		}
		r.maxTokens = r.completion
	}
	return r, nil
}

func parseCompletion(members []member, unknown func(string)) (*request, error) {
	r, err := parse(members, completionFields, unknown)
	if err != nil {
		return nil, err
	}
	if len(r.prompts) == 0 {
		return nil, invalid("prompt", "prompt is missing; expected a text or a list of token ids")
	}
	if r.maxTokens == 0 {
		r.maxTokens = defaultCompletionTokens
	}
	return r, nil
}

// choices are the requests to the model. A seed that the client chose holds for every prompt, so that a prompt's answer
// does not depend on its neighbours; a drawn one differs, so that equal prompts have different answers.
func (r *request) choices(id string) []sdk.GenerateRequest {
	one := sdk.GenerateRequest{
		ID: id, Sampling: r.sampling, MaxTokens: r.maxTokens, Stop: r.stop, IgnoreEOS: r.ignoreEOS, Chat: r.chat,
	}
	if r.chat != nil {
		r.drawSeed(&one)
		return []sdk.GenerateRequest{one}
	}
	list := slices.Repeat([]sdk.GenerateRequest{one}, len(r.prompts))
	for i, p := range r.prompts {
		list[i].Tokens, list[i].Text, list[i].HasText = p.tokens, p.text, p.tokens == nil
		r.drawSeed(&list[i])
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
