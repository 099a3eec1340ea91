// Package api speaks the OpenAI HTTP API. It translates between HTTP and the requests of the contract and decides
// nothing: which model answers, when, and with what memory is for the Backend.
//
// An answer is sent with a status only after the model has begun it, so that everything that can fail before the first
// token fails with the right status. A stream that fails later ends with an error event and without "[DONE]": a cut
// answer never looks complete.
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
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/fetch"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// Backend is what the API needs of the host.
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

	// The sequences that clients append to, by the id that OpenSequence gave them.
	OpenSequence(ctx context.Context, model string) (schedule.Sequence, error)
	Sequence(id string) (schedule.Sequence, error)
	ForkSequence(ctx context.Context, id string) (schedule.Sequence, error)
	CloseSequence(ctx context.Context, id string) error
	Forward(ctx context.Context, id string, tokens []int32, rows []int) (schedule.Forwarded, error)
}

// Options of a handler; the zero value serves.
type Options struct {
	Log     *slog.Logger
	Metrics *telemetry.Metrics // nil: /metrics answers 404
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
	unknown onceEach
	intake  *intake
}

// New makes the handler for everything the host serves but the web page.
func New(b Backend, o Options) http.Handler {
	o = o.orDefault()
	a := &api{backend: b, o: o, intake: newIntake(o)}
	mux := a.routes()
	var h http.Handler = mux
	if o.Guard != nil {
		h = a.guard(o.Guard, mux)
	}
	h = identified(unslashed(h))
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
	route("/v1/chat/completions", http.MethodPost, a.chat)
	route("/v1/completions", http.MethodPost, a.completion)
	route("/v1/embeddings", http.MethodPost, a.embeddings)
	route("/v1/sequences", http.MethodPost, a.openSequence)
	route("/v1/sequences/{id}", http.MethodDelete, a.closeSequence)
	route("/v1/sequences/{id}/forward", http.MethodPost, a.forward)
	route("/v1/sequences/{id}/fork", http.MethodPost, a.forkSequence)
	route("/tokenize", http.MethodPost, a.tokenize)
	route("/detokenize", http.MethodPost, a.detokenize)
	route("/v1/models", http.MethodGet, a.models)
	route("/v1/models/{id...}", http.MethodGet, a.model)
	route("/healthz", http.MethodGet, a.health)
	route("/health", http.MethodGet, a.health) // as vLLM has it
	route("/readyz", http.MethodGet, a.ready)
	route("/readyz/{id...}", http.MethodGet, a.readyModel)
	if a.o.Operator != nil {
		a.admin(route)
		a.life(route)
	}
	if a.o.Metrics != nil {
		route("/metrics", http.MethodGet, a.o.Metrics.Handler().ServeHTTP)
	}
	mux.Handle("/", a.wrap("other", "", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, newError(http.StatusNotFound, "", "not_found",
			fmt.Sprintf("there is nothing at %s; this host serves /v1/models, /v1/chat/completions and /v1/completions", clip(r.URL.Path))))
	}))
	return mux
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
		rec := &recorder{ResponseWriter: w}
		begin := time.Now()
		if m := a.o.Metrics; m != nil {
			m.HTTPInProgress.Inc()
			defer m.HTTPInProgress.Dec()
		}
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				a.o.Log.Error("a handler panicked", "route", route, "request", rec.Header().Get("X-Request-Id"), "panic", p, "stack", string(debug.Stack()))
				if rec.tally != nil {
					rec.tally.failure = "internal"
				}
				if rec.status == 0 {
					writeError(rec, newError(http.StatusInternalServerError, "", "internal", "the host has a bug here; its log says more"))
				}
			}
			status := cmp.Or(rec.status, statusClientGone)
			a.logRequest(rec.tally, status)
			a.count(route, status, time.Since(begin))
		}()
		if method != "" && r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
			rec.Header().Set("Allow", allowed(method))
			if r.Method == http.MethodOptions {
				rec.WriteHeader(http.StatusNoContent)
				return
			}
			writeError(rec, newError(http.StatusMethodNotAllowed, "", "method_not_allowed",
				fmt.Sprintf("%s takes %s, not %s", clip(r.URL.Path), method, clip(r.Method))))
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

// ignored logs a field nobody knows, once in the life of the host.
func (a *api) ignored(route string) func(key string) {
	return func(key string) {
		if a.unknown.first(route + " " + clip(key)) {
			a.o.Log.Info("ignoring an unknown field; this is said once", "route", route, "field", clip(key))
		}
	}
}

// onceEach remembers which keys it has seen, up to a bound: keys come from clients.
type onceEach struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (o *onceEach) first(key string) bool {
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

// recorder keeps the status that was sent.
type recorder struct {
	http.ResponseWriter
	status int
	tally  *tally // of a request to a model
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
