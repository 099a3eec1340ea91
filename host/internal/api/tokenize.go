// tokenize.go answers /tokenize and /detokenize, as vLLM has them.
package api

import (
	"encoding/json"
	"net/http"
)

// tokenizeFields are those of /tokenize, for a prompt and for messages.
var tokenizeFields = fields{
	"model": common["model"],

	"prompt": func(r *request, v json.RawMessage) error {
		s, err := text(v)
		r.prompts = []prompt{{text: s}}
		return err
	},
	"messages":              readMessages,
	"tools":                 readTools,
	"chat_template_kwargs":  readKwargs,
	"add_generation_prompt": readGenerationPrompt,
	reasoningEffort:         readEffort,
	enableThinking:          readEnableThinking,
	"thinking":              readThinking,

	"return_token_strs": func(r *request, v json.RawMessage) (err error) { r.tokenStrs, err = boolean(v); return },
	// Byte-level tokenizers put nothing around a text by themselves; what a chat needs, its template writes.
	"add_special_tokens": func(_ *request, v json.RawMessage) error { _, err := boolean(v); return err },

	"continue_final_message": unbuilt("false"),
	"chat_template":          unbuilt(),
	"mm_processor_kwargs":    unbuilt("{}"),
	"user":                   nil,
}

var detokenizeFields = fields{
	"model": common["model"],
	"tokens": func(r *request, v json.RawMessage) error {
		if compact(v) == "[]" {
			r.prompts = []prompt{{}}
			return nil
		}
		ids, err := tokenIDs(v)
		r.prompts = []prompt{{tokens: ids}}
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

func (a *api) tokenize(w http.ResponseWriter, r *http.Request) {
	a.plainly(w, r, newTally(w, r, "tok-"), a.tokenized)
}

// plainly answers with what make returns. The request holds its room until the client has read all of it: a client that does not
// read costs no more than one that does.
func (a *api) plainly(w http.ResponseWriter, r *http.Request, t *tally, make func(http.ResponseWriter, *http.Request, *held, *tally) (any, error)) {
	h, err := a.intake.enter()
	if err != nil {
		t.refuse(w, asError(err, ""))
		return
	}
	defer h.leave()
	out, err := make(w, r, h, t)
	if err != nil {
		t.refuse(w, asError(err, ""))
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (a *api) tokenized(w http.ResponseWriter, r *http.Request, h *held, t *tally) (any, error) {
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
	if err := h.takeAnswer(r.Context(), int64(room)*int64(len(words))); err != nil {
		return nil, err
	}
	ids, err := a.backend.Tokenize(r.Context(), req.model, words)
	if err != nil {
		return nil, err
	}
	t.usage.Prompt = len(ids)
	out := &tokenized{Count: len(ids), Longest: a.longest(req.model), Tokens: append([]int32{}, ids...)}
	if req.tokenStrs {
		strs, err := a.backend.Spell(r.Context(), req.model, ids)
		if err != nil {
			return nil, err
		}
		out.Strs = append([]string{}, strs...)
	}
	return out, nil
}

// words are the prompt, or what the template makes of the messages.
func (a *api) words(r *http.Request, req *request) (string, error) {
	isChat := req.chat != nil && req.chat.Messages != nil
	switch {
	case isChat && req.prompts != nil:
		return "", invalid("prompt", "prompt and messages are both given; give one of them")
	case req.prompts != nil:
		return req.prompts[0].text, nil
	case !isChat:
		return "", invalid("prompt", "prompt is missing; expected a text, or messages instead")
	}
	if err := req.settleChat(); err != nil {
		return "", err
	}
	for range req.pictures { // nobody looks at the files: that there are some is for a model that takes none to refuse
		req.chat.Images = append(req.chat.Images, []byte{})
	}
	words, err := a.backend.Render(r.Context(), req.model, *req.chat)
	if err != nil {
		return "", asError(err, "messages")
	}
	return words, nil
}

func (a *api) detokenize(w http.ResponseWriter, r *http.Request) {
	a.plainly(w, r, newTally(w, r, "detok-"), a.detokenized)
}

func (a *api) detokenized(w http.ResponseWriter, r *http.Request, h *held, t *tally) (any, error) {
	req, err := a.parsePlain(w, r, h, t, detokenizeFields)
	if err != nil {
		return nil, err
	}
	if req.prompts == nil {
		return nil, invalid("tokens", "tokens is missing; expected a list of token ids")
	}
	ids := req.prompts[0].tokens
	t.usage.Prompt = len(ids)
	if err := h.takeAnswer(r.Context(), roomOfWord*int64(len(ids))); err != nil {
		return nil, err
	}
	words, err := a.backend.Detokenize(r.Context(), req.model, ids)
	if err != nil {
		return nil, err
	}
	return map[string]string{"prompt": words}, nil
}

// parsePlain reads a body that asks for no answer of the model. Where there is only one, its name may be left out.
func (a *api) parsePlain(w http.ResponseWriter, r *http.Request, h *held, t *tally, table fields) (*request, error) {
	req, err := a.read(w, r, h, func(members []member, unknown func(string)) (*request, error) { return parse(members, unknown, table) })
	if err != nil {
		return nil, err
	}
	if all := a.backend.Models(); req.model == "" && len(all) == 1 {
		req.model = all[0].ID
	}
	t.model = a.idOf(req.model)
	return req, req.needsModel()
}

func (a *api) longest(model string) int {
	for _, s := range a.backend.Models() {
		if s.Is(model) {
			return s.Table.Context
		}
	}
	return 0
}
