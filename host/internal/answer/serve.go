// Package answer takes a request from its body to its answer, in no protocol's words: what is asked for (Request), what comes of it piece
// by piece (Piece), what went wrong (problem.Error). A Protocol reads bodies into the first and spells the others; it is a package of its own.
//
// An answer is sent with a status only after the model has begun it, so that everything that can fail before the first
// token fails with the right status. A stream that fails later says so in its last event and never looks complete.
package answer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/fetch"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// Backend is what answers need of the host.
type Backend interface {
	// Models lists every model of models.toml, in its order.
	Models() []schedule.Status
	// Generate produces one answer of the model with that id or alias. send is called from one goroutine at a time;
	// its error ends the answer. Errors are *schedule.UnknownModel, *schedule.Unavailable, *sdk.Error or the context's.
	Generate(ctx context.Context, model string, req sdk.GenerateRequest, send func(sdk.Event) error) error
	// Tokenize, Detokenize, Spell and Render ask the model's plugin; their errors are those of Generate.
	Tokenize(ctx context.Context, model, text string) ([]int32, error)
	Detokenize(ctx context.Context, model string, ids []int32) (string, error)
	Spell(ctx context.Context, model string, ids []int32) ([]string, error)
	Render(ctx context.Context, model string, chat sdk.Chat) (string, error)
	// Embed returns one vector for each text.
	Embed(ctx context.Context, model string, req sdk.EmbedRequest) (sdk.EmbedResult, error)
	// Load returns when the model is there; its errors are those of Generate. Unload has it leave when its requests have their answers.
	Load(ctx context.Context, model string) error
	Unload(model string) error
}

// Service answers requests for every protocol. All its fields are needed.
type Service struct {
	Backend  Backend
	Log      *slog.Logger
	Intake   *Intake
	Pictures *fetch.Fetcher
	MaxBody  int64 // bytes
	// KeepAlive is how often a silent stream gets a comment, so that proxies keep it open.
	KeepAlive time.Duration
	Traces    trace.TracerProvider

	unknown OnceEach
}

// Answer is one request on its way.
type Answer struct {
	Request *Request
	ID      string
	Created time.Time
	Tally   *Tally
	// Fingerprint is of the process that began to answer; "" before that.
	Fingerprint string

	choices []sdk.GenerateRequest
	echoed  []string // by prompt, if the prompts come before the answers
}

// Choices is how many there are.
func (a *Answer) Choices() int { return len(a.choices) }

// Answer serves a request of a protocol.
func (s *Service) Answer(w http.ResponseWriter, r *http.Request, p Protocol) {
	t := NewTally(w, r, p.Prefix())
	h, err := s.Intake.Enter()
	if err != nil {
		t.Refuse(w, p, problem.From(err, ""))
		return
	}
	defer h.Leave()
	ctx, span := s.tracer().Start(r.Context(), p.PromptField())
	defer func() { conclude(span, t) }()
	r = r.WithContext(ctx)
	_, admission := s.tracer().Start(ctx, "admission")
	req, out, err := s.read(w, r, h, p)
	if err == nil {
		t.Model = s.IDOf(req.Model)
		err = s.tooLong(req)
	}
	if err == nil {
		describe(span, req)
		err = s.look(r.Context(), req, h, p.PromptField())
	}
	admitted(admission, err)
	if err != nil {
		t.Refuse(w, p, s.Failure(err, p.PromptField(), t.Model))
		return
	}
	r = r.WithContext(s.Keeping(r.Context(), req.Model, req.Keep))
	if req.Instead != nil {
		s.instead(w, r, p, t, req)
		return
	}
	a := &Answer{Request: req, Tally: t, ID: t.ID, Created: time.Now(), choices: req.Choices(t.ID)}
	if a.echoed, err = s.prompts(r.Context(), req); err != nil {
		s.fail(w, p, a, err)
		return
	}
	if req.Stream {
		s.stream(w, r, p, out, a)
		return
	}
	s.whole(w, r, p, out, a)
}

// instead has the model loaded, or leave, for a request that wants no more of it.
func (s *Service) instead(w http.ResponseWriter, r *http.Request, p Protocol, t *Tally, req *Request) {
	m, err := s.Find(req.Model)
	leaves := m.OnDemand && req.Keep != nil && *req.Keep == 0
	switch {
	case err != nil:
	case leaves:
		err = s.Backend.Unload(m.ID)
	default:
		err = s.Backend.Load(r.Context(), m.ID)
	}
	if err != nil {
		t.Refuse(w, p, s.Failure(err, p.PromptField(), req.Model))
		return
	}
	WriteJSON(w, http.StatusOK, req.Instead(leaves))
}

// Keeping tells the scheduler how long a client wants the model kept, nil for one that does not say, of one that comes and goes: those that the
// operator has loaded at the start are not a client's to unload.
func (s *Service) Keeping(ctx context.Context, model string, keep *time.Duration) context.Context {
	if keep == nil {
		return ctx
	}
	if m, err := s.Find(model); err != nil || !m.OnDemand {
		return ctx
	}
	return schedule.KeepAlive(ctx, *keep)
}

// read returns what a body asks for. The body itself is not kept where something else was made of what is large in it.
func (s *Service) read(w http.ResponseWriter, r *http.Request, h *Held, p Protocol) (*Request, Writer, error) {
	members, err := s.Members(w, r, h)
	if err != nil {
		return nil, nil, err
	}
	req, out, err := p.Read(members, s.Ignored(r.URL.Path))
	if err != nil {
		return nil, nil, err
	}
	if req.Chat != nil && len(req.Pictures) > 0 { // what else lies in the body would keep the pictures' letters with it
		req.Chat.Tools, req.Chat.Kwargs = bytes.Clone(req.Chat.Tools), bytes.Clone(req.Chat.Kwargs)
		return req, out, nil // its pictures are read from what the body was
	}
	h.KeepBody(req.Words())
	return req, out, nil
}

// Members reads a body, for which h makes room.
func (s *Service) Members(w http.ResponseWriter, r *http.Request, h *Held) ([]body.Member, error) {
	return body.Read(w, r, s.MaxBody, h.takeBody)
}

// Plain answers with what make returns. The request holds its room until the client has read all of it: a client that does not
// read costs no more than one that does.
func (s *Service) Plain(w http.ResponseWriter, r *http.Request, prefix string, p Refuser, make func(http.ResponseWriter, *http.Request, *Held, *Tally) (any, error)) {
	t := NewTally(w, r, prefix)
	h, err := s.Intake.Enter()
	if err != nil {
		t.Refuse(w, p, problem.From(err, ""))
		return
	}
	defer h.Leave()
	out, err := make(w, r, h, t)
	if err != nil {
		t.Refuse(w, p, problem.From(err, ""))
		return
	}
	WriteJSON(w, http.StatusOK, out)
}

// tooLong refuses prompts of ids that no answer can follow. Those of text are for the plugin to count.
func (s *Service) tooLong(r *Request) error {
	for _, m := range s.Backend.Models() {
		if !m.Is(r.Model) || m.State != schedule.StateReady || m.Table.Context == 0 {
			continue
		}
		for _, p := range r.Prompts {
			if len(p.Tokens) >= m.Table.Context {
				return sdk.Errorf(sdk.ReasonContext, "the prompt has %d tokens; the context holds %d, with room for at least one token of the answer",
					len(p.Tokens), m.Table.Context)
			}
		}
	}
	return nil
}

func (s *Service) fingerprint(model string) string {
	for _, m := range s.Backend.Models() {
		if m.Is(model) {
			return m.Fingerprint()
		}
	}
	return ""
}

// Longest is the most positions a prompt and its answer may have together; 0 if that is not known.
func (s *Service) Longest(model string) int {
	for _, m := range s.Backend.Models() {
		if m.Is(model) {
			return m.Table.Context
		}
	}
	return 0
}

// IDOf is the id of a model that may have been asked for by an alias.
func (s *Service) IDOf(model string) string {
	for _, m := range s.Backend.Models() {
		if m.Is(model) {
			return m.ID
		}
	}
	return model
}

// Knows says whether there is a model of that id or alias.
func (s *Service) Knows(model string) bool {
	for _, m := range s.Backend.Models() {
		if m.Is(model) {
			return true
		}
	}
	return false
}

// unknownModel is the error of a request for one that there is not.
func (s *Service) unknownModel(name string) error {
	var known []string
	for _, m := range s.Backend.Models() {
		known = append(known, m.ID)
	}
	return &schedule.UnknownModel{Name: body.Clip(name), Known: known}
}

// Find is the model of that id or alias.
func (s *Service) Find(name string) (schedule.Status, error) {
	for _, m := range s.Backend.Models() {
		if m.Is(name) {
			return m, nil
		}
	}
	return schedule.Status{}, s.unknownModel(name)
}

func (s *Service) whole(w http.ResponseWriter, r *http.Request, p Protocol, out Writer, a *Answer) {
	list := make([]Collected, len(a.choices))
	err := s.each(r.Context(), a, func(i int, e sdk.Event) error {
		list[i].add(a.piece(i, e))
		return nil
	})
	if err != nil {
		s.fail(w, p, a, err)
		return
	}
	a.Fingerprint = s.fingerprint(a.Request.Model)
	WriteJSON(w, http.StatusOK, out.Whole(a, list))
}

// fail answers a request that produced nothing yet.
func (s *Service) fail(w http.ResponseWriter, p Protocol, a *Answer, err error) {
	e := s.Failure(err, p.PromptField(), a.Request.Model)
	if e.Status >= 500 {
		s.Log.Warn("a request failed", "request", a.ID, "model", a.Request.Model, "status", e.Status, "error", e.Message)
	}
	a.Tally.Refuse(w, p, e)
}

// Failure is what a client is to hear of err. An overflow of the context is told in the words by which clients know it, and know
// from it how much to leave out.
func (s *Service) Failure(err error, field, model string) *problem.Error {
	e := problem.From(err, field)
	if !e.TooLong() || strings.Contains(e.Message, "maximum context length is") {
		return e
	}
	longest := s.Longest(model)
	if longest == 0 {
		return e
	}
	told := *e
	told.Message = fmt.Sprintf("This model's maximum context length is %d tokens. However, %s", longest, e.Message)
	return &told
}

// Ignored logs a field nobody knows, once in the life of the host.
func (s *Service) Ignored(route string) func(key string) {
	return func(key string) {
		if s.unknown.First(route + " " + body.Clip(key)) {
			s.Log.Info("ignoring an unknown field; this is said once", "route", route, "field", body.Clip(key))
		}
	}
}

// OnceEach remembers which keys it has seen, up to a bound: keys come from clients.
type OnceEach struct {
	mu   sync.Mutex
	seen map[string]bool
}

// First says whether the key is a new one.
func (o *OnceEach) First(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	if o.seen[key] || len(o.seen) >= 1000 {
		return false
	}
	o.seen[key] = true
	return true
}

// WriteJSON sends v as the whole answer.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json") // some clients hand out raw text without it
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone if this fails, and the server will notice by itself
}
