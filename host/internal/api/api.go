// Package api is the host's HTTP side: which path is answered by whom, and what holds for all of them. It decides nothing: which model answers,
// when, and with what memory is for the Backend; what a request says and how its answer is spelled is for the protocols' packages.
package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/inference-pio/inference-pio/host/internal/access"
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/anthropic"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/fetch"
	"github.com/inference-pio/inference-pio/host/internal/ollama"
	"github.com/inference-pio/inference-pio/host/internal/openai"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/responses"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
)

// Backend is what the API needs of the host.
type Backend interface {
	answer.Backend
	openai.Sequences
}

// Options of a handler; the zero value serves.
type Options struct {
	Log     *slog.Logger
	Metrics *telemetry.Metrics // nil: /metrics answers 404
	Recent  *telemetry.Recent  // what the log has said, for operators; nil: they cannot ask
	Page    http.Handler       // of / and what is below /page/; nil: no page
	MaxBody int64              // bytes; 0 means 32 MiB
	// MaxBodies, MaxRequests and MaxQueue bound what is under way at once, as config.Server has them; 0 means 64 MiB, 1024 and
	// 512. Wait is how long a request may wait for room; 0 means not at all.
	MaxBodies             int64
	MaxRequests, MaxQueue int
	Wait                  time.Duration
	Pictures              *fetch.Fetcher // nil: takes data: URLs and follows no others
	Operator              Operator       // nil: no /admin
	// Reload reads models.toml again; nil: that is no order.
	Reload   func(context.Context) (Reload, error)
	Pull     ollama.Puller        // of models for clients that may give orders; nil: nobody pulls
	Remove   ollama.Remover       // of models for such clients; nil: nobody removes
	Traces   trace.TracerProvider // nil: no traces
	Keys     *access.Keys         // who may ask; without any everyone may
	Part     Part
	Guard    *Guard      // nil: takes every name and every page; for a socket that no browser reaches
	Draining func() bool // nil: never. A draining host is not ready.
	// RequestLog writes a line for each request to a model.
	RequestLog bool
	// KeepAlive is how often a silent stream gets a comment, so that proxies keep it open; 0 means 10 s.
	KeepAlive time.Duration
	// Patience is how long a client may take to read a piece of its answer; 0 means 30 s.
	Patience time.Duration
}

type api struct {
	backend Backend
	o       Options
	once    answer.OnceEach // what the log says once
	answer  *answer.Service
}

// New makes the handler for everything the host serves.
func New(b Backend, o Options) http.Handler {
	o = o.orDefault()
	a := &api{backend: b, o: o, answer: &answer.Service{
		Backend: b, Log: o.Log, Pictures: o.Pictures, MaxBody: o.MaxBody, KeepAlive: o.KeepAlive, Traces: o.Traces,
		Intake: answer.NewIntake(answer.Bounds{Bodies: o.MaxBodies, Requests: o.MaxRequests, Queue: o.MaxQueue, Wait: o.Wait}),
	}}
	mux := a.routes()
	h := a.keyed(mux)
	if o.Guard != nil {
		h = a.guard(o.Guard, h)
	}
	h = traced(o.Traces, answer.Identified(unslashed(h)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(newPatient(w, o.Patience), r) })
}

// orDefault has a value for all that is not set.
func (o Options) orDefault() Options {
	if o.Log == nil {
		o.Log = telemetry.Discard()
	}
	if o.Pictures == nil {
		o.Pictures = fetch.New(config.Pictures{})
	}
	o.MaxBody = cmp.Or(o.MaxBody, 32<<20)
	o.MaxBodies = cmp.Or(o.MaxBodies, max(64<<20, o.MaxBody))
	o.MaxRequests = cmp.Or(o.MaxRequests, 1024)
	o.MaxQueue = cmp.Or(o.MaxQueue, 512)
	if o.Traces == nil {
		o.Traces = noop.NewTracerProvider()
	}
	o.Patience = cmp.Or(o.Patience, patience)
	o.KeepAlive = cmp.Or(o.KeepAlive, 10*time.Second)
	return o
}

// routes are the endpoints.
func (a *api) routes() *http.ServeMux {
	mux := http.NewServeMux()
	route := func(pattern, method string, h func(http.ResponseWriter, *http.Request)) {
		mux.Handle(pattern, a.wrap(strings.TrimSuffix(pattern, "{id...}"), method, h))
	}
	if a.o.Part != Private {
		a.openai(route)
		route("/v1/responses", http.MethodPost, a.by(responses.Protocol{Skipped: a.skippedTool}))
		a.anthropic(route)
		a.ollama(route)
		route("/v1/models", http.MethodGet, a.models)
		route("/v1/models/{id...}", http.MethodGet, a.model)
	}
	route("/healthz", http.MethodGet, a.health)
	route("/health", http.MethodGet, a.health) // as vLLM has it
	route("/readyz", http.MethodGet, a.ready)
	route("/readyz/{id...}", http.MethodGet, a.readyModel)
	if a.o.Part == Private {
		a.stock(route, &ollama.API{Service: a.answer})
	}
	if a.o.Operator != nil && a.o.Part != Public {
		a.admin(route)
		a.life(route)
	}
	if a.o.Metrics != nil && a.o.Part != Public {
		route("/metrics", http.MethodGet, a.o.Metrics.Handler().ServeHTTP)
	}
	if a.o.Page != nil {
		route("/{$}", http.MethodGet, a.o.Page.ServeHTTP)
		route(pageFiles+"{file}", http.MethodGet, a.o.Page.ServeHTTP)
	} else { // Ollama's command line asks before all else whether somebody is there
		mux.Handle("HEAD /{$}", a.wrap("/{$}", http.MethodHead, a.health))
	}
	mux.Handle("/", a.wrap("other", "", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, r, problem.New(http.StatusNotFound, "", "not_found", a.nothing(r.URL.Path)))
	}))
	return mux
}

// nothing says why a path is not answered: whether it is at another address, or switched off.
func (a *api) nothing(path string) string {
	switch private := isPrivate(path); {
	case private && a.o.Part == Public:
		return "orders and metrics have an address of their own, server.admin_listen of models.toml"
	case !private && a.o.Part == Private:
		return "this address has orders and metrics alone; the API is at server.listen of models.toml"
	case private && path != "/metrics" && a.o.Operator == nil:
		return "this host takes no orders; admin = true under [server] of models.toml lets it"
	}
	return fmt.Sprintf("there is nothing at %s; this host serves /v1/models, /v1/chat/completions, /v1/responses, /v1/messages and /api/chat, among others", body.Clip(path))
}

// openai adds OpenAI's endpoints, with vLLM's and our own beside them.
func (a *api) openai(route func(pattern, method string, h func(http.ResponseWriter, *http.Request))) {
	route("/v1/chat/completions", http.MethodPost, a.by(openai.Chat{}))
	route("/v1/completions", http.MethodPost, a.by(openai.Completions{}))
	o := &openai.API{Service: a.answer, Sequences: a.backend}
	route("/v1/embeddings", http.MethodPost, o.Embeddings)
	route("/v1/sequences", http.MethodPost, o.OpenSequence)
	route("/v1/sequences/{id}", http.MethodDelete, o.CloseSequence)
	route("/v1/sequences/{id}/forward", http.MethodPost, o.Forward)
	route("/v1/sequences/{id}/fork", http.MethodPost, o.ForkSequence)
	route("/tokenize", http.MethodPost, o.Tokenize)
	route("/detokenize", http.MethodPost, o.Detokenize)
}

// anthropic adds Anthropic's endpoints, whose clients look for the id of a request under another name.
func (a *api) anthropic(route func(pattern, method string, h func(http.ResponseWriter, *http.Request))) {
	p := anthropic.Protocol{Skipped: a.skippedTool}
	named := func(h func(http.ResponseWriter, *http.Request)) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			if rec, ok := w.(*answer.Recorder); ok {
				rec.IDHeader = "Request-Id"
			}
			h(w, r)
		}
	}
	route("/v1/messages", http.MethodPost, named(a.by(p)))
	route("/v1/messages/count_tokens", http.MethodPost, named((&anthropic.API{Service: a.answer, Protocol: p}).CountTokens))
}

// ollama adds Ollama's endpoints, whose examples send JSON by the name of a form.
func (a *api) ollama(route func(pattern, method string, h func(http.ResponseWriter, *http.Request))) {
	post := func(pattern string, h func(http.ResponseWriter, *http.Request)) {
		route(pattern, http.MethodPost, func(w http.ResponseWriter, r *http.Request) { h(w, unformed(r)) })
	}
	o := &ollama.API{Service: a.answer}
	post("/api/chat", a.by(ollama.Chat{Names: a.answer.Knows}))
	post("/api/generate", a.by(ollama.Generate{Names: a.answer.Knows}))
	post("/api/embed", o.Vectors)
	post("/api/embeddings", o.Vector)
	post("/api/show", o.Show)
	route("/api/tags", http.MethodGet, o.Tags)
	route("/api/ps", http.MethodGet, o.Running)
	route("/api/version", http.MethodGet, o.Version)
	a.stock(route, o)
	for _, pattern := range []string{"/api/push", "/api/create", "/api/copy", "/api/blobs/{digest}"} {
		route(pattern, "", o.Unbuilt)
	}
}

// stock adds the endpoints by which models come and go, for those who may give orders. Who may is asked here, for what is said to the others is
// the endpoint's own.
func (a *api) stock(route func(pattern, method string, h func(http.ResponseWriter, *http.Request)), o *ollama.API) {
	ordered := func(path, method string, h http.HandlerFunc) {
		switch {
		case h == nil:
			route(path, "", o.Unbuilt)
			return
		case a.o.Part == Public:
			route(path, "", func(w http.ResponseWriter, r *http.Request) {
				writeError(w, r, problem.New(http.StatusBadRequest, "", "not_supported", "orders, "+path+" among them, have an address of their own, server.admin_listen of models.toml"))
			})
			return
		}
		route(path, method, func(w http.ResponseWriter, r *http.Request) {
			if who := callerOf(r.Context()); who != nil && !who.Admin {
				writeError(w, r, problem.New(http.StatusForbidden, "", "key_not_allowed", "this needs a key with admin = true"))
				return
			}
			h(w, unformed(r))
		})
	}
	var pull, remove http.HandlerFunc
	if a.o.Pull != nil {
		pull = o.Pull(a.o.Pull)
	}
	if a.o.Remove != nil {
		remove = o.Delete(a.o.Remove)
	}
	ordered("/api/pull", http.MethodPost, pull)
	ordered("/api/delete", http.MethodDelete, remove)
}

// unformed takes a form for JSON if no page can have sent it: browsers tell of themselves, and a page's form needs no leave.
func unformed(r *http.Request) *http.Request {
	if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("Content-Type", "application/json")
	return r
}

// by answers as a protocol does.
func (a *api) by(p answer.Protocol) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) { a.answer.Answer(w, r, p) }
}

// skippedTool logs a tool that no model here can have run, once in the life of the host.
func (a *api) skippedTool(kind string) {
	if a.once.First("tool " + body.Clip(kind)) {
		a.o.Log.Info("leaving out a tool that this host cannot run; this is said once", "type", body.Clip(kind))
	}
}

// writeError sends e as the whole answer, in the shape of the protocol that was asked for.
func writeError(w http.ResponseWriter, r *http.Request, e *problem.Error) {
	switch path := r.URL.Path; {
	case path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/"):
		anthropic.Errors{}.Refuse(w, e)
	case strings.HasPrefix(path, "/api/"):
		ollama.Errors{}.Refuse(w, e)
	default:
		openai.Errors{}.Refuse(w, e)
	}
}

// unslashed takes a path with a slash behind it for the same without: base URLs are joined with paths by hand.
func unslashed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := strings.TrimRight(r.URL.Path, "/"); path != "" && path != r.URL.Path {
			u := *r.URL
			u.Path, u.RawPath = path, strings.TrimRight(u.RawPath, "/")
			other := *r
			other.URL = &u
			r = &other
		}
		next.ServeHTTP(w, r)
	})
}

// wrap checks the method, counts the request, and turns a panic into a 500 that leaves the host alive.
func (a *api) wrap(route, method string, h func(http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nameSpan(r, method, route)
		rec := &answer.Recorder{ResponseWriter: w}
		begin := time.Now()
		if m := a.o.Metrics; m != nil {
			m.HTTPInProgress.Inc()
			defer m.HTTPInProgress.Dec()
		}
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				a.o.Log.Error("a handler panicked", "route", route, "request", rec.Header().Get("X-Request-Id"), "panic", p, "stack", string(debug.Stack()))
				bug := problem.New(http.StatusInternalServerError, "", "internal", "the host has a bug here; its log says more")
				if rec.Tally != nil {
					rec.Tally.Fail(bug)
				}
				if rec.Status == 0 {
					writeError(rec, r, bug)
				}
			}
			spent(r, rec)
			status := cmp.Or(rec.Status, problem.StatusClientGone)
			if a.o.RequestLog && rec.Tally != nil {
				rec.Tally.Log(a.o.Log, status)
			}
			a.count(route, status, time.Since(begin))
		}()
		if method != "" && r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
			rec.Header().Set("Allow", allowed(method))
			if r.Method == http.MethodOptions {
				rec.WriteHeader(http.StatusNoContent)
				return
			}
			writeError(rec, r, problem.New(http.StatusMethodNotAllowed, "", "method_not_allowed",
				fmt.Sprintf("%s takes %s, not %s", body.Clip(r.URL.Path), method, body.Clip(r.Method))))
			return
		}
		h(rec, r)
	})
}

// allowed is the Allow header of a route.
func allowed(method string) string {
	if method == http.MethodGet {
		return "GET, HEAD, OPTIONS"
	}
	return method + ", OPTIONS"
}

func (a *api) count(route string, status int, took time.Duration) {
	if a.o.Metrics == nil {
		return
	}
	a.o.Metrics.HTTPRequests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	a.o.Metrics.HTTPSeconds.WithLabelValues(route).Observe(took.Seconds())
}
