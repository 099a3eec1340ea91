package engine

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/sdk"
	"pgregory.net/rapid"
)

// testdata/sampler.json was computed by the logits processors of Hugging Face transformers (frequency and presence
// penalties, which it lacks, by their formula).
type samplerCase struct {
	Params struct {
		Temperature *float64 `json:"temperature"`
		TopK        int      `json:"top_k"`
		TopP        float64  `json:"top_p"`
		MinP        float64  `json:"min_p"`
		Repetition  float64  `json:"repetition_penalty"`
		Frequency   float64  `json:"frequency_penalty"`
		Presence    float64  `json:"presence_penalty"`
	} `json:"params"`
	Logits []float32 `json:"logits"`
	Prompt []int32   `json:"prompt"`
	Output []int32   `json:"output"`
	Probs  []float64 `json:"probs"`
}

func (c *samplerCase) params() Params {
	p := Params{Temperature: 1, TopK: c.Params.TopK, TopP: c.Params.TopP, MinP: c.Params.MinP,
		RepetitionPenalty: c.Params.Repetition, FrequencyPenalty: c.Params.Frequency, PresencePenalty: c.Params.Presence}
	if c.Params.Temperature != nil {
		p.Temperature = *c.Params.Temperature
	}
	return p
}

func samplerCases(t *testing.T) []samplerCase {
	t.Helper()
	data, err := os.ReadFile("testdata/sampler.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []samplerCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 30 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

func TestDistributionEqualsReference(t *testing.T) {
	for i, c := range samplerCases(t) {
		t.Run(fmt.Sprintf("%d %+v", i, c.params()), func(t *testing.T) {
			s := NewSampler(c.params(), 0)
			s.Prompt(c.Prompt...)
			s.Answer(c.Output...)
			logits := slices.Clone(c.Logits)
			s.adjust(logits)
			kept, err := s.work.filter(logits, &s.params)
			if err != nil {
				t.Fatal(err)
			}
			got, total := make([]float64, len(c.Probs)), 0.0
			for _, k := range kept {
				total += k.weight
			}
			for _, k := range kept {
				got[k.id] = k.weight / total
			}
			for id, want := range c.Probs {
				if math.Abs(got[id]-want) > 1.5e-6 { // the file is rounded to 1e-6; the reference computes in float32
					t.Errorf("id %d: probability %.7f, reference %.6f", id, got[id], want)
				}
			}
		})
	}
}

// The whole path, drawn at 40,000 positions, must have the reference's frequencies: within five standard deviations for
// every id of every case. The draws are a fixed function of the seed, so this passes or fails for good.
func TestDrawsFollowReference(t *testing.T) {
	const draws = 40000
	for i, c := range samplerCases(t) {
		p := c.params()
		p.Seed = uint64(i) + 1
		s := NewSampler(p, i%3)
		s.Prompt(c.Prompt...)
		s.Answer(c.Output...)
		count := make([]float64, len(c.Probs))
		logits := make([]float32, len(c.Logits))
		for position := range draws {
			copy(logits, c.Logits)
			id, _, err := s.Sample(logits, position)
			if err != nil {
				t.Fatal(err)
			}
			count[id]++
		}
		for id, want := range c.Probs {
			sigma := math.Sqrt(want * (1 - want) / draws)
			if math.Abs(count[id]/draws-want) > 5*sigma+2e-6 {
				t.Errorf("case %d: id %d drawn with frequency %.5f, probability %.5f", i, id, count[id]/draws, want)
			}
		}
	}
}

// An id that is drawn from all is the one that a walk over all candidates finds, at a vocabulary's end and where nearly all is ruled out, too.
func TestDrawIsAWalkOverAll(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, vocab := range []int{1, 2, 1023, 1024, 1025, 5000} {
		for _, temperature := range []float64{1e-300, .1, 1, 7, 1e300} {
			for _, ruled := range []float64{0, .5, .999} {
				logits := make([]float32, vocab)
				for i := range logits {
					if logits[i] = float32(r.NormFloat64() * 5); r.Float64() < ruled {
						logits[i] = ruledOut
					}
				}
				logits[r.IntN(vocab)] = 3
				w := new(workspace)
				for _, u := range []float64{0, .25, r.Float64(), r.Float64(), r.Float64(), math.Nextafter(1, 0)} {
					all, err := w.filter(logits, &Params{Temperature: temperature})
					if err != nil {
						t.Fatal(err)
					}
					want := pick(all, u)
					got, err := w.draw(logits, temperature, u)
					if err != nil || logits[got] == ruledOut {
						t.Fatalf("%d of %d ids: %d is drawn, which is ruled out (%v)", got, vocab, got, err)
					}
					if got != want && !atBorder(all, u, got, want) {
						t.Errorf("vocabulary of %d, temperature %v, %v: %d is drawn, and not %d", vocab, temperature, u, got, want)
					}
				}
			}
		}
	}
	for _, bad := range [][]float32{{1, float32(math.NaN())}, {float32(math.Inf(1))}, {ruledOut, ruledOut}} {
		if id, err := new(workspace).draw(bad, 1, .5); err == nil {
			t.Errorf("%d is drawn of %v", id, bad)
		}
	}
}

// atBorder says that a draw lies where two ids meet, but for what sums in another order differ by.
func atBorder(all []candidate, u float64, a, b int32) bool {
	total, covered := 0.0, 0.0
	for i := range all {
		total += all[i].weight
	}
	for i := range all {
		if all[i].id >= min(a, b) && all[i].id < max(a, b) && math.Abs(covered+all[i].weight-u*total) > 1e-12*total {
			return false
		}
		covered += all[i].weight
	}
	return true
}

func TestExponential(t *testing.T) {
	check := func(x float64) {
		got, want := negExp(x), math.Exp(x)
		if math.Abs(got-want) > 1e-12*want {
			t.Errorf("e^%v = %v, want %v", x, got, want)
		}
	}
	for x := 0.0; x > -700; x -= 0.0137 {
		check(x)
	}
	for n := range 1000 { // where the reduction changes over
		check(-float64(n) * math.Ln2)
		check(-(float64(n) + 0.5) * math.Ln2)
	}
	for _, x := range []float64{-701, -1e300, math.Inf(-1)} {
		if got := negExp(x); got != 0 {
			t.Errorf("e^%v = %v", x, got)
		}
	}
}

func TestPhiloxKnownAnswers(t *testing.T) {
	// From kat_vectors of the authors' Random123 distribution: philox4x32, 10 rounds.
	cases := []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, [2]uint32{0xffffffff, 0xffffffff},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	}
	for _, c := range cases {
		if got := philox(c.counter, c.key); got != c.want {
			t.Errorf("philox(%x, %x) = %x, want %x", c.counter, c.key, got, c.want)
		}
	}
}

func TestDrawDependsOnSeedChoiceAndPosition(t *testing.T) {
	base := uniform(7, 0, 5)
	for name, u := range map[string]float64{"seed": uniform(8, 0, 5), "high half of the seed": uniform(7|1<<32, 0, 5),
		"choice": uniform(7, 1, 5), "position": uniform(7, 0, 6)} {
		if u == base {
			t.Errorf("another %s draws the same number", name)
		}
	}
	if uniform(7, 0, 5) != base {
		t.Error("the same key and counter draw another number")
	}
}

func TestGreedyTakesTheLowestOfEquals(t *testing.T) {
	s := NewSampler(Params{}, 0)
	for range 2 {
		id, _, err := s.Sample([]float32{1, 3, -2, 3, 3}, 0)
		if err != nil || id != 1 {
			t.Fatalf("got id %d, error %v", id, err)
		}
	}
}

func TestBiasForcesAndForbids(t *testing.T) {
	logits := func() []float32 { return []float32{2, 1, 0, -1} }
	id, _, err := NewSampler(Params{LogitBias: map[int32]float64{3: 100}}, 0).Sample(logits(), 0)
	if err != nil || id != 3 {
		t.Errorf("bias +100 on id 3: got %d, %v", id, err)
	}
	s := NewSampler(Params{Temperature: 2, LogitBias: map[int32]float64{0: -1000}}, 0)
	for position := range 1000 {
		if id, _, _ := s.Sample(logits(), position); id == 0 {
			t.Fatal("an id with bias -1000 was drawn")
		}
	}
}

func TestLogitsThatAreNotNumbersAreAnError(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	modes := map[string]Params{"greedy": {}, "plain": {Temperature: 1}, "top_k": {Temperature: 1, TopK: 2},
		"top_p": {Temperature: 1, TopP: 0.5}, "logprobs": {Logprobs: true, TopLogprobs: 2}}
	for mode, p := range modes {
		for name, logits := range map[string][]float32{
			"first": {nan, 1, 2, 3}, "last": {3, 2, 1, nan}, "all": {nan, nan, nan, nan}, "infinity": {0, inf, 0, 0},
			"ruled out": {-inf, -inf, -inf, -inf}} {
			if id, _, err := NewSampler(p, 0).Sample(slices.Clone(logits), 0); err == nil {
				t.Errorf("%s, %s: drew id %d", mode, name, id)
			}
		}
		if id, _, err := NewSampler(p, 0).Sample([]float32{-inf, -inf, 0.5, -inf}, 9); err != nil || id != 2 {
			t.Errorf("%s: one possible id: got %d, %v", mode, id, err)
		}
	}
}

func TestTinyRepetitionPenaltyIsNoFaultOfTheModel(t *testing.T) {
	for _, penalty := range []float64{1e-38, 1e-45, 1e-300} {
		for _, temperature := range []float64{0, 1} {
			s := NewSampler(Params{Temperature: temperature, RepetitionPenalty: penalty}, 0)
			s.Prompt(0, 1, 3)
			if id, _, err := s.Sample([]float32{-1, 0, 9, 3}, 1); err != nil || id != 3 {
				t.Errorf("penalty %v at temperature %v: got %d, %v; want the seen id with the positive logit", penalty, temperature, id, err)
			}
			if id, _, err := s.Sample([]float32{-1, float32(math.Inf(1)), 9, 3}, 1); err == nil {
				t.Errorf("penalty %v hides an infinite logit: drew %d", penalty, id)
			}
		}
	}
}

func TestLogprobsAreOfTheRawDistribution(t *testing.T) {
	logits := []float32{1, 2, 0.5, -1}
	sum := 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v))
	}
	p := Params{Logprobs: true, TopLogprobs: 3, LogitBias: map[int32]float64{3: 50}, RepetitionPenalty: 1.5}
	s := NewSampler(p, 0)
	s.Prompt(0, 1)
	id, lp, err := s.Sample(slices.Clone(logits), 0)
	if err != nil || id != 3 {
		t.Fatalf("got id %d, error %v", id, err)
	}
	near := func(got float64, id int32) bool {
		return math.Abs(got-(float64(logits[id])-math.Log(sum))) < 1e-9
	}
	if !near(lp.Logprob, 3) {
		t.Errorf("logprob of the sampled id is %v", lp.Logprob)
	}
	if len(lp.Top) != 3 {
		t.Fatalf("%d top logprobs, want 3", len(lp.Top))
	}
	for i, id := range []int32{1, 0, 2} {
		if lp.Top[i].ID != id || !near(lp.Top[i].Logprob, id) {
			t.Errorf("top logprob %d is %+v, want id %d", i, lp.Top[i], id)
		}
	}
}

func TestParametersOutOfRangeAreNamed(t *testing.T) {
	cases := map[string]Params{
		"temperature": {Temperature: -1}, "top_p": {TopP: 1.5}, "min_p": {MinP: math.NaN()},
		"repetition_penalty": {RepetitionPenalty: -2}, "presence_penalty": {PresencePenalty: 1e9},
		"frequency_penalty": {FrequencyPenalty: math.Inf(1)}, "top_logprobs": {TopLogprobs: 21},
		"logit_bias": {LogitBias: map[int32]float64{8: 1}},
	}
	for field, p := range cases {
		wantField(t, p.Validate(8), field)
	}
	fine := Params{Temperature: 2, TopP: 1, TopK: -1, MinP: 1, LogitBias: map[int32]float64{7: -100}}
	if err := fine.Validate(8); err != nil {
		t.Error(err)
	}
}

// The short list of topK and the bins of nucleus must keep exactly what sorting everything keeps.
func TestFilterEqualsSortingEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3000).Draw(t, "vocab")
		levels := rapid.SampledFrom([]int{1, 3, 50, 1 << 20}).Draw(t, "levels") // few levels make ties
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		logits := make([]float32, n)
		for i := range logits {
			logits[i] = float32(r.IntN(levels)) / float32(levels) * 12
		}
		p := Params{Temperature: rapid.Float64Range(0.05, 3).Draw(t, "temperature"), TopK: rapid.IntRange(0, n+1).Draw(t, "top_k"),
			TopP: rapid.Float64Range(0, 1).Draw(t, "top_p"), MinP: rapid.SampledFrom([]float64{0, 0.05, 0.9}).Draw(t, "min_p")}
		kept, err := new(workspace).filter(logits, &p)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int32, 0, len(kept))
		for _, c := range kept {
			got = append(got, c.id)
		}
		slices.Sort(got)
		if want := filterBySorting(logits, p); !slices.Equal(got, want) {
			t.Fatalf("kept %d ids, sorting everything keeps %d", len(got), len(want))
		}
	})
}

// At its boundary a filter keeps what it names: the ids that make up top_p and no more, all that are as likely as the last of top_k, and
// those that are just min_p as likely as the likeliest.
func TestFiltersAtTheirBoundaries(t *testing.T) {
	equal, steps := []float32{1, 1, 1, 1, -9}, []float32{3, 2, 2, 1}
	more := math.Nextafter(0.5, 1)
	for _, c := range []struct {
		logits []float32
		p      Params
		want   []int32
	}{
		{equal[:4], Params{TopP: 0.5}, []int32{0, 1}}, {equal[:4], Params{TopP: more}, []int32{0, 1, 2}}, {equal[:4], Params{TopP: 0.25}, []int32{0}},
		{equal[:4], Params{TopP: 0.75}, []int32{0, 1, 2}}, {equal[:4], Params{TopP: 1}, []int32{0, 1, 2, 3}}, {equal[:4], Params{TopP: math.SmallestNonzeroFloat64}, []int32{0}},
		{equal, Params{TopK: 4, TopP: 0.5}, []int32{0, 1}}, {equal, Params{TopK: 4, TopP: more}, []int32{0, 1, 2}}, {equal, Params{TopK: 2, TopP: 0.5}, []int32{0, 1}},
		{equal, Params{TopK: 1}, []int32{0, 1, 2, 3}}, {steps, Params{TopK: 2}, []int32{0, 1, 2}}, {steps, Params{TopK: 3}, []int32{0, 1, 2}}, {steps, Params{TopK: 4}, []int32{0, 1, 2, 3}},
		{equal, Params{MinP: 1}, []int32{0, 1, 2, 3}}, {steps, Params{MinP: negExp(-1)}, []int32{0, 1, 2}}, {steps, Params{MinP: math.Nextafter(negExp(-1), 1)}, []int32{0}},
	} {
		c.p.Temperature = 1
		kept, err := new(workspace).filter(c.logits, &c.p)
		if err != nil {
			t.Fatal(err)
		}
		var got []int32
		for _, k := range kept {
			got = append(got, k.id)
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v, top_k %d, top_p %v, min_p %v: %v, want %v", c.logits, c.p.TopK, c.p.TopP, c.p.MinP, got, c.want)
		}
	}
}

// filterBySorting is the definition of Params' filters, written as it reads.
func filterBySorting(logits []float32, p Params) []int32 {
	all := make([]candidate, len(logits))
	for id, v := range logits {
		all[id] = candidate{id: int32(id), logit: v}
	}
	sortCandidates(all)
	if p.TopK > 0 && p.TopK < len(all) {
		kth := all[p.TopK-1].logit
		all = slices.DeleteFunc(all, func(c candidate) bool { return c.logit < kth })
	}
	inOrder := slices.Clone(all) // the total is summed as filter sums it: unfiltered ids in the order of ids
	if p.TopK <= 0 || p.TopK >= len(logits) {
		slices.SortFunc(inOrder, func(a, b candidate) int { return int(a.id - b.id) })
	}
	total, before := 0.0, 0.0
	for _, c := range inOrder {
		total += negExp((float64(c.logit) - float64(all[0].logit)) / p.Temperature)
	}
	var kept []int32
	for _, c := range all {
		weight := negExp((float64(c.logit) - float64(all[0].logit)) / p.Temperature)
		inNucleus := p.TopP <= 0 || p.TopP >= 1 || before < p.TopP*total || len(kept) == 0
		before += weight
		if inNucleus && weight >= p.MinP {
			kept = append(kept, c.id)
		}
	}
	slices.Sort(kept)
	return kept
}

func BenchmarkSample(b *testing.B) {
	const vocab = 151936
	r := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 3)
	}
	for _, c := range []struct {
		name string
		p    Params
	}{
		{"greedy", Params{}},
		{"temperature", Params{Temperature: 0.7}},
		{"temperature+top_p", Params{Temperature: 0.7, TopP: 0.8}},
		{"temperature+top_k+top_p", Params{Temperature: 0.7, TopK: 20, TopP: 0.8}},
		{"greedy+logprobs", Params{Logprobs: true, TopLogprobs: 5}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := NewSampler(c.p, 0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := s.Sample(logits, i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// adjust is what bias and penalties make of logits.
func (s *Sampler) adjust(logits []float32) { s.Ask(0).adjust(logits) }

// Given is the logprob of an id that is not drawn.
func (s *Sampler) Given(logits []float32, id int32) (*sdk.TokenLogprob, error) {
	c := s.Ask(0)
	c.Given = id
	c.From(logits)
	_, logprob, err := c.Chosen()
	return logprob, err
}
