// Package responses speaks OpenAI's Responses API, without its memory: nothing is kept of an answer, so that every request brings the
// items of the turns before. Tools are those that the client runs; what a model thinks is the summary of a reasoning item.
package responses

import (
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/openai"
)

// Protocol is /v1/responses. Errors are those of OpenAI's other endpoints.
type Protocol struct {
	openai.Errors
	// Skipped is told of tools that nobody here can run, by their type; they are left out.
	Skipped func(tool string)
}

// Prefix is OpenAI's.
func (Protocol) Prefix() string { return "resp_" }

// PromptField is where a conversation stands.
func (Protocol) PromptField() string { return "input" }

// Read takes what a body asks for.
func (p Protocol) Read(members []body.Member, unknown func(string)) (*answer.Request, answer.Writer, error) {
	r, err := parse(members, unknown)
	if err != nil {
		return nil, nil, err
	}
	for _, tool := range r.skipped {
		p.Skipped(tool)
	}
	return &r.Request, &writer{req: r}, nil
}
