// keys.go turns away who shows no key, where there are keys, and who has asked for more than his key may.
package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/inference-pio/inference-pio/host/internal/access"
	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// Part says which of the endpoints a handler has.
type Part int

// The parts: all, or those for everybody and those of the operators apart.
const (
	Whole Part = iota
	Public
	Private
)

type callerKey struct{}

// callerOf is who a request is from, nil if nobody needs to say or it need not be known.
func callerOf(ctx context.Context) *access.Caller {
	who, _ := ctx.Value(callerKey{}).(*access.Caller)
	return who
}

// keyed lets those in who show a key.
func (a *api) keyed(next http.Handler) http.Handler {
	if !a.o.Keys.Any() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.o.Page != nil && isPage(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		who := a.o.Keys.Of(r)
		if e := refusalOf(r, who); e != nil {
			a.turnAway(w, r, e)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// refusalOf says why a request may not come, nil if it may. It counts those that may.
func refusalOf(r *http.Request, who *access.Caller) *problem.Error {
	switch {
	case who == nil && isOpen(r):
		return nil
	case who == nil:
		return problem.New(http.StatusUnauthorized, "", "invalid_api_key", "this host asks for a key: Authorization: Bearer KEY, or x-api-key: KEY, with one that it knows")
	case isPrivate(r.URL.Path) && !who.Admin:
		return problem.New(http.StatusForbidden, "", "key_not_allowed", "this needs a key with admin = true")
	case !isLimited(r):
		return nil
	}
	wait, why := who.Admit()
	if wait == 0 {
		return nil
	}
	e := problem.New(http.StatusTooManyRequests, "", "rate_limit_exceeded", why)
	e.RetryAfter = wait
	return e
}

func (a *api) turnAway(w http.ResponseWriter, r *http.Request, e *problem.Error) {
	a.count("refused", e.Status, 0)
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
		if a.once.First("no key") {
			a.o.Log.Warn("a request without a key that is known was refused; this is said once")
		}
	}
	writeError(w, r, e)
}

// isOpen says that a request tells nobody anything: whether the host lives, and what an endpoint takes.
func isOpen(r *http.Request) bool {
	path := r.URL.Path
	return path == "/healthz" || path == "/health" || path == "/readyz" || r.Method == http.MethodOptions
}

// pageFiles is where the page has its files.
const pageFiles = "/page/"

// isPage is what a browser fetches before it can be asked for a key: files that are the same for everybody.
func isPage(path string) bool { return path == "/" || strings.HasPrefix(path, pageFiles) }

// isPrivate is what operators alone may.
func isPrivate(path string) bool {
	return path == "/metrics" || path == "/admin" || strings.HasPrefix(path, "/admin/")
}

// isLimited is what counts as a request of a key: those with a body, which make somebody work.
func isLimited(r *http.Request) bool {
	return r.Method == http.MethodPost && !isPrivate(r.URL.Path)
}

// spent notes who asked, and what it took.
func spent(r *http.Request, rec *answer.Recorder) {
	who := callerOf(r.Context())
	if who == nil || rec.Tally == nil {
		return
	}
	rec.Tally.Key = who.Name
	who.Spend(rec.Tally.Tokens())
}
