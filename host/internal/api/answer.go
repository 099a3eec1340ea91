// answer.go takes a request from its body to its answer, which is sent whole here and as a stream in sse.go.
package api

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// answer is one request on its way: the head that every object of it repeats, and its choices.
type answer struct {
	form    form
	req     *request
	choices []sdk.GenerateRequest
	tally   *tally
	id      string
	created int64
	finger  string   // system_fingerprint; of the process that began to answer
	echoed  []string // by prompt, if the prompts come before the answers
	reached []usage  // by choice: what each has come to
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

func (a *api) serve(w http.ResponseWriter, r *http.Request, f form, parse parser) {
	t := newTally(w, r, f.prefix())
	h, err := a.intake.enter()
	if err != nil {
		t.refuse(w, asError(err, ""))
		return
	}
	defer h.leave()
	req, err := a.read(w, r, h, parse)
	if err == nil {
		t.model = a.idOf(req.model)
		err = a.tooLong(req)
	}
	if err == nil {
		err = a.look(r.Context(), req, h)
	}
	if err != nil {
		t.refuse(w, a.failure(err, f, t.model))
		return
	}
	ans := &answer{form: f, req: req, tally: t, id: t.id, created: time.Now().Unix(), choices: req.choices(t.id)}
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

// parser is parseChat or parseCompletion.
type parser func([]member, func(string)) (*request, error)

// read returns what a body asks for. The body itself is not kept where something else was made of what is large in it.
func (a *api) read(w http.ResponseWriter, r *http.Request, h *held, parse parser) (*request, error) {
	members, err := readBody(w, r, a.o.MaxBody, h)
	if err != nil {
		return nil, err
	}
	req, err := parse(members, a.ignored(r.URL.Path))
	if err != nil {
		return nil, err
	}
	if req.chat != nil && len(req.pictures) > 0 { // what else lies in the body would keep the pictures' letters with it
		req.chat.Tools, req.chat.Kwargs = bytes.Clone(req.chat.Tools), bytes.Clone(req.chat.Kwargs)
		return req, nil // its pictures are read from what the body was
	}
	h.keepBody(req.words())
	return req, nil
}

// tooLong refuses prompts of ids that no answer can follow. Those of text are for the plugin to count.
func (a *api) tooLong(r *request) error {
	for _, s := range a.backend.Models() {
		if !s.Is(r.model) || s.State != schedule.StateReady || s.Table.Context == 0 {
			continue
		}
		for _, p := range r.prompts {
			if len(p.tokens) >= s.Table.Context {
				return sdk.Errorf(sdk.ReasonContext, "the prompt has %d tokens; the context holds %d, with room for at least one token of the answer",
					len(p.tokens), s.Table.Context)
			}
		}
	}
	return nil
}

// words is how many bytes the request holds, but for its pictures.
func (r *request) words() int64 {
	n := 0
	for _, p := range r.prompts {
		n += len(p.text) + 4*len(p.tokens)
	}
	if c := r.constraint; c != nil {
		n += len(c.JSONSchema) + len(c.Regex) + len(c.Grammar)
	}
	if c := r.chat; c != nil {
		n += len(c.Messages) + len(c.Tools) + len(c.Kwargs)
	}
	return int64(n)
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

func (a *api) whole(w http.ResponseWriter, r *http.Request, ans *answer) {
	list := make([]collected, len(ans.choices))
	err := a.each(r.Context(), ans, func(i int, e sdk.Event) error {
		list[i].add(ans.piece(i, e))
		return nil
	})
	if err != nil {
		a.fail(w, ans, err)
		return
	}
	ans.finger = a.fingerprint(ans.req.model)
	writeJSON(w, http.StatusOK, ans.form.whole(ans, list))
}

// fail answers a request that produced nothing yet.
func (a *api) fail(w http.ResponseWriter, ans *answer, err error) {
	e := a.failure(err, ans.form, ans.req.model)
	if e.Status >= 500 {
		a.o.Log.Warn("a request failed", "request", ans.id, "model", ans.req.model, "status", e.Status, "error", e.Message)
	}
	ans.tally.refuse(w, e)
}
