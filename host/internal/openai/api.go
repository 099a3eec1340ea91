// Package openai speaks the OpenAI HTTP API, with the extensions that vLLM's clients know: chat and raw completions, embeddings,
// tokens, and sequences whose logits are asked for.
package openai

import (
	"context"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
)

// Sequences are those that clients append to, by the id that OpenSequence gave them.
type Sequences interface {
	OpenSequence(ctx context.Context, model string) (schedule.Sequence, error)
	Sequence(id string) (schedule.Sequence, error)
	ForkSequence(ctx context.Context, id string) (schedule.Sequence, error)
	CloseSequence(ctx context.Context, id string) error
	Forward(ctx context.Context, id string, tokens []int32, rows []int) (schedule.Forwarded, error)
}

// API has the endpoints that are no answers of a model.
type API struct {
	*answer.Service
	Errors
	Sequences Sequences
}

// read takes a body by an endpoint's parser.
func (a *API) read(w http.ResponseWriter, r *http.Request, h *answer.Held, parse parser) (*request, error) {
	members, err := a.Members(w, r, h)
	if err != nil {
		return nil, err
	}
	req, err := parse(members, a.Ignored(r.URL.Path))
	if err != nil {
		return nil, err
	}
	h.KeepBody(req.Words())
	return req, nil
}
