package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// fake is a Backend with one model, "tiny", that answers what the test says.
type fake struct {
	status []schedule.Status
	answer func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error

	render func(sdk.Chat) (string, error) // nil: the messages as they are

	logits   []float32 // of a row whose last token is id: each of these plus id
	replayed bool
	embeds   func(sdk.EmbedRequest) error

	mu   sync.Mutex
	seen []sdk.GenerateRequest

	sequences map[string][]int32
	embedded  []sdk.EmbedRequest
}

func newFake() *fake {
	return &fake{
		status: []schedule.Status{{
			ID: "tiny", Aliases: []string{"small"}, State: schedule.StateReady, Since: time.Unix(1700000000, 0),
			Description: sdk.Description{Name: "echo", Version: "0.1.0", Kernels: "cpu/avx2"}, Table: sdk.LayerTable{Context: 2048},
		}},
		answer: tokyo,
	}
}

func (f *fake) Models() []schedule.Status { return f.status }

func (f *fake) Generate(ctx context.Context, model string, g sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := f.knows(model); err != nil {
		return err
	}
	f.mu.Lock()
	f.seen = append(f.seen, g)
	f.mu.Unlock()
	return f.answer(ctx, g, func(e sdk.Event) error {
		if e.Start != nil && g.Resume != nil {
			return nil // its start was sent in the answer that is resumed
		}
		return send(e)
	})
}

// The tokenizer of the fake has one id per byte.

func (f *fake) Tokenize(_ context.Context, model, text string) ([]int32, error) {
	var ids []int32
	for i := range len(text) {
		ids = append(ids, int32(text[i]))
	}
	return ids, f.knows(model)
}

func (f *fake) Detokenize(_ context.Context, model string, ids []int32) (string, error) {
	var b []byte
	for _, id := range ids {
		b = append(b, byte(id))
	}
	return string(b), f.knows(model)
}

func (f *fake) Spell(_ context.Context, model string, ids []int32) ([]string, error) {
	var list []string
	for _, id := range ids {
		list = append(list, "Ġ"+string(rune(id)))
	}
	return list, f.knows(model)
}

func (f *fake) Render(_ context.Context, model string, chat sdk.Chat) (string, error) {
	if f.render != nil {
		return f.render(chat)
	}
	return string(chat.Messages), f.knows(model)
}

// A vector of the fake has the length and the first byte, or id, of what it is of.
func (f *fake) Embed(_ context.Context, model string, req sdk.EmbedRequest) (r sdk.EmbedResult, err error) {
	f.mu.Lock()
	f.embedded = append(f.embedded, req)
	f.mu.Unlock()
	if f.embeds != nil {
		if err := f.embeds(req); err != nil {
			return r, err
		}
	}
	for _, s := range req.Texts {
		r.Vectors, r.Tokens = append(r.Vectors, []float32{float32(len(s)), float32(s[0]) / 3}), append(r.Tokens, len(s))
	}
	for _, ids := range req.Tokens {
		r.Vectors, r.Tokens = append(r.Vectors, []float32{float32(len(ids)), float32(ids[0]) / 3}), append(r.Tokens, len(ids))
	}
	return r, f.knows(model)
}

func (f *fake) OpenSequence(_ context.Context, model string) (schedule.Sequence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.knows(model); err != nil {
		return schedule.Sequence{}, err
	}
	return f.open(nil), nil
}

func (f *fake) open(tokens []int32) schedule.Sequence {
	if f.sequences == nil {
		f.sequences = map[string][]int32{}
	}
	s := schedule.Sequence{ID: fmt.Sprint("seq-", len(f.sequences)), Model: "tiny", Idle: 90 * time.Second}
	f.sequences[s.ID] = tokens
	return s
}

func (f *fake) Sequence(id string) (schedule.Sequence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, open := f.sequences[id]; !open {
		return schedule.Sequence{}, sdk.Errorf(sdk.ReasonNotFound, "there is no such sequence")
	}
	return schedule.Sequence{ID: id, Model: "tiny", Idle: 90 * time.Second}, nil
}

func (f *fake) ForkSequence(_ context.Context, id string) (schedule.Sequence, error) {
	if _, err := f.Sequence(id); err != nil {
		return schedule.Sequence{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open(slices.Clone(f.sequences[id])), nil
}

func (f *fake) CloseSequence(_ context.Context, id string) error {
	if _, err := f.Sequence(id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.sequences, id)
	return nil
}

func (f *fake) Forward(_ context.Context, id string, tokens []int32, rows []int) (out schedule.Forwarded, err error) {
	if _, err := f.Sequence(id); err != nil {
		return out, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.sequences[id]) + len(tokens); n > 2048 {
		return out, &sdk.Error{Reason: sdk.ReasonContext, Field: "tokens", Message: fmt.Sprintf("the sequence would have %d", n)}
	}
	if rows == nil {
		rows = []int{len(tokens) - 1}
	}
	for _, r := range rows {
		if r >= len(tokens) {
			return out, &sdk.Error{Reason: sdk.ReasonInvalid, Field: "rows", Message: fmt.Sprintf("rows has %d", r)}
		}
		for _, x := range f.logits {
			out.Logits = append(out.Logits, x+float32(tokens[r]))
		}
	}
	f.sequences[id] = append(f.sequences[id], tokens...)
	out.Vocab, out.Length, out.Replayed = len(f.logits), len(f.sequences[id]), f.replayed
	return out, nil
}

func (f *fake) knows(model string) error {
	if model != "tiny" && model != "small" {
		return &schedule.UnknownModel{Name: model, Known: []string{"tiny"}}
	}
	return nil
}

// script sends events until one fails.
func script(send func(sdk.Event) error, list ...sdk.Event) error {
	for _, e := range list {
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

func token(i int, id int32, text string) sdk.Event {
	return sdk.Event{Token: &sdk.Token{Index: i, ID: id, Text: text}}
}

func start(prompt ...int32) sdk.Event {
	return sdk.Event{Start: &sdk.Start{Prompt: prompt, ContextLength: 2048}}
}

// tokyo thinks one word, holds the first id of its answer back, and ends with a held-back dot.
func tokyo(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	return script(send,
		start(7, 8, 9),
		sdk.Event{Token: &sdk.Token{Index: 0, ID: 40, Reasoning: "Hm"}},
		token(1, 41, ""),
		token(2, 42, "Tokyo <é>"),
		sdk.Event{Finish: &sdk.Finish{
			Reason: sdk.FinishStop, Text: ".", PromptTokens: 3, CompletionTokens: 3, ReasoningTokens: 1, CachedTokens: 2,
		}})
}

// post sends a body to the handler and returns the whole answer.
func post(h http.Handler, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// events splits a stream into the data of its events.
func dataOf(t *testing.T, body string) []string {
	t.Helper()
	var list []string
	for _, e := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(e, "data: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("not one data line: %q", e)
		}
		list = append(list, data)
	}
	return list
}

// variable replaces what differs between two runs.
func variable(s string, w *httptest.ResponseRecorder) string {
	s = strings.ReplaceAll(s, w.Header().Get("X-Request-Id"), "ID")
	s = regexp.MustCompile(`,"timings":\{[^}]*\}`).ReplaceAllString(s, "")
	i := strings.Index(s, `"created":`)
	for i >= 0 {
		end := i + len(`"created":`)
		rest := strings.TrimLeft(s[end:], "0123456789")
		s = s[:end] + "T" + rest
		next := strings.Index(s[end:], `"created":`)
		if next < 0 {
			break
		}
		i = end + next
	}
	return s
}

func equalLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
