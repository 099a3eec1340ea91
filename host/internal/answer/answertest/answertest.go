// Package answertest has a host without models, for tests of the protocols: a Backend that answers what the test says.
package answertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/host/internal/fetch"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/host/internal/telemetry"
	"github.com/inference-pio/inference-pio/sdk"
)

// Fake is a Backend with one model, "tiny", that answers what the test says.
type Fake struct {
	Status []schedule.Status
	Answer func(ctx context.Context, g sdk.GenerateRequest, send func(sdk.Event) error) error

	Rendered func(sdk.Chat) (string, error) // nil: the messages as they are

	Logits   []float32 // of a row whose last token is id: each of these plus id
	Replayed bool
	Embeds   func(sdk.EmbedRequest) error
	Loads    error // of what is told to load

	Mu       sync.Mutex // of what follows
	Seen     []sdk.GenerateRequest
	Open     map[string][]int32 // sequences
	Told     []string           // to load and to unload
	Embedded []sdk.EmbedRequest
}

// New is a Fake that answers with [Tokyo].
func New() *Fake {
	return &Fake{
		Status: []schedule.Status{{
			ID: "tiny", Aliases: []string{"small"}, State: schedule.StateReady, Since: time.Unix(1700000000, 0),
			Description: sdk.Description{Name: "echo", Version: "0.1.0", Kernels: "cpu/avx2"}, Table: sdk.LayerTable{Context: 2048},
		}},
		Answer: Tokyo,
	}
}

func (f *Fake) Models() []schedule.Status { return f.Status }

func (f *Fake) Generate(ctx context.Context, model string, g sdk.GenerateRequest, send func(sdk.Event) error) error {
	if err := f.knows(model); err != nil {
		return err
	}
	f.Mu.Lock()
	f.Seen = append(f.Seen, g)
	f.Mu.Unlock()
	return f.Answer(ctx, g, func(e sdk.Event) error {
		if e.Start != nil && g.Resume != nil {
			return nil // its start was sent in the answer that is resumed
		}
		return send(e)
	})
}

// The tokenizer of the fake has one id per byte.

func (f *Fake) Tokenize(_ context.Context, model, text string) ([]int32, error) {
	var ids []int32
	for i := range len(text) {
		ids = append(ids, int32(text[i]))
	}
	return ids, f.knows(model)
}

func (f *Fake) Detokenize(_ context.Context, model string, ids []int32) (string, error) {
	var b []byte
	for _, id := range ids {
		b = append(b, byte(id))
	}
	return string(b), f.knows(model)
}

func (f *Fake) Spell(_ context.Context, model string, ids []int32) ([]string, error) {
	var list []string
	for _, id := range ids {
		list = append(list, "Ġ"+string(rune(id)))
	}
	return list, f.knows(model)
}

func (f *Fake) Render(_ context.Context, model string, chat sdk.Chat) (string, error) {
	if f.Rendered != nil {
		return f.Rendered(chat)
	}
	return string(chat.Messages), f.knows(model)
}

func (f *Fake) Load(_ context.Context, model string) error {
	return errors.Join(f.Loads, f.told("load "+model, model))
}

func (f *Fake) Unload(model string) error { return f.told("unload "+model, model) }

func (f *Fake) told(what, model string) error {
	f.Mu.Lock()
	f.Told = append(f.Told, what)
	f.Mu.Unlock()
	return f.knows(model)
}

// A vector of the fake has the length and the first byte, or id, of what it is of.
func (f *Fake) Embed(_ context.Context, model string, req sdk.EmbedRequest) (r sdk.EmbedResult, err error) {
	f.Mu.Lock()
	f.Embedded = append(f.Embedded, req)
	f.Mu.Unlock()
	if f.Embeds != nil {
		if err := f.Embeds(req); err != nil {
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

func (f *Fake) OpenSequence(_ context.Context, model string) (schedule.Sequence, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if err := f.knows(model); err != nil {
		return schedule.Sequence{}, err
	}
	return f.open(nil), nil
}

func (f *Fake) open(tokens []int32) schedule.Sequence {
	if f.Open == nil {
		f.Open = map[string][]int32{}
	}
	s := schedule.Sequence{ID: fmt.Sprint("seq-", len(f.Open)), Model: "tiny", Idle: 90 * time.Second}
	f.Open[s.ID] = tokens
	return s
}

func (f *Fake) Sequence(id string) (schedule.Sequence, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if _, open := f.Open[id]; !open {
		return schedule.Sequence{}, sdk.Errorf(sdk.ReasonNotFound, "there is no such sequence")
	}
	return schedule.Sequence{ID: id, Model: "tiny", Idle: 90 * time.Second}, nil
}

func (f *Fake) ForkSequence(_ context.Context, id string) (schedule.Sequence, error) {
	if _, err := f.Sequence(id); err != nil {
		return schedule.Sequence{}, err
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	return f.open(slices.Clone(f.Open[id])), nil
}

func (f *Fake) CloseSequence(_ context.Context, id string) error {
	if _, err := f.Sequence(id); err != nil {
		return err
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	delete(f.Open, id)
	return nil
}

func (f *Fake) Forward(_ context.Context, id string, tokens []int32, rows []int) (out schedule.Forwarded, err error) {
	if _, err := f.Sequence(id); err != nil {
		return out, err
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if n := len(f.Open[id]) + len(tokens); n > 2048 {
		return out, &sdk.Error{Reason: sdk.ReasonContext, Field: "tokens", Message: fmt.Sprintf("the sequence would have %d", n)}
	}
	if rows == nil {
		rows = []int{len(tokens) - 1}
	}
	for _, r := range rows {
		if r >= len(tokens) {
			return out, &sdk.Error{Reason: sdk.ReasonInvalid, Field: "rows", Message: fmt.Sprintf("rows has %d", r)}
		}
		for _, x := range f.Logits {
			out.Logits = append(out.Logits, x+float32(tokens[r]))
		}
	}
	f.Open[id] = append(f.Open[id], tokens...)
	out.Vocab, out.Length, out.Replayed = len(f.Logits), len(f.Open[id]), f.Replayed
	return out, nil
}

func (f *Fake) knows(model string) error {
	if model != "tiny" && model != "small" {
		return &schedule.UnknownModel{Name: model, Known: []string{"tiny"}}
	}
	return nil
}

// Script sends events until one fails.
func Script(send func(sdk.Event) error, list ...sdk.Event) error {
	for _, e := range list {
		if err := send(e); err != nil {
			return err
		}
	}
	return nil
}

// Token is an event of one.
func Token(i int, id int32, text string) sdk.Event {
	return sdk.Event{Token: &sdk.Token{Index: i, ID: id, Text: text}}
}

// Start is the first event.
func Start(prompt ...int32) sdk.Event {
	return sdk.Event{Start: &sdk.Start{Prompt: prompt, ContextLength: 2048}}
}

// Tokyo thinks one word, holds the first id of its answer back, and ends with a held-back dot.
func Tokyo(_ context.Context, _ sdk.GenerateRequest, send func(sdk.Event) error) error {
	return Script(send,
		Start(7, 8, 9),
		sdk.Event{Token: &sdk.Token{Index: 0, ID: 40, Reasoning: "Hm"}},
		Token(1, 41, ""),
		Token(2, 42, "Tokyo <é>"),
		sdk.Event{Finish: &sdk.Finish{
			Reason: sdk.FinishStop, Text: ".", PromptTokens: 3, CompletionTokens: 3, ReasoningTokens: 1, CachedTokens: 2,
		}})
}

// Post sends a body to the handler and returns the whole answer.
func Post(h http.Handler, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// DataOf splits a stream into the data of its events.
func DataOf(t *testing.T, body string) []string {
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

// Variable replaces what differs between two runs.
func Variable(s string, w *httptest.ResponseRecorder) string {
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

// EqualLines compares what is told line by line.
func EqualLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Handler answers every request as one protocol does.
func Handler(f *Fake, p answer.Protocol) http.Handler {
	s := Service(f)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Answer(w, r, p) })
}

// Service is a host's, with room for all.
func Service(f *Fake) *answer.Service {
	const room = 64 << 20
	return &answer.Service{
		Backend: f, Log: telemetry.Discard(), Pictures: fetch.New(config.Pictures{}), MaxBody: room / 2, KeepAlive: time.Hour, Traces: noop.NewTracerProvider(),
		Intake: answer.NewIntake(answer.Bounds{Bodies: room, Requests: 100, Queue: 100}),
	}
}

var drawn = regexp.MustCompile(`\b([a-z]+_)(?:c-)?[0-9a-f]{24}\b`)

// Stable replaces ids that are drawn by their prefix and a number, in the order in which they come, and times by 1.
func Stable(s string) string {
	known := map[string]string{}
	s = drawn.ReplaceAllStringFunc(s, func(id string) string {
		if known[id] == "" {
			known[id] = fmt.Sprint(drawn.FindStringSubmatch(id)[1], len(known))
		}
		return known[id]
	})
	return regexp.MustCompile(`("(?:created|created_at|completed_at)":)(?:[0-9.]+|"[^"]*")`).ReplaceAllString(s, "${1}1")
}
