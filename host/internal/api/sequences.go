// sequences.go answers /v1/sequences: token ids in, logits out.
package api

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"

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
		r.prompts = []prompt{{tokens: ids}}
		return err
	},
	"rows": readRows,
	"top": func(r *request, v json.RawMessage) error {
		n, err := integer(v, 1, maxTopLogits)
		r.top = int(n)
		return err
	},
	"encoding": func(r *request, v json.RawMessage) error {
		if compact(v) != `"base64"` {
			return wrong(v, `"base64": little-endian float32; or top in its place`)
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
		return wrong(v, "a list of indices into tokens")
	}
	for at := range elements(v, 0) {
		n, err := integer(v[at.from:at.to], 0, math.MaxInt32)
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

func (a *api) openSequence(w http.ResponseWriter, r *http.Request) {
	t := newTally(w, r, "open-")
	s, err := a.openedSequence(w, r, t)
	if err != nil {
		t.refuse(w, asError(err, ""))
		return
	}
	writeJSON(w, http.StatusOK, newOpened(s))
}

func (a *api) openedSequence(w http.ResponseWriter, r *http.Request, t *tally) (s schedule.Sequence, err error) {
	h, err := a.intake.enter()
	if err != nil {
		return s, err
	}
	defer h.leave()
	req, err := a.parsePlain(w, r, h, t, openFields)
	if err != nil {
		return s, err
	}
	return a.backend.OpenSequence(r.Context(), req.model)
}

func (a *api) forkSequence(w http.ResponseWriter, r *http.Request) {
	t := newTally(w, r, "fork-")
	h, err := a.intake.enter() // it may wait for others
	if err != nil {
		t.refuse(w, asError(err, ""))
		return
	}
	defer h.leave()
	s, err := a.backend.ForkSequence(r.Context(), r.PathValue("id"))
	if err != nil {
		t.refuse(w, asError(err, ""))
		return
	}
	t.model = s.Model
	writeJSON(w, http.StatusOK, newOpened(s))
}

func (a *api) closeSequence(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := a.backend.CloseSequence(r.Context(), id); err != nil {
		writeError(w, asError(err, ""))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"id": id, "object": "sequence", "deleted": true})
}

func (a *api) forward(w http.ResponseWriter, r *http.Request) {
	t := newTally(w, r, "fwd-")
	if err := a.forwarded(w, r, t); err != nil {
		t.refuse(w, a.overflow(asError(err, "tokens"), t.model))
	}
}

// forwarded answers, or returns an error and has not.
func (a *api) forwarded(w http.ResponseWriter, r *http.Request, t *tally) error {
	s, err := a.backend.Sequence(r.PathValue("id"))
	if err != nil {
		return err
	}
	t.model = s.Model
	h, err := a.intake.enter()
	if err != nil {
		return err
	}
	defer h.leave()
	req, err := a.read(w, r, h, parseForward)
	if err != nil {
		return err
	}
	rows := req.rows
	if rows != nil && len(rows) == 0 {
		rows = nil // the contract knows no call without logits
	}
	if err := h.takeAnswer(r.Context(), 8*int64(max(1, len(rows)))*int64(a.vocabulary(s.Model))); err != nil { // as it comes, and as it goes
		return err
	}
	out, err := a.backend.Forward(r.Context(), s.ID, req.prompts[0].tokens, rows)
	if err != nil {
		return err
	}
	t.usage.Prompt = len(req.prompts[0].tokens)
	if req.rows != nil && rows == nil {
		out.Logits = nil
	}
	if req.top > 0 {
		return writeTop(w, out, req.top)
	}
	writeLogits(w, out)
	return nil
}

func parseForward(members []member, unknown func(string)) (*request, error) {
	r, err := parse(members, unknown, forwardFields)
	switch {
	case err != nil:
		return nil, err
	case r.prompts == nil:
		return nil, invalid("tokens", "tokens is missing; expected a list of token ids")
	case r.top > 0 && r.base64:
		return nil, invalid("top", "top and encoding are both given; give one of them")
	case r.top*len(r.rows) > maxValues:
		return nil, invalid("top", "top is %d for each of %d rows; expected at most %d together", r.top, len(r.rows), maxValues)
	}
	return r, nil
}

// vocabulary is the number of logits in a row of the model's; 0 if that is not known.
func (a *api) vocabulary(model string) int {
	for _, s := range a.backend.Models() {
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
	writeJSON(w, http.StatusOK, struct {
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
