package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fakeVocab = 40

// fakeModel is a model whose logits are a pure function of the history of ids and forms. It keeps that history in cells
// behind the block tables, as a real one keeps keys and values, and checks every promise the engine makes.
type fakeModel struct {
	mu     sync.Mutex
	config Config
	cells  []uint64 // history up to and with the position, by block*BlockSize + offset
	states []uint64 // of a stateful one: history up to and with the last position, by slot
	last   map[int32]Row
	broken []string
	steps  [][]Row
	limit  int                  // rows per step
	asked  bool                 // by sessions, which want the logits of more than last rows
	rows   int                  // of logits per step
	before func(b *Batch) error // called first, if set; its error is the step's
	host   func(c Copy, before []Copy)
	logits [][]float32
}

func newFakeModel(c Config) *fakeModel {
	rows := c.MaxSequences
	if c.PromptLogprobs {
		rows += BlockSize - 1
	}
	return &fakeModel{config: c, cells: make([]uint64, c.Blocks*BlockSize), states: make([]uint64, c.MaxSequences+c.Snapshots),
		last: map[int32]Row{}, limit: c.StepTokens, rows: rows}
}

// copies makes what the batch asks for.
func (f *fakeModel) copies(list []Copy) {
	for i, c := range list {
		switch {
		case c.Host != Within:
			f.host(c, list[:i])
		case !c.State:
			copy(f.cells[c.To*BlockSize:][:BlockSize], f.cells[c.From*BlockSize:][:BlockSize])
		case !f.config.Stateful:
			f.complain("a copy of a state that it has not: %+v", c)
		default:
			f.states[c.To] = f.states[c.From]
		}
	}
}

// history is what is known before a row: with a state it is that, else the cell of the position before.
func (f *fakeModel) history(b *Batch, r Row) uint64 {
	switch {
	case r.Pos == 0:
		return 0
	case f.config.Stateful:
		if before := f.cells[cell(b, r.Seq, r.Pos-1)]; before != f.states[r.Seq] {
			f.complain("slot %d at %d: state and cache are not of one history", r.Seq, r.Pos)
		}
		return f.states[r.Seq]
	}
	return f.cells[cell(b, r.Seq, r.Pos-1)]
}

// extend is the history after one more row.
func extend(history uint64, token int32, form Form) uint64 {
	r := philox([4]uint32{uint32(token), uint32(form), 17}, [2]uint32{uint32(history), uint32(history >> 32)})
	return uint64(r[0])<<32 | uint64(r[1])
}

func fakeLogits(history uint64, dst []float32) {
	r := rand.New(rand.NewPCG(history, 1))
	for i := range dst {
		dst[i] = float32(r.NormFloat64() * 2)
	}
	dst[0] -= 1 // id 0 is the end token: rare enough for answers to have some length
}

func (f *fakeModel) Step(b *Batch) ([][]float32, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.before != nil {
		if err := f.before(b); err != nil {
			return nil, err
		}
	}
	f.steps = append(f.steps, slices.Clone(b.Rows))
	f.check(b)
	f.copies(b.Copies)
	f.logits = f.logits[:0]
	for _, r := range b.Rows {
		form := r.Form
		if f.config.OneForm {
			form = Prefill
		}
		history := extend(f.history(b, r), r.Token, form)
		f.cells[cell(b, r.Seq, r.Pos)], f.states[r.Seq] = history, history
		if r.Output {
			row := make([]float32, fakeVocab)
			fakeLogits(history, row)
			if r.Final {
				row = []float32{float32(history % 1000), float32(r.Pos)}
			}
			f.logits = append(f.logits, row)
		}
	}
	return f.logits, nil
}

func cell(b *Batch, seq, pos int32) int32 {
	return b.Tables[seq][pos/BlockSize]*BlockSize + pos%BlockSize
}

func (f *fakeModel) complain(format string, args ...any) {
	f.broken = append(f.broken, fmt.Sprintf("step %d: ", len(f.steps))+fmt.Sprintf(format, args...))
}

// check holds the batch against the list in doc.go.
func (f *fakeModel) check(b *Batch) {
	if len(b.Rows) == 0 || len(b.Rows) > f.limit {
		f.complain("%d rows; the limit is %d", len(b.Rows), f.limit)
	}
	outputs := 0
	for _, r := range b.Rows {
		if r.Output {
			outputs++
		}
	}
	if outputs > f.rows {
		f.complain("%d rows of logits; the limit is %d", outputs, f.rows)
	}
	written := map[int32]bool{}
	seen := map[int32]bool{}
	for i, r := range b.Rows {
		first := i == 0 || b.Rows[i-1].Seq != r.Seq
		if i > 0 && b.Rows[i-1].Form == Prefill && r.Form == Decode {
			f.complain("a decode row after a prefill row")
		}
		if first && seen[r.Seq] {
			f.complain("the rows of slot %d are not neighbours", r.Seq)
		}
		seen[r.Seq] = true
		if c := cell(b, r.Seq, r.Pos); written[c] {
			f.complain("two rows write one cell")
		} else {
			written[c] = true
		}
		f.checkOrder(r, first)
		f.last[r.Seq] = r
	}
}

func (f *fakeModel) checkOrder(r Row, first bool) {
	last, ok := f.last[r.Seq]
	follows := ok && r.Pos == last.Pos+1
	switch {
	case !first && (!follows || last.Form != r.Form || last.Output && r.Form == Decode && !f.asked):
		f.complain("slot %d: %+v after %+v in one step", r.Seq, r, last)
	case first && r.Form == Prefill && int(r.Pos)%f.config.chunk() != 0:
		f.complain("a chunk begins at position %d", r.Pos)
	case first && r.Form == Decode && !follows && !f.config.PrefixCache:
		f.complain("slot %d: a decode row at %d after %+v", r.Seq, r.Pos, last)
	}
}

func (f *fakeModel) verify(t interface{ Errorf(string, ...any) }) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.broken {
		t.Errorf("promise broken: %s", b)
	}
}

// alone is the answer by definition, without an engine.
func alone(r Request, context int) ([]int32, sdk.FinishReason) { return aloneIn(Decode, r, context) }

// aloneIn is that of a model that computes answers in that form.
func aloneIn(form Form, r Request, context int) ([]int32, sdk.FinishReason) {
	s := NewSampler(r.Sampling, r.Choice)
	s.Prompt(r.Prompt...)
	history := uint64(0)
	for _, id := range r.Prompt {
		history = extend(history, id, Prefill)
	}
	var answer []int32
	for {
		logits := make([]float32, fakeVocab)
		fakeLogits(history, logits)
		for _, end := range r.EOS {
			if len(answer) < r.MinTokens && !r.IgnoreEOS {
				logits[end] = float32(math.Inf(-1))
			}
		}
		id, _, err := s.Sample(logits, len(r.Prompt)+len(answer))
		if err != nil {
			panic(err)
		}
		if len(answer) < len(r.Forced) {
			id = r.Forced[len(answer)]
		}
		answer = append(answer, id)
		s.Answer(id)
		switch {
		case !r.IgnoreEOS && slices.Contains(r.EOS, id):
			return answer, sdk.FinishStop
		case len(answer) == r.MaxTokens, len(r.Prompt)+len(answer) == context:
			return answer, sdk.FinishLength
		}
		history = extend(history, id, form)
	}
}

// scores are the logprobs of a prompt by definition.
func scores(r Request) []sdk.TokenLogprob {
	list := make([]sdk.TokenLogprob, len(r.Prompt))
	history := uint64(0)
	for i, id := range r.Prompt[:len(r.Prompt)-1] {
		history = extend(history, id, Prefill)
		logits := make([]float32, fakeVocab)
		fakeLogits(history, logits)
		sampler := NewSampler(Params{Logprobs: true, TopLogprobs: r.Sampling.TopLogprobs}, 0)
		logprob, err := sampler.Given(logits, r.Prompt[i+1])
		if err != nil {
			panic(err)
		}
		list[i+1] = *logprob
	}
	return list
}

// collect runs a request to its end. Scores of the prompt are held against their definition.
func collect(e *Engine, r Request) ([]int32, Result, error) {
	answer := slices.Clone(r.Generated)
	result, err := e.Generate(context.Background(), r, func(s Sampled) (bool, error) {
		if s.Index != len(answer) {
			return false, fmt.Errorf("index %d after %d ids", s.Index, len(answer))
		}
		if scored := s.Index == 0 && r.ScorePrompt; scored != (s.Prompt != nil) || scored && !reflect.DeepEqual(s.Prompt, scores(r)) {
			return false, fmt.Errorf("with index %d came the scores %+v", s.Index, s.Prompt)
		}
		answer = append(answer, s.ID)
		return false, nil
	})
	return answer, result, err
}

func ids(n int, seed uint64) []int32 {
	r := rand.New(rand.NewPCG(seed, 9))
	out := make([]int32, n)
	for i := range out {
		out[i] = r.Int32N(fakeVocab)
	}
	return out
}

func start(t testing.TB, c Config) (*Engine, *fakeModel) {
	t.Helper()
	if c.Vocab == 0 {
		c.Vocab = fakeVocab
	}
	m := newFakeModel(c)
	e, err := New(m, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		m.verify(t)
	})
	return e, m
}

func wantSame(t interface{ Fatalf(string, ...any) }, r Request, context int, answer []int32, result Result) {
	want, reason := alone(r, context)
	if !slices.Equal(answer, want) || result.Reason != reason || result.Completion != len(want) {
		t.Fatalf("got %v, %+v\nwant %v, %s", answer, result, want, reason)
	}
}

func wantIdle(t interface{ Errorf(string, ...any) }, e *Engine) {
	if s := e.Stats(); s.BlocksUsed != 0 || s.Running != 0 || s.Waiting != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Reason != sdk.ReasonInvalid || e.Field != field {
		t.Errorf("want an invalid %s, got %v", field, err)
	}
}
