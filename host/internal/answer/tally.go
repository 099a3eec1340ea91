// tally.go keeps the figures of one request: for the log, which has a line for each, and for its client. Nothing of what was
// asked or answered is among them.
package answer

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// Tally is filled by whoever knows; its request's goroutines do so one at a time.
type Tally struct {
	ID, Model   string
	endpoint    string
	began       time.Time
	first, last time.Time // of the tokens of all choices; zero before one
	ids, firsts int       // tokens so far; those that were the first of their choice
	read        int       // tokens of a prompt that was begun
	Key         string    // who asked, "" if nobody needs to say
	Usage       Usage
	reasons     []string // of the choices' ends, each once
	failure     string   // why the request failed, as a code
}

// Usage counts tokens.
type Usage struct {
	Prompt    int
	Cached    int // of the prompt, those that were in the prefix cache
	Generated int
	Reasoning int // of those generated
}

// add counts a choice. A prompt counts once, however many answers it has.
func (u *Usage) add(f *sdk.Finish, choice int) {
	if choice == 0 {
		u.Prompt += f.PromptTokens
		u.Cached += f.CachedTokens
	}
	u.Generated += f.CompletionTokens
	u.Reasoning += f.ReasoningTokens
}

// NewTally is of the request that w answers; its line is written when that has been done.
func NewTally(w http.ResponseWriter, r *http.Request, prefix string) *Tally {
	t := &Tally{ID: answerID(w, r, prefix), endpoint: r.URL.Path, began: time.Now()}
	if r, ok := w.(*Recorder); ok {
		r.Tally = t
	}
	return t
}

// see notes when tokens come.
func (t *Tally) see(e sdk.Event) {
	if e.Start != nil {
		t.read = max(t.read, len(e.Start.Prompt))
	}
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

func (t *Tally) finished(reason sdk.FinishReason) {
	for _, known := range t.reasons {
		if known == string(reason) {
			return
		}
	}
	t.reasons = append(t.reasons, string(reason))
}

// Fail notes an error by its code, or by the field that it is about: a sentence may quote what was sent.
func (t *Tally) Fail(e *problem.Error) {
	switch {
	case e.Status == problem.StatusClientGone:
		t.failure = "client_gone"
	case e.Code != "":
		t.failure = e.Code
	case e.Field != "":
		field, _, _ := strings.Cut(e.Field, "[")
		t.failure = "invalid " + body.Clip(field)
	default:
		t.failure = strings.ToLower(http.StatusText(e.Status))
	}
}

// Refuser answers with an error, in its protocol's shape.
type Refuser interface {
	Refuse(w http.ResponseWriter, e *problem.Error)
}

// Refuse answers with an error, and notes it.
func (t *Tally) Refuse(w http.ResponseWriter, p Refuser, e *problem.Error) {
	t.Fail(e)
	p.Refuse(w, e)
}

// Speed is tokens per second once there are some: what a choice's first one takes is the prompt's.
func (t *Tally) Speed() float64 {
	return PerSecond(t.ids-t.firsts, t.last.Sub(t.first))
}

// shortest is the time below which a rate says nothing of the model: tokens that came in one burst.
const shortest = time.Millisecond

// PerSecond is 0 where there is no rate to speak of.
func PerSecond(n int, took time.Duration) float64 {
	if n <= 0 || took < shortest {
		return 0
	}
	return math.Round(float64(n)/took.Seconds()*1000) / 1000
}

// FirstToken is how long the client has waited for one; 0 if none came.
func (t *Tally) FirstToken() time.Duration {
	if t.first.IsZero() {
		return 0
	}
	return t.first.Sub(t.began)
}

// Tokens are all that the request has used, also one that was given up.
func (t *Tally) Tokens() int {
	return max(t.Usage.Prompt, t.read) + max(t.Usage.Generated, t.ids)
}

// Decoding is the time from the first token of any choice to the last.
func (t *Tally) Decoding() time.Duration { return t.last.Sub(t.first) }

// Took is the time since the request came.
func (t *Tally) Took() time.Duration { return time.Since(t.began) }

// Log writes the line of a request that has been answered.
func (t *Tally) Log(log *slog.Logger, status int) {
	reason := cmp.Or(t.failure, strings.Join(t.reasons, ","))
	line := []slog.Attr{
		slog.String("request", t.ID), slog.String("model", t.Model), slog.String("endpoint", t.endpoint), slog.Int("status", status),
		slog.String("reason", reason), slog.Int("tokens_in", t.Usage.Prompt), slog.Int("cached", t.Usage.Cached), slog.Int("tokens_out", cmp.Or(t.Usage.Generated, t.ids)),
		slog.Duration("first_token", t.FirstToken().Round(time.Millisecond)),
	}
	if speed := t.Speed(); speed > 0 {
		line = append(line, slog.Float64("tokens_per_second", math.Round(speed*10)/10))
	}
	if t.Key != "" {
		line = append(line, slog.String("key", t.Key))
	}
	line = append(line, slog.Duration("took", t.Took().Round(time.Millisecond)))
	log.LogAttrs(context.Background(), slog.LevelInfo, telemetry.RequestLine, line...)
}

// Recorder keeps what was sent of an answer, for the log.
type Recorder struct {
	http.ResponseWriter
	Status int // 0 before there is one
	// IDHeader is by what name a protocol's clients look for X-Request-Id, "" if by this.
	IDHeader string
	Tally    *Tally // of a request to a model
}

// WriteHeader keeps the first status.
func (r *Recorder) WriteHeader(status int) {
	r.begin(status)
	r.ResponseWriter.WriteHeader(status)
}

func (r *Recorder) Write(p []byte) (int, error) {
	r.begin(http.StatusOK)
	return r.ResponseWriter.Write(p)
}

func (r *Recorder) begin(status int) {
	if r.Status != 0 {
		return
	}
	r.Status = status
	if r.IDHeader != "" {
		r.Header().Set(r.IDHeader, r.Header().Get("X-Request-Id"))
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
