// tally.go keeps the figures of one request: for the log, which has a line for each, and for its client. Nothing of what was
// asked or answered is among them.
package api

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// tally is filled by whoever knows; its request's goroutines do so one at a time.
type tally struct {
	id, endpoint, model string
	began               time.Time
	first, last         time.Time // of the tokens of all choices; zero before one
	ids, firsts         int       // tokens so far; those that were the first of their choice
	usage               usage
	reasons             []string // of the choices' ends, each once
	failure             string   // why the request failed, as a code
}

// newTally is of the request that w answers; its line is written when that has been done.
func newTally(w http.ResponseWriter, r *http.Request, prefix string) *tally {
	t := &tally{id: answerID(w, r, prefix), endpoint: r.URL.Path, began: time.Now()}
	if r, ok := w.(*recorder); ok {
		r.tally = t
	}
	return t
}

// see notes when tokens come.
func (t *tally) see(e sdk.Event) {
	if e.Token == nil {
		return
	}
	t.last = time.Now()
	if t.first.IsZero() {
		t.first = t.last
	}
	if t.ids++; e.Token.Index == 0 {
		t.firsts++
	}
}

func (t *tally) finished(reason sdk.FinishReason) {
	for _, known := range t.reasons {
		if known == string(reason) {
			return
		}
	}
	t.reasons = append(t.reasons, string(reason))
}

// fail notes an error by its code, or by the field that it is about: a sentence may quote what was sent.
func (t *tally) fail(e *Error) {
	switch {
	case e.Status == statusClientGone:
		t.failure = "client_gone"
	case e.Code != nil:
		t.failure = *e.Code
	case e.Param != nil:
		field, _, _ := strings.Cut(*e.Param, "[")
		t.failure = "invalid " + clip(field)
	default:
		t.failure = strings.ToLower(http.StatusText(e.Status))
	}
}

// refuse answers with an error, and notes it.
func (t *tally) refuse(w http.ResponseWriter, e *Error) {
	t.fail(e)
	writeError(w, e)
}

// speed is tokens per second once there are some: what a choice's first one takes is the prompt's.
func (t *tally) speed() float64 {
	return perSecond(t.ids-t.firsts, t.last.Sub(t.first))
}

// shortest is the time below which a rate says nothing of the model: tokens that came in one burst.
const shortest = time.Millisecond

// perSecond is 0 where there is no rate to speak of.
func perSecond(n int, took time.Duration) float64 {
	if n <= 0 || took < shortest {
		return 0
	}
	return math.Round(float64(n)/took.Seconds()*1000) / 1000
}

// firstToken is how long the client has waited for one; 0 if none came.
func (t *tally) firstToken() time.Duration {
	if t.first.IsZero() {
		return 0
	}
	return t.first.Sub(t.began)
}

// timings is what llama.cpp's server calls so, by its names.
type timings struct {
	Cached          int     `json:"cache_n"`  // tokens of the prompt that were in the prefix cache
	Prompt          int     `json:"prompt_n"` // the others
	PromptMS        float64 `json:"prompt_ms"`
	PromptSpeed     float64 `json:"prompt_per_second"`
	Generated       int     `json:"predicted_n"`
	GeneratedMS     float64 `json:"predicted_ms"`
	GenerationSpeed float64 `json:"predicted_per_second"`
}

func (t *tally) timings() timings {
	out := timings{Prompt: t.usage.Prompt, Generated: t.usage.Completion, PromptMS: milliseconds(t.firstToken()),
		GeneratedMS: milliseconds(t.last.Sub(t.first)), GenerationSpeed: t.speed()}
	if p := t.usage.PromptPart; p != nil {
		out.Cached, out.Prompt = p.Cached, out.Prompt-p.Cached
	}
	out.PromptSpeed = perSecond(out.Prompt, t.firstToken())
	return out
}

func milliseconds(d time.Duration) float64 {
	return math.Round(d.Seconds()*1e6) / 1e3
}

// logRequest writes the line of a request that has been answered.
func (a *api) logRequest(t *tally, status int) {
	if t == nil || !a.o.RequestLog {
		return
	}
	cached := 0
	if p := t.usage.PromptPart; p != nil {
		cached = p.Cached
	}
	reason := cmp.Or(t.failure, strings.Join(t.reasons, ","))
	line := []slog.Attr{
		slog.String("request", t.id), slog.String("model", t.model), slog.String("endpoint", t.endpoint), slog.Int("status", status),
		slog.String("reason", reason), slog.Int("tokens_in", t.usage.Prompt), slog.Int("cached", cached), slog.Int("tokens_out", cmp.Or(t.usage.Completion, t.ids)),
		slog.Duration("first_token", t.firstToken().Round(time.Millisecond)),
	}
	if speed := t.speed(); speed > 0 {
		line = append(line, slog.Float64("tokens_per_second", math.Round(speed*10)/10))
	}
	line = append(line, slog.Duration("took", time.Since(t.began).Round(time.Millisecond)))
	a.o.Log.LogAttrs(context.Background(), slog.LevelInfo, "request", line...)
}
