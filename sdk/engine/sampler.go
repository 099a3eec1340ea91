// sampler.go knows what the next id of one sequence depends on besides the logits: its parameters, the ids so far, the position. It asks for
// a Choice (choice.go), so that a replayed sequence asks for the same.

package engine

import (
	"errors"
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// Sampler has the parameters of one sequence and the counts its penalties need.
type Sampler struct {
	params Params
	number uint32 // of the answer among those to one prompt
	seen   []Occurrence
	index  map[int32]int32 // id -> place in seen; nil if no penalty asks for it
	effect effect
	work   *workspace
	next   Choice // used again for every id

	allowed []uint32 // the ids that may be next, as Choice.Allowed
}

// Occurrence counts one id of the prompt and the answer.
type Occurrence struct {
	ID       int32
	Answered int32 // times in the answer
}

// effect is what bias and penalties may do to a logit.
type effect uint8

const (
	leaves effect = iota // nothing
	lowers               // make it smaller, or leave it
	raises               // anything
)

// workspace is scratch memory that the samplers of one goroutine share.
type workspace struct {
	candidates []candidate
	edge       []candidate
	bins       [binsAll]float64
	raw        []float32
	sums       []float64
}

var (
	errNaN   = errors.New("the model computed logits that are not numbers")
	errNoIDs = errors.New("no id can be sampled: every logit is minus infinity")
)

// NewSampler makes the sampler of one sequence; choice tells the answers of one request apart.
func NewSampler(p Params, choice int) *Sampler { return newSampler(p, choice, new(workspace)) }

func newSampler(p Params, choice int, work *workspace) *Sampler {
	s := &Sampler{params: p, number: uint32(choice), effect: p.effect(), work: work}
	if p.repeats() || p.PresencePenalty != 0 || p.FrequencyPenalty != 0 {
		s.index = make(map[int32]int32)
	}
	return s
}

// Prompt tells the sampler of ids that were given, Answer of ids that were sampled.
func (s *Sampler) Prompt(ids ...int32) {
	for _, id := range ids {
		s.note(id, 0)
	}
}

// Answer tells the sampler of ids that were sampled.
func (s *Sampler) Answer(ids ...int32) {
	for _, id := range ids {
		s.note(id, 1)
	}
}

func (s *Sampler) note(id, answered int32) {
	if s.index == nil {
		return
	}
	at, ok := s.index[id]
	if !ok {
		at = int32(len(s.seen))
		s.index[id] = at
		s.seen = append(s.seen, Occurrence{ID: id})
	}
	s.seen[at].Answered += answered
}

// Ask is the choice of the id at a position (prompt and answer counted together). It is the sampler's until it is asked again.
func (s *Sampler) Ask(position int) *Choice {
	s.next = Choice{Params: &s.params, Seen: s.seen, Allowed: s.allowed, Given: drawn, index: s.index, effect: s.effect, work: s.work}
	if !s.params.greedy() {
		s.next.Draw = uniform(s.params.Seed, s.number, uint32(position))
	}
	return &s.next
}

// Sample draws the id of the given position from logits (vocab), which it overwrites. The logprob is nil unless it was asked for.
func (s *Sampler) Sample(logits []float32, position int) (int32, *sdk.TokenLogprob, error) {
	c := s.Ask(position)
	c.From(logits)
	return c.Chosen()
}

// argmax returns the lowest id among the largest logits.
func argmax(logits []float32) (int32, error) {
	best, at := float32(math.Inf(-1)), -1
	for id, v := range logits {
		if v <= best { // one comparison for nearly all ids; false for NaN
			continue
		}
		if v != v {
			return 0, errNaN
		}
		best, at = v, id
	}
	if at < 0 {
		return 0, errNoIDs
	}
	if math.IsInf(float64(best), 1) {
		return 0, errNaN
	}
	return int32(at), nil
}

// pick walks the candidates until their weights cover the share u of the total.
func pick(kept []candidate, u float64) int32 {
	total := 0.0
	for i := range kept {
		total += kept[i].weight
	}
	target, covered := u*total, 0.0
	for i := range kept {
		covered += kept[i].weight
		if target < covered {
			return kept[i].id
		}
	}
	return kept[len(kept)-1].id // u*total rounded up to the total
}

// logprob describes id and the n likeliest ids in the raw distribution. Bytes are left to who knows the tokenizer.
func (w *workspace) logprob(raw []float32, id int32, n int) (*sdk.TokenLogprob, error) {
	best, err := argmax(raw)
	if err != nil {
		return nil, err
	}
	norm := w.logSum(raw, raw[best])
	out := &sdk.TokenLogprob{Logprob: float64(raw[id]) - norm}
	if n > 0 {
		top, err := w.topK(raw, n)
		if err != nil {
			return nil, err
		}
		for _, c := range top[:min(n, len(top))] {
			out.Top = append(out.Top, sdk.TopLogprob{ID: c.id, Logprob: float64(c.logit) - norm})
		}
	}
	return out, nil
}

func sortCandidates(c []candidate) { slices.SortFunc(c, byLikelihood) }
