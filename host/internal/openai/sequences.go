// sequences.go answers /v1/sequences: token ids in, logits out.
package openai

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/inference-pio/inference-pio/host/internal/answer"
	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
	"github.com/inference-pio/inference-pio/host/internal/schedule"
	"github.com/inference-pio/inference-pio/sdk"
)

// maxTopLogits is how many of the likeliest ids a row may show; sampling of any kind looks at fewer.
const maxTopLogits = 1000

var openFields = fields{
	"model": common["model"],
	"user":  nil,
}

var forwardFields = fields{
	"tokens": func(r *request, v json.RawMessage) error {
		ids, err := tokenIDs(v)
		r.Prompts = []answer.Prompt{{Tokens: ids}}
		return err
	},
	"rows": readRows,
	"top": func(r *request, v json.RawMessage) error {
		n, err := body.Integer(v, 1, maxTopLogits)
		r.top = int(n)
		return err
	},
	"encoding": func(r *request, v json.RawMessage) error {
		if body.Compact(v) != `"base64"` {
			return body.Wrong(v, `"base64": little-endian float32; or top in its place`)
		}
		r.base64 = true
		return nil
	},
	"user": nil,
}

// readRows takes indices into tokens; those that are not there are found when both are known.
func readRows(r *request, v json.RawMessage) error {
	r.rows = []int{}
	if v[0] != '[' {
		return body.Wrong(v, "a list of indices into tokens")
	}
	for at := range body.Elements(v, 0) {
		n, err := body.Integer(v[at.From:at.To], 0, math.MaxInt32)
		if err != nil {
			return fmt.Errorf("at place %d %w", len(r.rows), err)
		}
		r.rows = append(r.rows, int(n))
	}
	return nil
}

// opened is the answer to opening and forking.
type opened struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Model   string `json:"model"`
	Expires int    `json:"expires_in"` // seconds without a call
}

func newOpened(s schedule.Sequence) opened {
	return opened{s.ID, "sequence", s.Model, int(s.Idle.Seconds())}
}

// OpenSequence answers POST /v1/sequences.
func (a *API) OpenSequence(w http.ResponseWriter, r *http.Request) {
	t := answer.NewTally(w, r, "open-")
	s, err := a.openedSequence(w, r, t)
	if err != nil {
		t.Refuse(w, a, problem.From(err, ""))
		return
	}
	answer.WriteJSON(w, http.StatusOK, newOpened(s))
}

func (a *API) openedSequence(w http.ResponseWriter, r *http.Request, t *answer.Tally) (s schedule.Sequence, err error) {
	h, err := a.Intake.Enter()
	if err != nil {
		return s, err
	}
	defer h.Leave()
	req, err := a.parsePlain(w, r, h, t, openFields)
	if err != nil {
		return s, err
	}
	return a.Sequences.OpenSequence(r.Context(), req.Model)
}

// ForkSequence answers POST /v1/sequences/{id}/fork.
func (a *API) ForkSequence(w http.ResponseWriter, r *http.Request) {
	t := answer.NewTally(w, r, "fork-")
	h, err := a.Intake.Enter() // it may wait for others
	if err != nil {
		t.Refuse(w, a, problem.From(err, ""))
		return
	}
	defer h.Leave()
	s, err := a.Sequences.ForkSequence(r.Context(), r.PathValue("id"))
	if err != nil {
		t.Refuse(w, a, problem.From(err, ""))
		return
	}
	t.Model = s.Model
	answer.WriteJSON(w, http.StatusOK, newOpened(s))
}

// CloseSequence answers DELETE /v1/sequences/{id}.
func (a *API) CloseSequence(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := a.Sequences.CloseSequence(r.Context(), id); err != nil {
		a.Refuse(w, problem.From(err, ""))
		return
	}
	answer.WriteJSON(w, http.StatusOK, map[string]any{"id": id, "object": "sequence", "deleted": true})
}

// Forward answers POST /v1/sequences/{id}/forward.
func (a *API) Forward(w http.ResponseWriter, r *http.Request) {
	t := answer.NewTally(w, r, "fwd-")
	if err := a.forwarded(w, r, t); err != nil {
		t.Refuse(w, a, a.Failure(err, "tokens", t.Model))
	}
}

// forwarded answers, or returns an error and has not.
func (a *API) forwarded(w http.ResponseWriter, r *http.Request, t *answer.Tally) error {
	s, err := a.Sequences.Sequence(r.PathValue("id"))
	if err != nil {
		return err
	}
	t.Model = s.Model
	h, err := a.Intake.Enter()
	if err != nil {
		return err
	}
	defer h.Leave()
	req, err := a.read(w, r, h, parseForward)
	if err != nil {
		return err
	}
	rows := req.rows
	if rows != nil && len(rows) == 0 {
		rows = nil // the contract knows no call without logits
	}
	if err := h.TakeAnswer(r.Context(), 8*int64(max(1, len(rows)))*int64(a.vocabulary(s.Model))); err != nil { // as it comes, and as it goes
		return err
	}
	out, err := a.Sequences.Forward(r.Context(), s.ID, req.Prompts[0].Tokens, rows)
	if err != nil {
		return err
	}
	t.Usage.Prompt = len(req.Prompts[0].Tokens)
	if req.rows != nil && rows == nil {
		out.Logits = nil
	}
	if req.top > 0 {
		return writeTop(w, out, req.top)
	}
	writeLogits(w, out)
	return nil
}

func parseForward(members []body.Member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, forwardFields)
	switch {
	case err != nil:
		return nil, err
	case r.Prompts == nil:
		return nil, problem.Invalid("tokens", "tokens is missing; expected a list of token ids")
	case r.top > 0 && r.base64:
		return nil, problem.Invalid("top", "top and encoding are both given; give one of them")
	case r.top*len(r.rows) > body.MaxValues:
		return nil, problem.Invalid("top", "top is %d for each of %d rows; expected at most %d together", r.top, len(r.rows), body.MaxValues)
	}
	return r, nil
}

// vocabulary is the number of logits in a row of the model's; 0 if that is not known.
func (a *API) vocabulary(model string) int {
	for _, s := range a.Backend.Models() {
		if s.Is(model) {
			return s.Table.VocabSize
		}
	}
	return 0
}

// logitHead is what the answer to a call begins with; its rows come behind it.
type logitHead struct {
	Length   int  `json:"length"`
	Vocab    int  `json:"vocab"`
	Replayed bool `json:"replayed"`
}

func headOf(out schedule.Forwarded) logitHead {
	return logitHead{out.Length, out.Vocab, out.Replayed}
}

// writeLogits sends rows as they are: they may be as large as a message, and are not copied for it.
func writeLogits(w http.ResponseWriter, out schedule.Forwarded) {
	w.Header().Set("Content-Type", "application/json")
	b := bufio.NewWriterSize(w, 32<<10)
	head, _ := json.Marshal(headOf(out)) // numbers and a bool
	_, _ = b.Write(head[:len(head)-1])
	_, _ = b.WriteString(`,"rows":[`)
	for i, row := range rowsOf(out.ForwardResult) {
		if i > 0 {
			_ = b.WriteByte(',')
		}
		_ = b.WriteByte('"')
		writeFloats(b, row)
		_ = b.WriteByte('"')
	}
	_, _ = b.WriteString("]}\n")
	_ = b.Flush() // the client is gone if this fails
}

// writeFloats writes little-endian float32 in base64.
func writeFloats(b *bufio.Writer, row []float32) {
	enc := base64.NewEncoder(base64.StdEncoding, b)
	var word [4]byte
	for _, x := range row {
		binary.LittleEndian.PutUint32(word[:], math.Float32bits(x))
		_, _ = enc.Write(word[:])
	}
	_ = enc.Close()
}

// rowsOf splits logits into their rows.
func rowsOf(r sdk.ForwardResult) [][]float32 {
	rows := [][]float32{}
	for row := range slices.Chunk(r.Logits, max(r.Vocab, 1)) {
		rows = append(rows, row)
	}
	return rows
}

// topLogit is one of the likeliest ids of a row.
type topLogit struct {
	ID      int     `json:"id"`
	Logit   float32 `json:"logit"`
	Logprob float64 `json:"logprob"`
}

func writeTop(w http.ResponseWriter, out schedule.Forwarded, k int) error {
	rows := [][]topLogit{}
	for _, row := range rowsOf(out.ForwardResult) {
		top, ok := topOf(row, k)
		if !ok {
			return sdk.Errorf(sdk.ReasonInternal, "the plugin sent logits that are no numbers")
		}
		rows = append(rows, top)
	}
	answer.WriteJSON(w, http.StatusOK, struct {
		logitHead
		Rows [][]topLogit `json:"rows"`
	}{headOf(out), rows})
	return nil
}

// topOf are the k likeliest ids, likeliest first and of equals the smallest id first; false if a logit is no number.
func topOf(row []float32, k int) ([]topLogit, bool) {
	top := make([]topLogit, 0, k)
	for id, x := range row {
		if x != x || x > math.MaxFloat32 {
			return nil, false
		}
		if len(top) == k && x <= top[k-1].Logit {
			continue
		}
		if len(top) == k {
			top = top[:k-1]
		}
		at, _ := slices.BinarySearchFunc(top, x, func(t topLogit, x float32) int {
			if t.Logit >= x {
				return -1
			}
			return 1
		})
		top = slices.Insert(top, at, topLogit{ID: id, Logit: x})
	}
	if len(top) == 0 {
		return top, true
	}
	most, sum := float64(top[0].Logit), 0.0
	for _, x := range row {
		sum += math.Exp(float64(x) - most)
	}
	for i := range top {
		top[i].Logprob = max(float64(top[i].Logit)-most-math.Log(sum), impossible)
		if top[i].Logit < -math.MaxFloat32 {
			top[i].Logit = impossible // JSON has no infinity
		}
	}
	return top, !math.IsNaN(sum)
}
