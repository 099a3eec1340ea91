// answer.go runs the choices of one request together and hands their events, one at a time, to whoever writes them.
package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

// answer is one request on its way: the head that every object of it repeats, and its choices.
type answer struct {
	form    form
	req     *request
	choices []sdk.GenerateRequest
	id      string
	created int64
	finger  string   // system_fingerprint; of the process that began to answer
	echoed  []string // by prompt, if the prompts come before the answers
}

// usage counts tokens as OpenAI's object does.
type usage struct {
	Prompt     int               `json:"prompt_tokens"`
	Completion int               `json:"completion_tokens"`
	Total      int               `json:"total_tokens"`
	PromptPart *promptPart       `json:"prompt_tokens_details,omitempty"`
	AnswerPart *completionDetail `json:"completion_tokens_details,omitempty"`
}

type promptPart struct {
	Cached int `json:"cached_tokens"`
}

type completionDetail struct {
	Reasoning int `json:"reasoning_tokens"`
}

// add counts a choice. A prompt counts once, however many answers it has.
func (u *usage) add(f *sdk.Finish, choice int) {
	if u.PromptPart == nil {
		u.PromptPart, u.AnswerPart = &promptPart{}, &completionDetail{}
	}
	if choice == 0 {
		u.Prompt += f.PromptTokens
		u.PromptPart.Cached += f.CachedTokens
	}
	u.Completion += f.CompletionTokens
	u.AnswerPart.Reasoning += f.ReasoningTokens
	u.Total = u.Prompt + u.Completion
}

func (a *api) chat(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, chatForm{}, parseChat)
}

func (a *api) completion(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, newCompletionForm(), parseCompletion)
}

func (a *api) serve(w http.ResponseWriter, r *http.Request, f form, parse func([]member, func(string)) (*request, error)) {
	members, err := readBody(w, r, a.o.MaxBody)
	if err != nil {
		writeError(w, asError(err, ""))
		return
	}
	req, err := parse(members, a.ignored(r.URL.Path))
	if err != nil {
		writeError(w, asError(err, ""))
		return
	}
	if err := a.look(r.Context(), req); err != nil {
		writeError(w, asError(err, f.promptField()))
		return
	}
	id := newID(f.prefix())
	ans := &answer{form: f, req: req, id: id, created: time.Now().Unix(), choices: req.choices(id)}
	w.Header().Set("X-Request-Id", id)
	if ans.echoed, err = a.prompts(r.Context(), req); err != nil {
		a.fail(w, ans, err)
		return
	}
	if req.stream {
		a.stream(w, r, ans)
		return
	}
	a.whole(w, r, ans)
}

// newID is unique for all time: answers of several hosts meet in one log.
func newID(prefix string) string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return prefix + hex.EncodeToString(b[:])
}

func (a *api) fingerprint(model string) string {
	for _, s := range a.backend.Models() {
		if s.Is(model) {
			return s.Fingerprint()
		}
	}
	return ""
}

// each generates every choice at once and calls send with one event at a time. The first failure ends the others, and is
// the one returned.
func (a *api) each(ctx context.Context, ans *answer, send func(choice int, e sdk.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, g := range ans.choices {
		wg.Go(func() {
			defer a.caught(cancel)
			err := a.backend.Generate(ctx, ans.req.model, g, func(e sdk.Event) error {
				mu.Lock()
				defer mu.Unlock()
				if err := context.Cause(ctx); err != nil {
					return err
				}
				return send(i, e)
			})
			if err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// caught makes a panic of one choice the failure of its request: the goroutine is not the handler's own, so that nobody
// else would catch it and the host would end.
func (a *api) caught(cancel context.CancelCauseFunc) {
	if p := recover(); p != nil {
		a.o.Log.Error("a request panicked", "panic", p, "stack", string(debug.Stack()))
		cancel(newError(http.StatusInternalServerError, "", "internal", "the host has a bug here; its log says more"))
	}
}

func (a *api) whole(w http.ResponseWriter, r *http.Request, ans *answer) {
	list := make([]collected, len(ans.choices))
	var u usage
	err := a.each(r.Context(), ans, func(i int, e sdk.Event) error {
		list[i].add(ans.piece(i, e, &u))
		return nil
	})
	if err != nil {
		a.fail(w, ans, err)
		return
	}
	ans.finger = a.fingerprint(ans.req.model)
	writeJSON(w, http.StatusOK, ans.form.whole(ans, list, &u))
}

// fail answers a request that produced nothing yet.
func (a *api) fail(w http.ResponseWriter, ans *answer, err error) {
	e := asError(err, ans.form.promptField())
	if e.Status >= 500 {
		a.o.Log.Warn("a request failed", "request", ans.id, "model", ans.req.model, "status", e.Status, "error", e.Message)
	}
	writeError(w, e)
}
