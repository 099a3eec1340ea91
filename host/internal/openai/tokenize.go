// tokenize.go answers /tokenize and /detokenize, as vLLM has them.
package openai

import (
	"encoding/json"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// tokenizeFields are those of /tokenize, for a prompt and for messages.
var tokenizeFields = fields{
	"model": common["model"],

	"prompt": func(r *request, v json.RawMessage) error {
		s, err := body.Text(v)
		r.Prompts = []answer.Prompt{{Text: s}}
		return err
	},
	"messages":              readMessages,
	"tools":                 readTools,
	"chat_template_kwargs":  kwargs,
	"add_generation_prompt": readGenerationPrompt,
	answer.ReasoningEffort:  readEffort,
	answer.EnableThinking:   readEnableThinking,
	"thinking":              readThinking,

	"return_token_strs": func(r *request, v json.RawMessage) (err error) { r.tokenStrs, err = body.Boolean(v); return },
	// Byte-level tokenizers put nothing around a text by themselves; what a chat needs, its template writes.
	"add_special_tokens": func(_ *request, v json.RawMessage) error { _, err := body.Boolean(v); return err },

	answer.ContinueFinal:  readContinue,
	"chat_template":       body.Unbuilt[request](),
	"mm_processor_kwargs": body.Unbuilt[request]("{}"),
	"user":                nil,
}

var detokenizeFields = fields{
	"model": common["model"],
	"tokens": func(r *request, v json.RawMessage) error {
		if body.Compact(v) == "[]" {
			r.Prompts = []answer.Prompt{{}}
			return nil
		}
		ids, err := tokenIDs(v)
		r.Prompts = []answer.Prompt{{Tokens: ids}}
		return err
	},
	"user": nil,
}

// tokenized is the answer; a nil Strs is null.
type tokenized struct {
	Count   int      `json:"count"`
	Longest int      `json:"max_model_len"` // positions
	Tokens  []int32  `json:"tokens"`
	Strs    []string `json:"token_strs"` // as the vocabulary spells them
}

// How much room an answer takes for each byte of a text, which may be an id of its own: the id, and its digits; its spelling, twice.
// And for each id of a list: its text, twice, if it is a word.
const (
	roomOfID       = 12
	roomOfSpelling = 48
	roomOfWord     = 16
)

// Tokenize answers /tokenize.
func (a *API) Tokenize(w http.ResponseWriter, r *http.Request) {
	a.Plain(w, r, "tok-", a, a.tokenized)
}

func (a *API) tokenized(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
	req, err := a.parsePlain(w, r, h, t, tokenizeFields)
	if err != nil {
		return nil, err
	}
	words, err := a.words(r, req)
	if err != nil {
		return nil, err
	}
	room := roomOfID
	if req.tokenStrs {
		room += roomOfSpelling
	}
	if err := h.TakeAnswer(r.Context(), int64(room)*int64(len(words))); err != nil {
		return nil, err
	}
	ids, err := a.Backend.Tokenize(r.Context(), req.Model, words)
	if err != nil {
		return nil, err
	}
	t.Usage.Prompt = len(ids)
	out := &tokenized{Count: len(ids), Longest: a.Longest(req.Model), Tokens: append([]int32{}, ids...)}
	if req.tokenStrs {
		strs, err := a.Backend.Spell(r.Context(), req.Model, ids)
		if err != nil {
			return nil, err
		}
		out.Strs = append([]string{}, strs...)
	}
	return out, nil
}

// words are the prompt, or what the template makes of the messages.
func (a *API) words(r *http.Request, req *request) (string, error) {
	isChat := req.Chat != nil && req.Chat.Messages != nil
	switch {
	case isChat && req.Prompts != nil:
		return "", problem.Invalid("prompt", "prompt and messages are both given; give one of them")
	case req.Prompts != nil:
		return req.Prompts[0].Text, nil
	case !isChat:
		return "", problem.Invalid("prompt", "prompt is missing; expected a text, or messages instead")
	}
	if err := req.settleChat(); err != nil {
		return "", err
	}
	words, err := a.Render(r.Context(), &req.Request)
	if err != nil {
		return "", problem.From(err, "messages")
	}
	return words, nil
}

// Detokenize answers /detokenize.
func (a *API) Detokenize(w http.ResponseWriter, r *http.Request) {
	a.Plain(w, r, "detok-", a, a.detokenized)
}

func (a *API) detokenized(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally) (any, error) {
	req, err := a.parsePlain(w, r, h, t, detokenizeFields)
	if err != nil {
		return nil, err
	}
	if req.Prompts == nil {
		return nil, problem.Invalid("tokens", "tokens is missing; expected a list of token ids")
	}
	ids := req.Prompts[0].Tokens
	t.Usage.Prompt = len(ids)
	if err := h.TakeAnswer(r.Context(), roomOfWord*int64(len(ids))); err != nil {
		return nil, err
	}
	words, err := a.Backend.Detokenize(r.Context(), req.Model, ids)
	if err != nil {
		return nil, err
	}
	return map[string]string{"prompt": words}, nil
}

// parsePlain reads a body that asks for no answer of the model. Where there is only one, its name may be left out.
func (a *API) parsePlain(w http.ResponseWriter, r *http.Request, h *answer.Held, t *answer.Tally, table fields) (*request, error) {
	req, err := a.read(w, r, h, func(members []body.Member, unknown func(string)) (*request, error) {
		return parse(members, unknown, table)
	})
	if err != nil {
		return nil, err
	}
	if all := a.Backend.Models(); req.Model == "" && len(all) == 1 {
		req.Model = all[0].ID
	}
	t.Model = a.IDOf(req.Model)
	return req, req.NeedsModel()
}
