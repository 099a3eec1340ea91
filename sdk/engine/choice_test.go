package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
)

// largest are the k largest of a row as Among wants them: by sorting everything.
func largest(row []float32, k int) (ids []int32, logits []float32) {
	all := make([]int32, len(row))
	for i := range all {
		all[i] = int32(i)
	}
	slices.SortFunc(all, func(a, b int32) int {
		x, y := row[a], row[b]
		switch {
		case x > y, x != x && y == y:
			return -1
		case x < y, x == x && y != y:
			return 1
		}
		return int(a - b)
	})
	for _, id := range all[:k] {
		ids, logits = append(ids, id), append(logits, row[id])
	}
	return ids, logits
}

// choiceCase is a row with a sampler that has seen some of its ids.
type choiceCase struct {
	row     []float32
	sampler *Sampler
	without []int32
	given   int32
}

func (c *choiceCase) ask() *Choice {
	choice := c.sampler.Ask(7)
	choice.Without, choice.Given = c.without, c.given
	return choice
}

func pickOf[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func randomChoice(r *rand.Rand) *choiceCase {
	n := pickOf(r, 1, 2, 30, 300, 1000)
	levels := pickOf(r, 1, 3, 50, 1<<20, 1<<20) // few levels make ties
	c := &choiceCase{row: make([]float32, n), given: drawn}
	for i := range c.row {
		c.row[i] = float32(r.IntN(levels))/float32(levels)*24 - 12
	}
	for range pickOf(r, 0, 0, n/2, n) {
		c.row[r.IntN(n)] = float32(math.Inf(-1))
	}
	for _, odd := range []float64{math.NaN(), math.Inf(1), math.Copysign(0, -1), math.MaxFloat32} {
		if r.IntN(10) == 0 {
			c.row[r.IntN(n)] = float32(odd)
		}
	}
	p := Params{Seed: r.Uint64(), Temperature: pickOf(r, 0, 0.6, 1.5), TopK: pickOf(r, 0, 1, 2, 20, 20, 256, 257, n), TopP: pickOf(r, 0, 0.3, 0.9),
		MinP: pickOf(r, 0, 0.1), Logprobs: r.IntN(10) == 0}
	if r.IntN(2) == 0 {
		p.RepetitionPenalty, p.PresencePenalty = pickOf(r, 0, 1, 1.1, 1.5, 0.5), pickOf[float64](r, 0, 1, 8, 8, -1)
		p.FrequencyPenalty = pickOf(r, 0, 0, 0.5, -0.5)
		for range r.IntN(3) {
			if p.LogitBias == nil {
				p.LogitBias = map[int32]float64{}
			}
			p.LogitBias[r.Int32N(int32(n))] = pickOf[float64](r, -100, -8, 3)
		}
	}
	c.sampler = NewSampler(p, 1)
	seen, _ := largest(c.row, n) // the likeliest are what an answer repeats
	for range r.IntN(40) {
		id := seen[min(int(r.ExpFloat64()*10), n-1)]
		if r.IntN(2) == 0 {
			c.sampler.Prompt(id)
		} else {
			c.sampler.Answer(id)
		}
	}
	if r.IntN(4) == 0 {
		c.without = []int32{seen[0], -1, int32(n), seen[n/2]}
	}
	if r.IntN(10) == 0 {
		c.given = r.Int32N(int32(n))
	}
	return c
}

// What the largest logits of a row decide is what the whole row does, to the bit and with its errors; and they decide often.
func TestTheLargestDecideWhatTheWholeRowDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	asked, decided := 0, 0
	for range 6000 {
		c := randomChoice(r)
		choice := c.ask()
		choice.From(slices.Clone(c.row))
		id, logprob, err := choice.Chosen()
		choice = c.ask()
		k := choice.Candidates(len(c.row))
		if k == 0 {
			if choice.Among([]int32{0}, []float32{1}, len(c.row)) {
				t.Fatal("one id decided what takes all logits")
			}
			continue
		}
		if k > MostCandidates || k > len(c.row) {
			t.Fatalf("%d candidates of %d; at most %d are promised", k, len(c.row), MostCandidates)
		}
		asked++
		if r.IntN(2) == 0 { // than were asked for: what a model gives is enough or it is not
			k = 1 + r.IntN(k)
		}
		ids, logits := largest(c.row, k)
		if !choice.Among(ids, logits, len(c.row)) {
			if choice.Made() {
				t.Fatal("a choice that is not decided is made")
			}
			continue
		}
		decided++
		got, gotLogprob, gotErr := choice.Chosen()
		if got != id || gotErr != nil || err != nil || gotLogprob != nil || logprob != nil {
			t.Fatalf("%d of %d logits decided for %d (%v); all for %d (%v)", k, len(c.row), got, gotErr, id, err)
		}
	}
	if decided < asked/3 {
		t.Errorf("of %d choices %d were decided by the largest logits", asked, decided)
	}
}

// An id outside of the candidates may equal the best of them that penalties leave, and come before it; or be among top_k.
func TestWhatTheCandidatesCannotDecide(t *testing.T) {
	row := []float32{5, 5, 9, 8} // the candidates are 2, 3 and 0
	ids, logits := largest(row, 3)
	for name, c := range map[string]struct {
		p    Params
		seen []int32
		want bool
	}{
		"the best falls to where others are":   {Params{PresencePenalty: 4}, []int32{2, 3}, false},
		"the best stays above them":            {Params{PresencePenalty: 2}, []int32{2, 3}, true},
		"the second falls to where others are": {Params{Temperature: 1, TopK: 2, PresencePenalty: 3}, []int32{3}, false},
		"the third has equals":                 {Params{Temperature: 1, TopK: 3}, nil, false},
		"the second has none":                  {Params{Temperature: 1, TopK: 2}, nil, true},
	} {
		s := NewSampler(c.p, 0)
		s.Answer(c.seen...)
		if got := s.Ask(0).Among(ids, logits, len(row)); got != c.want {
			t.Errorf("%s: decided %v, want %v", name, got, c.want)
		}
	}
}

// The usual requests are decided by the candidates that they ask for.
func TestUsualRequestsNeedFewLogits(t *testing.T) {
	const vocab = 151936
	r := rand.New(rand.NewPCG(1, 2))
	row := make([]float32, vocab)
	for i := range row {
		row[i] = float32(r.NormFloat64() * 3)
	}
	for _, c := range []struct {
		p    Params
		want int // candidates; 0: all logits
	}{
		{Params{}, 1}, {Params{Temperature: 0.7, TopK: 20, TopP: 0.8}, 20 + spareTies}, {Params{Temperature: 1, TopK: 256}, 256 + spareTies},
		{Params{RepetitionPenalty: 1.05}, 1 + sparePenalties}, {Params{Temperature: 0.6, TopK: 20, PresencePenalty: 1.5}, 20 + sparePenalties},
		{Params{LogitBias: map[int32]float64{3: -100}}, 1 + sparePenalties}, {Params{LogitBias: map[int32]float64{3: 1}}, 0},
		{Params{RepetitionPenalty: 0.9}, 0}, {Params{PresencePenalty: -1}, 0}, {Params{FrequencyPenalty: -1}, 0},
		{Params{Temperature: 1}, 0}, {Params{Temperature: 1, TopP: 0.9}, 0}, {Params{Temperature: 1, TopK: 257}, 0}, {Params{Logprobs: true}, 0},
	} {
		s := NewSampler(c.p, 0)
		top, _ := largest(row, 12)
		s.Answer(top...)
		choice := s.Ask(12)
		n := choice.Candidates(vocab)
		if n != c.want {
			t.Errorf("%+v asks for %d logits, not %d", c.p, n, c.want)
		}
		if n == 0 {
			continue
		}
		if ids, logits := largest(row, n); !choice.Among(ids, logits, vocab) {
			t.Errorf("%+v: %d logits did not decide", c.p, n)
		}
	}
	s := NewSampler(Params{}, 0)
	choice := s.Ask(0)
	if choice.Candidates(vocab) != 1 {
		t.Error("the first of the largest is not enough")
	}
	if choice.Without = []int32{1}; choice.Candidates(vocab) != 1+sparePenalties {
		t.Error("an end may be the largest and is ruled out")
	}
	if choice.Allowed = []uint32{1}; choice.Candidates(vocab) != 0 {
		t.Error("where few ids are allowed, the largest are not among them")
	}
	if k := NewSampler(Params{Temperature: 1, TopK: 20}, 0).Ask(0).Candidates(20); k != 0 {
		t.Errorf("a top_k of all ids leaves all, in the order of ids; %d were asked for", k)
	}
}

// What a mask does not allow is as if its logit were minus infinity, whatever else is asked.
func TestOnlyAllowedIDsAreChosen(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 1000 {
		c := randomChoice(r)
		mask := make([]uint32, r.IntN((len(c.row)+31)/32+1)) // ids behind its end are not allowed
		for i := range mask {
			mask[i] = pickOf(r, 0, math.MaxUint32, r.Uint32())
		}
		allowed := func(id int) bool { return id/32 < len(mask) && mask[id/32]&(1<<(id%32)) != 0 }
		choice := c.ask()
		choice.Allowed = mask
		choice.From(slices.Clone(c.row))
		id, logprob, err := choice.Chosen()

		want := c.ask()
		for i := range c.row {
			if !allowed(i) {
				want.Without = append(slices.Clip(want.Without), int32(i))
			}
		}
		want.From(slices.Clone(c.row))
		wantID, wantLogprob, wantErr := want.Chosen()
		if id != wantID || !reflect.DeepEqual(logprob, wantLogprob) || err != wantErr {
			t.Fatalf("with the mask %d, %+v, %v; without those ids %d, %+v, %v", id, logprob, err, wantID, wantLogprob, wantErr)
		}
		if err == nil && c.given < 0 && !allowed(int(id)) {
			t.Fatalf("%d is not allowed", id)
		}
	}
}

// choosingModel makes the choices that few of a row's logits decide, and keeps those logits to itself.
type choosingModel struct {
	*fakeModel
	fewer int // candidates than asked for

	counts                 sync.Mutex
	outputs, asked, chosen int
}

func (m *choosingModel) Step(b *Batch) ([][]float32, error) {
	rows, err := m.fakeModel.Step(b)
	m.counts.Lock()
	defer m.counts.Unlock()
	n := 0
	for i := range b.Rows {
		r := &b.Rows[i]
		if !r.Output {
			continue
		}
		if m.outputs++; r.Choice != nil {
			m.asked++
			if k := r.Choice.Candidates(fakeVocab); k > 0 {
				ids, logits := largest(rows[n], max(1, k-m.fewer))
				if r.Choice.Among(ids, logits, fakeVocab) {
					m.chosen++
					rows[n] = nil
				}
			}
		}
		n++
	}
	return rows, err
}

// told is what a client is sent.
type told struct {
	ids      []int32
	logprobs []*sdk.TokenLogprob
	reason   sdk.FinishReason
}

func listen(e *Engine, r Request) (told, error) {
	var got told
	result, err := e.Generate(context.Background(), r, func(s Sampled) (bool, error) {
		got.ids, got.logprobs = append(got.ids, s.ID), append(got.logprobs, s.Logprob)
		return false, nil
	})
	got.reason = result.Reason
	return got, err
}

// Whether the model chooses or the engine does, requests get the same, also in company, from the prefix cache and after preemption.
func TestAModelThatChoosesGivesTheSameAnswers(t *testing.T) {
	var all choosingModel
	rapid.Check(t, func(t *rapid.T) {
		c := Config{Vocab: fakeVocab, MaxSequences: rapid.IntRange(1, 4).Draw(t, "sequences"), Blocks: rapid.IntRange(6, 14).Draw(t, "blocks"),
			Context: 300, PrefixCache: rapid.Bool().Draw(t, "prefix"), PromptLogprobs: true, Keep: 4}
		c.StepTokens = c.MaxSequences - 1 + BlockSize + rapid.IntRange(0, 100).Draw(t, "more rows")
		requests := make([]Request, rapid.IntRange(1, 6).Draw(t, "requests"))
		for i := range requests {
			requests[i] = drawRequest(t, i)
		}
		plain, choosing := newFakeModel(c), &choosingModel{fakeModel: newFakeModel(c), fewer: rapid.IntRange(0, 30).Draw(t, "fewer")}
		want, wanted := answers(t, plain, c, requests)
		got, was := answers(t, choosing, c, requests)
		for i := range requests {
			if !reflect.DeepEqual(got[i], want[i]) || fmt.Sprint(was[i]) != fmt.Sprint(wanted[i]) {
				t.Errorf("%+v:\nby the model  %v, %v\nby the engine %v, %v", requests[i], got[i], was[i], want[i], wanted[i])
			}
		}
		plain.verify(t)
		choosing.verify(t)
		all.asked, all.chosen = all.asked+choosing.asked, all.chosen+choosing.chosen
	})
	if all.chosen < all.asked/10 {
		t.Errorf("the model chose for %d of %d rows", all.chosen, all.asked)
	}
}

func drawRequest(t *rapid.T, choice int) Request {
	p := Params{Seed: 3, Temperature: rapid.SampledFrom([]float64{0, 0, 0.8}).Draw(t, "temperature"), TopK: rapid.SampledFrom([]int{0, 2, 5}).Draw(t, "top_k"),
		TopP: rapid.SampledFrom([]float64{0, 0.8}).Draw(t, "top_p"), Logprobs: rapid.IntRange(0, 3).Draw(t, "logprobs") == 0, TopLogprobs: 2}
	if rapid.Bool().Draw(t, "penalties") {
		p.RepetitionPenalty, p.PresencePenalty = rapid.SampledFrom([]float64{0, 1.3, 0.7}).Draw(t, "repetition"), 0.5
	}
	r := Request{Prompt: ids(150, 1)[:rapid.SampledFrom([]int{1, 64, 100, 150}).Draw(t, "prompt")], Sampling: p, Choice: choice, EOS: []int32{0},
		MaxTokens: rapid.IntRange(1, 30).Draw(t, "max_tokens"), ScorePrompt: rapid.IntRange(0, 7).Draw(t, "score") == 0}
	r.MinTokens = rapid.IntRange(0, r.MaxTokens).Draw(t, "min_tokens")
	if rapid.IntRange(0, 5).Draw(t, "forced") == 0 {
		r.Forced = []int32{1, 2}
	}
	return r
}

// answers runs requests beside each other.
func answers(t *rapid.T, m Model, c Config, requests []Request) ([]told, []error) {
	e, err := New(m, c)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	got, errs := make([]told, len(requests)), make([]error, len(requests))
	var work sync.WaitGroup
	for i, r := range requests {
		work.Go(func() { got[i], errs[i] = listen(e, r) })
	}
	work.Wait()
	return got, errs
}

// Who waits for another's prompt draws from the same row: its logits come whole.
func TestWhoSharesARowGetsItsLogits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Config{Vocab: fakeVocab, MaxSequences: 4, Blocks: 32, Context: 300, PrefixCache: true, Keep: 4, StepTokens: 3 + BlockSize}
		m := &choosingModel{fakeModel: newFakeModel(c)}
		m.before = func(*Batch) error { time.Sleep(time.Second); return nil } // all come while the first prompt is computed
		e, err := New(m, c)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var work sync.WaitGroup
		for i := range 4 {
			r := Request{Prompt: ids(150, 1), MaxTokens: 5, IgnoreEOS: true, Choice: i, Sampling: Params{Temperature: float64(i), TopK: 3}}
			work.Go(func() {
				answer, result, err := collect(e, r)
				if err != nil {
					t.Errorf("choice %d: %v", i, err)
					return
				}
				if want, _ := alone(r, c.Context); !slices.Equal(answer, want) || result.Cached == 0 && i > 0 {
					t.Errorf("choice %d: %v (%d cached), want %v", i, answer, result.Cached, want)
				}
			})
			synctest.Wait()
		}
		work.Wait()
		if m.outputs != 1+4*4 || m.asked != 4*4 {
			t.Errorf("of %d rows the model may choose for %d: for all but the one that four draw from", m.outputs, m.asked)
		}
		m.verify(t)
	})
}

// Forced ids need no logits, but for how likely they are.
func TestForcedIDsNeedNoLogits(t *testing.T) {
	s := NewSampler(Params{}, 0)
	c := s.Ask(3)
	c.Given = 7
	if c.Candidates(fakeVocab) != 1 || !c.Among([]int32{2}, []float32{1}, fakeVocab) {
		t.Error("it was not decided")
	}
	if id, _, err := c.Chosen(); id != 7 || err != nil {
		t.Errorf("got %d, %v", id, err)
	}
}

func TestAChoiceOutsideTheVocabularyEndsTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		id    int32
		words string
	}{"too large": {fakeVocab, "chose id 40"}, "negative": {-1, "chose id -1"}} {
		t.Run(name, func(t *testing.T) {
			e, err := New(modelFunc(func(b *Batch) ([][]float32, error) {
				b.Rows[len(b.Rows)-1].Choice.Among([]int32{c.id}, []float32{1}, fakeVocab)
				return make([][]float32, 1), nil
			}), roomy)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if _, _, err := collect(e, Request{Prompt: []int32{1}}); err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v", err)
			}
			wantIdle(t, e)
		})
	}
}
