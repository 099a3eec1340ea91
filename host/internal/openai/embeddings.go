// embeddings.go answers /v1/embeddings: texts or ids in, one vector for each out.
package openai

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/sdk"
)

const maxInputs = 2048 // as OpenAI has it

var embeddingFields = fields{
	"model": common["model"],
	"input": readInputs,
	"encoding_format": func(r *request, v json.RawMessage) error {
		format := body.Compact(v)
		if r.base64 = format == `"base64"`; !r.base64 && format != `"float"` {
			return body.Wrong(v, `"float" or "base64"`)
		}
		return nil
	},

	"dimensions":             body.Unbuilt[request](),
	"truncate_prompt_tokens": body.Unbuilt[request](),
	"messages":               body.Unbuilt[request](),

	"user":     nil,
	"metadata": nil,
}

// readInputs takes what readPrompts takes, but for texts without a word in them.
func readInputs(r *request, v json.RawMessage) (err error) {
	r.Prompts, err = promptList(v, maxInputs, fmt.Sprintf("a text, a list of texts, a list of token ids, or a list of such lists, at most %d, none empty", maxInputs))
	for i, p := range r.Prompts {
		if err == nil && p.Tokens == nil && p.Text == "" {
			err = fmt.Errorf("has an empty text at place %d; there is nothing to embed", i)
		}
	}
	return err
}

func parseEmbedding(members []body.Member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, embeddingFields)
	switch {
	case err != nil:
		return nil, err
	case len(r.Prompts) == 0:
		return nil, problem.Invalid("input", "input is missing; expected a text or a list of texts")
	}
	return r, r.NeedsModel()
}

// embedding is one vector; Vector is a list of numbers, or base64.
type embedding struct {
	Object string `json:"object"`
	Index  int    `json:"index"`
	Vector any    `json:"embedding"`
}

// Embeddings answers /v1/embeddings.
func (a *API) Embeddings(w http.ResponseWriter, r *http.Request) {
	t := answer.NewTally(w, r, "embd-")
	if err := a.embedded(w, r, t); err != nil {
		t.Refuse(w, a, a.Failure(ofInput(err), "input", t.Model))
	}
}

// ofInput blames the field by which clients know what a plugin calls texts or tokens.
func ofInput(err error) error {
	var told *sdk.Error
	if !errors.As(err, &told) || told.Field != "texts" && told.Field != "tokens" {
		return err
	}
	return &sdk.Error{Reason: told.Reason, Field: "input", Message: told.Message}
}

// embedded answers, or returns an error and has not.
func (a *API) embedded(w http.ResponseWriter, r *http.Request, t *answer.Tally) error {
	h, err := a.Intake.Enter()
	if err != nil {
		return err
	}
	defer h.Leave()
	req, err := a.read(w, r, h, parseEmbedding)
	if err != nil {
		return err
	}
	t.Model = a.IDOf(req.Model)
	data := make([]embedding, 0, len(req.Prompts))
	t.Usage.Prompt, err = a.Embed(r.Context(), h, req.Model, req.Prompts, func(v []float32) {
		data = append(data, embedding{"embedding", len(data), vectorOf(v, req.base64)})
	})
	if err != nil {
		return err
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{
		"object": "list", "data": data, "model": req.Model,
		"usage": map[string]int{"prompt_tokens": t.Usage.Prompt, "total_tokens": t.Usage.Prompt},
	})
	return nil
}

// vectorOf spells a vector.
func vectorOf(v []float32, inBase64 bool) any {
	if !inBase64 {
		return v
	}
	var text bytes.Buffer
	b := bufio.NewWriter(&text)
	writeFloats(b, v)
	_ = b.Flush() // into memory
	return text.String()
}
