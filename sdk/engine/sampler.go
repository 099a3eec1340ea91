// sampler.go draws the next id of one sequence from a row of logits. A draw is a pure function of the logits, the ids so
// far, the parameters and the position, so a replayed sequence draws the same ids. What a filter keeps is in filter.go.

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
	choice uint32
	seen   []occurrence
	index  map[int32]int32 // id -> place in seen; nil if no penalty asks for it
	work   *workspace
}

// occurrence counts one id of the prompt and the answer.
type occurrence struct {
	id       int32
	answered int32 // times in the answer
}

// workspace is scratch memory that the samplers of one goroutine share.
type workspace struct {
	candidates, head []candidate
	raw              []float32
}

var (
	errNaN   = errors.New("the model computed logits that are not numbers")
	errNoIDs = errors.New("no id can be sampled: every logit is minus infinity")
)

// NewSampler makes the sampler of one sequence; choice tells the answers of one request apart.
func NewSampler(p Params, choice int) *Sampler { return newSampler(p, choice, new(workspace)) }

func newSampler(p Params, choice int, work *workspace) *Sampler {
	s := &Sampler{params: p, choice: uint32(choice), work: work}
	repeats := p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1
	if repeats || p.PresencePenalty != 0 || p.FrequencyPenalty != 0 {
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
		s.seen = append(s.seen, occurrence{id: id})
	}
	s.seen[at].answered += answered
}

// Sample draws the id of the given position (prompt and answer counted together) from logits (vocab), which it
// overwrites. The logprob is nil unless it was asked for.
func (s *Sampler) Sample(logits []float32, position int) (int32, *sdk.TokenLogprob, error) {
	return s.sample(logits, position, nil)
}

// sample is Sample for ids but those in without.
func (s *Sampler) sample(logits []float32, position int, without []int32) (int32, *sdk.TokenLogprob, error) {
	if !s.params.Logprobs {
		id, err := s.draw(logits, position, without)
		return id, nil, err
	}
	s.work.raw = append(s.work.raw[:0], logits...)
	id, err := s.draw(logits, position, without)
	if err != nil {
		return 0, nil, err
	}
	logprob, err := s.work.logprob(s.work.raw, id, s.params.TopLogprobs)
	return id, logprob, err
}

// Given describes an id that is not drawn but given, as Sample would. Its logprob is what the model thinks of it.
func (s *Sampler) Given(logits []float32, id int32) (*sdk.TokenLogprob, error) {
	if !s.params.Logprobs {
		return nil, nil
	}
	return s.work.logprob(logits, id, s.params.TopLogprobs)
}

func (s *Sampler) draw(logits []float32, position int, without []int32) (int32, error) {
	s.adjust(logits)
	for _, id := range without {
		if id >= 0 && int(id) < len(logits) { // a checkpoint may name ends that its head has no row for
			logits[id] = float32(math.Inf(-1))
		}
	}
	if s.params.greedy() {
		return argmax(logits)
	}
	kept, err := s.work.filter(logits, &s.params)
	if err != nil {
		return 0, err
	}
	return pick(kept, uniform(s.params.Seed, s.choice, uint32(position))), nil
}

// adjust applies bias and penalties in place.
func (s *Sampler) adjust(logits []float32) {
	for id, bias := range s.params.LogitBias {
		logits[id] += float32(bias)
	}
	repetition := float32(1)
	if p := s.params.RepetitionPenalty; p != 0 {
		repetition = max(float32(p), math.SmallestNonzeroFloat32)
	}
	for _, o := range s.seen {
		v := logits[o.id]
		switch {
		case v < 0:
			v *= repetition
		case v <= math.MaxFloat32: // else the model's fault, which is found later; a tiny penalty is none
			v = min(v/repetition, math.MaxFloat32)
		}
		if o.answered > 0 {
			v -= float32(s.params.FrequencyPenalty*float64(o.answered) + s.params.PresencePenalty)
		}
		logits[o.id] = v
	}
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
	peak := float64(raw[best])
	sum := 0.0
	for _, v := range raw {
		sum += negExp(float64(v) - peak)
	}
	norm := peak + math.Log(sum)
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
