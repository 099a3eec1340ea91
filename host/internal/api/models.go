// models.go answers what is served and whether it can be asked: /v1/models, /healthz and /readyz.
package api

import (
	"net/http"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
)

// modelObject is OpenAI's object with what an operator wants to see beside it.
type modelObject struct {
	ID          string         `json:"id"`
	Object      string         `json:"object"`
	Created     int64          `json:"created"`
	OwnedBy     string         `json:"owned_by"`
	MaxModelLen int            `json:"max_model_len,omitempty"` // positions, as vLLM names it
	Aliases     []string       `json:"aliases,omitempty"`
	Cores       int            `json:"cores,omitempty"` // that its process may use now, if it lets itself be told
	State       schedule.State `json:"state"`
	Reason      string         `json:"reason,omitempty"`
	RetryAt     string         `json:"retry_at,omitempty"`  // when it is started again, if nothing happens before
	WaitsFor    string         `json:"waits_for,omitempty"` // in words
	Progress    *progress      `json:"progress,omitempty"`
}

// progress of a load under way, in bytes.
type progress struct {
	Stage string `json:"stage"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`

	Rate int64   `json:"bytes_per_second,omitempty"` // lately; left out where it is not known
	Left float64 `json:"seconds_left,omitempty"`     // at that rate
}

func asModel(s schedule.Status) modelObject {
	m := modelObject{
		ID: s.ID, Object: "model", Created: s.Since.Unix(), OwnedBy: "inference-pio",
		MaxModelLen: s.Table.Context, Aliases: s.Aliases, Cores: s.Cores, State: s.State, Reason: s.Reason,
		RetryAt: retryAt(s), WaitsFor: s.Waits(),
	}
	if s.State == schedule.StateLoading {
		m.Progress = &progress{s.Progress.Stage, s.Progress.Done, s.Progress.Total, int64(s.LoadRate), s.Left().Seconds()}
	}
	return m
}

// retryAt is when a model that waits is started again, "" for one that does not wait.
func retryAt(s schedule.Status) string {
	if s.Waits() == "" {
		return ""
	}
	return s.Retry.UTC().Format(time.RFC3339)
}

func (a *api) models(w http.ResponseWriter, _ *http.Request) {
	list := []modelObject{}
	for _, s := range a.backend.Models() {
		list = append(list, asModel(s))
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

func (a *api) model(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.find(w, r); ok {
		answer.WriteJSON(w, http.StatusOK, asModel(s))
	}
}

// find looks up the model in the path; a name may hold slashes. It has answered if it returns false.
func (a *api) find(w http.ResponseWriter, r *http.Request) (schedule.Status, bool) {
	m, err := a.answer.Find(r.PathValue("id"))
	if err != nil {
		writeError(w, r, problem.From(err, ""))
	}
	return m, err == nil
}

// health speaks of the process alone: it answers while models load or fail.
func (a *api) health(w http.ResponseWriter, _ *http.Request) {
	answer.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	a.readiness(w, r, a.backend.Models())
}

func (a *api) readyModel(w http.ResponseWriter, r *http.Request) {
	if s, ok := a.find(w, r); ok {
		a.readiness(w, r, []schedule.Status{s})
	}
}

// readiness is 200 if every one of the models answers requests, and says of each how it stands.
// Who shows no key where there are keys learns no more than that.
func (a *api) readiness(w http.ResponseWriter, r *http.Request, list []schedule.Status) {
	type entry struct {
		State  schedule.State `json:"state"`
		Since  string         `json:"since"`
		Reason string         `json:"reason,omitempty"`

		RetryAt string `json:"retry_at,omitempty"`
	}
	draining := a.o.Draining != nil && a.o.Draining()
	all := !draining
	models := map[string]entry{}
	for _, s := range list {
		all = all && s.Ready()
		models[s.ID] = entry{s.State, s.Since.UTC().Format(time.RFC3339), s.Why(), retryAt(s)}
	}
	status := http.StatusOK
	if !all {
		status = http.StatusServiceUnavailable
	}
	if a.o.Keys.Any() && callerOf(r.Context()) == nil {
		answer.WriteJSON(w, status, map[string]bool{"ready": all})
		return
	}
	answer.WriteJSON(w, status, map[string]any{"ready": all, "draining": draining, "models": models})
}
