// pull.go fetches and removes models for clients, if the operator lets them: lines tell how far a pull is.
package ollama

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// Pulling is a line of a pull: what is done, and of bytes that come, how many have.
type Pulling struct {
	Status    string `json:"status"`
	Digest    string `json:"digest,omitempty"`
	Total     int64  `json:"total,omitempty"`
	Completed int64  `json:"completed,omitempty"`
}

// Puller fetches a model and serves it from then on. say is called from one goroutine at a time, and not after the puller has returned.
type Puller func(ctx context.Context, model string, say func(Pulling)) error

var pullFields = fields{
	"model":    readModel,
	"name":     readModel, // as it was
	"stream":   func(r *request, v json.RawMessage) (err error) { r.Stream, err = body.Boolean(v); return },
	"insecure": nil,
	"username": nil,
	"password": nil,
}

// Pull answers /api/pull. An error that comes before the first line has its status; a later one is the last line.
func (a *API) Pull(pull Puller) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t := answer.NewTally(w, r, "ollama-pull-")
		refuse := func(err error) { t.Refuse(w, a, problem.From(err, "model")) }
		h, err := a.Intake.Enter()
		if err != nil {
			refuse(err)
			return
		}
		defer h.Leave()
		req, err := a.read(w, r, h, pullFields)
		if err != nil {
			refuse(err)
			return
		}
		l := &told{w: w, silent: !req.Stream}
		err = pull(r.Context(), req.Model, func(p Pulling) { l.say(p) })
		switch {
		case err == nil && req.Stream:
			l.say(Pulling{Status: "success"})
		case err == nil:
			answer.WriteJSON(w, http.StatusOK, Pulling{Status: "success"})
		case l.begun:
			e := problem.From(err, "model")
			t.Fail(e)
			l.say(errorBody{e.Message})
		default:
			refuse(err)
		}
	}
}

// told are lines, which are sent as they come.
type told struct {
	w             http.ResponseWriter
	silent, begun bool
}

func (l *told) say(v any) {
	if l.silent {
		return
	}
	if !l.begun {
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.WriteHeader(http.StatusOK)
		l.begun = true
	}
	enc := json.NewEncoder(l.w) // which ends the line
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone if this fails, and the server will notice by itself
	_ = http.NewResponseController(l.w).Flush()
}

// Remover takes a model from those that are served, and removes what was downloaded for it.
type Remover func(ctx context.Context, model string) error

var removeFields = fields{
	"model": readModel,
	"name":  readModel, // as it was
}

// Delete answers /api/delete.
func (a *API) Delete(remove Remover) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.Plain(w, r, "ollama-delete-", a, func(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
			req, err := a.read(w, r, h, removeFields)
			if err != nil {
				return nil, err
			}
			s, err := a.Find(a.names().of(req.Model))
			if err != nil {
				return nil, err
			}
			t.Model = s.ID
			if err := remove(r.Context(), s.ID); err != nil {
				return nil, problem.From(err, "model")
			}
			return Pulling{Status: "success"}, nil
		})
	}
}
