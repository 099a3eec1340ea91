// Package ollama speaks the API of Ollama: chats and texts as lines of JSON, vectors, and what models there are. Models come and go by
// models.toml, which those who may give orders change by a pull or a delete.
package ollama

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// Names finds the model that a client means: Ollama's clients put ":latest" behind a name without a tag.
type Names func(name string) bool

// of is the name of a model here.
func (known Names) of(name string) string {
	if short, ok := strings.CutSuffix(name, ":latest"); ok && !known(name) {
		return short
	}
	return name
}

// Chat is /api/chat.
type Chat struct {
	Errors
	Names Names
}

// Generate is /api/generate.
type Generate struct {
	Errors
	Names Names
}

// Prefix is of ids that only the log shows.
func (Chat) Prefix() string { return "ollama-chat-" }

// Prefix is of ids that only the log shows.
func (Generate) Prefix() string { return "ollama-gen-" }

// PromptField is where the conversation stands.
func (Chat) PromptField() string { return "messages" }

// PromptField is where the text stands.
func (Generate) PromptField() string { return "prompt" }

// Read takes what a body asks for. Without messages it asks for the model to be there.
func (p Chat) Read(members []body.Member, unknown func(string)) (*answer.Request, answer.Writer, error) {
	r, err := parse(members, unknown, chatFields)
	if err != nil {
		return nil, nil, err
	}
	w := &writer{asked: r.Model, chat: true}
	r.Model = p.Names.of(r.Model)
	if len(r.turns) == 0 {
		r.Instead = w.loaded
		return &r.Request, w, nil
	}
	return &r.Request, w, r.settle("messages")
}

// Read takes what a body asks for. Without a prompt it asks for the model to be there.
func (p Generate) Read(members []body.Member, unknown func(string)) (*answer.Request, answer.Writer, error) {
	r, err := parse(members, unknown, generateFields)
	if err != nil {
		return nil, nil, err
	}
	w := &writer{asked: r.Model}
	r.Model = p.Names.of(r.Model)
	if r.prompt == "" && len(r.images) == 0 {
		r.Instead = w.loaded
		return &r.Request, w, nil
	}
	if r.raw {
		return &r.Request, w, r.asText()
	}
	r.turns = r.asTurns()
	return &r.Request, w, r.settle("prompt")
}

// Errors refuse requests in Ollama's shape.
type Errors struct{}

// errorBody is {"error": "..."}, also as the last line of a stream.
type errorBody struct {
	Error string `json:"error"`
}

// Refuse sends e as the whole answer.
func (Errors) Refuse(w http.ResponseWriter, e *problem.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	answer.WriteJSON(w, e.Status, errorBody{e.Message})
}
