// embeddings.go answers /v1/embeddings: texts or ids in, one vector for each out.
package openai

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
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
	for rest := req.Prompts; len(rest) > 0; {
		n, size := batchOf(rest)
		out, err := a.embed(r.Context(), req.Model, rest[:n], size)
		if err != nil {
			return err
		}
		if len(data) == 0 { // now it is known how long a vector is
			if err := h.TakeAnswer(r.Context(), 8*int64(len(out.Vectors[0]))*int64(len(req.Prompts))); err != nil {
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
			t.Usage.Prompt += tokens
		}
		rest = rest[n:]
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{
		"object": "list", "data": data, "model": req.Model,
		"usage": map[string]int{"prompt_tokens": t.Usage.Prompt, "total_tokens": t.Usage.Prompt},
	})
	return nil
}

// batchOf is how many of the inputs are sent together, and their bytes: texts with texts, ids with ids.
func batchOf(inputs []answer.Prompt) (n int, size int64) {
	ofIDs := inputs[0].Tokens != nil
	for _, p := range inputs {
		bytes := int64(len(p.Text) + 4*len(p.Tokens))
		if n == batchInputs || n > 0 && size+bytes > batchBytes || (p.Tokens != nil) != ofIDs {
			break
		}
		n, size = n+1, size+bytes
	}
	return n, size
}

// embed asks for the vectors of one batch.
func (a *API) embed(ctx context.Context, model string, inputs []answer.Prompt, size int64) (sdk.EmbedResult, error) {
	arrived, err := a.Intake.TakeSending(ctx, size)
	if err != nil {
		return sdk.EmbedResult{}, err
	}
	defer arrived()
	var req sdk.EmbedRequest
	for _, p := range inputs {
		if p.Tokens != nil {
			req.Tokens = append(req.Tokens, p.Tokens)
		} else {
			req.Texts = append(req.Texts, p.Text)
		}
	}
	return a.Backend.Embed(ctx, model, req)
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
