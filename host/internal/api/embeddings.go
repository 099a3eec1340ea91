// embeddings.go answers /v1/embeddings: texts or ids in, one vector for each out.
package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/inference-pio/inference-pio/sdk"
)

const (
	maxInputs = 2048 // as OpenAI has it
	// A model is asked for so many vectors at once at most, of so many bytes of input: what others ask comes between.
	batchInputs = 64
	batchBytes  = 1 << 20
)

var embeddingFields = fields{
	"model": common["model"],
	"input": readInputs,
	"encoding_format": func(r *request, v json.RawMessage) error {
		format := compact(v)
		if r.base64 = format == `"base64"`; !r.base64 && format != `"float"` {
			return wrong(v, `"float" or "base64"`)
		}
		return nil
	},

	"dimensions":             unbuilt(),
	"truncate_prompt_tokens": unbuilt(),
	"messages":               unbuilt(),

	"user":     nil,
	"metadata": nil,
}

// readInputs takes what readPrompts takes, but for texts without a word in them.
func readInputs(r *request, v json.RawMessage) (err error) {
	r.prompts, err = promptList(v, maxInputs, fmt.Sprintf("a text, a list of texts, a list of token ids, or a list of such lists, at most %d, none empty", maxInputs))
	for i, p := range r.prompts {
		if err == nil && p.tokens == nil && p.text == "" {
			err = fmt.Errorf("has an empty text at place %d; there is nothing to embed", i)
		}
	}
	return err
}

func parseEmbedding(members []member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, embeddingFields)
	switch {
	case err != nil:
		return nil, err
	case len(r.prompts) == 0:
		return nil, invalid("input", "input is missing; expected a text or a list of texts")
	}
	return r, r.needsModel()
}

// embedding is one vector; Vector is a list of numbers, or base64.
type embedding struct {
	Object string `json:"object"`
	Index  int    `json:"index"`
	Vector any    `json:"embedding"`
}

func (a *api) embeddings(w http.ResponseWriter, r *http.Request) {
	t := newTally(w, r, "embd-")
	if err := a.embedded(w, r, t); err != nil {
		t.refuse(w, a.overflow(asError(ofInput(err), "input"), t.model))
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
func (a *api) embedded(w http.ResponseWriter, r *http.Request, t *tally) error {
	h, err := a.intake.enter()
	if err != nil {
		return err
	}
	defer h.leave()
	req, err := a.read(w, r, h, parseEmbedding)
	if err != nil {
		return err
	}
	t.model = a.idOf(req.model)
	data := make([]embedding, 0, len(req.prompts))
	for rest := req.prompts; len(rest) > 0; {
		n, size := batchOf(rest)
		out, err := a.embed(r.Context(), req.model, rest[:n], size)
		if err != nil {
			return err
		}
		if len(data) == 0 { // now it is known how long a vector is
			if err := h.takeAnswer(r.Context(), 8*int64(len(out.Vectors[0]))*int64(len(req.prompts))); err != nil {
				return err
			}
		}
		for _, v := range out.Vectors {
			spelled, err := vectorOf(v, req.base64)
			if err != nil {
				return err
			}
			data = append(data, embedding{"embedding", len(data), spelled})
		}
		for _, tokens := range out.Tokens {
			t.usage.Prompt += tokens
		}
		rest = rest[n:]
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"object": "list", "data": data, "model": req.model,
		"usage": map[string]int{"prompt_tokens": t.usage.Prompt, "total_tokens": t.usage.Prompt},
	})
	return nil
}

// batchOf is how many of the inputs are sent together, and their bytes: texts with texts, ids with ids.
func batchOf(inputs []prompt) (n int, size int64) {
	ofIDs := inputs[0].tokens != nil
	for _, p := range inputs {
		bytes := int64(len(p.text) + 4*len(p.tokens))
		if n == batchInputs || n > 0 && size+bytes > batchBytes || (p.tokens != nil) != ofIDs {
			break
		}
		n, size = n+1, size+bytes
	}
	return n, size
}

// embed asks for the vectors of one batch.
func (a *api) embed(ctx context.Context, model string, inputs []prompt, size int64) (sdk.EmbedResult, error) {
	taken, err := a.intake.takeSending(ctx, size)
	if err != nil {
		return sdk.EmbedResult{}, err
	}
	defer a.intake.sending.Release(taken)
	var req sdk.EmbedRequest
	for _, p := range inputs {
		if p.tokens != nil {
			req.Tokens = append(req.Tokens, p.tokens)
		} else {
			req.Texts = append(req.Texts, p.text)
		}
	}
	return a.backend.Embed(ctx, model, req)
}

// vectorOf spells a vector.
func vectorOf(v []float32, inBase64 bool) (any, error) {
	for _, x := range v {
		if x != x || math.IsInf(float64(x), 0) {
			return nil, sdk.Errorf(sdk.ReasonInternal, "the plugin sent a vector that has more in it than numbers")
		}
	}
	if !inBase64 {
		return v, nil
	}
	var text bytes.Buffer
	b := bufio.NewWriter(&text)
	writeFloats(b, v)
	_ = b.Flush() // into memory
	return text.String(), nil
}
