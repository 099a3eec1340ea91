// choice.go is how the next id of a row comes about: what is asked as data, and the one piece of code that answers it, from all logits of the
// row or from the largest of them. Whoever has the logits runs it: a model that leaves them on its device, or the engine.

package engine

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/sdk"
)

// Choice asks for the id that comes after a row, and holds it once it is chosen. It is a pure function of what it says and of the row's
// logits. One goroutine at a time, that of Model.Step, may have choices of an engine.
type Choice struct {
	Params  *Params
	Seen    []Occurrence // what penalties ask for, each id once
	Without []int32      // ids that are ruled out
	Allowed []uint32     // the ids that are not, as bits: id%32 of word id/32; nil is all
	Draw    float64      // in [0, 1): which of those that the filters keep
	Given   int32        // an id that is not drawn, of which only the logprob is asked; below 0: none

	index  map[int32]int32 // id -> place in Seen
	effect effect          // of bias and penalties
	work   *workspace

	made    bool
	id      int32
	logprob *sdk.TokenLogprob
	err     error
}

// drawn is Choice.Given of an id that is not given.
const drawn = -1

// Chosen is the id, and its logprob if it was asked for.
func (c *Choice) Chosen() (int32, *sdk.TokenLogprob, error) { return c.id, c.logprob, c.err }

// Made says that there is an answer.
func (c *Choice) Made() bool { return c.made }

func (c *Choice) make(id int32, logprob *sdk.TokenLogprob, err error) {
	c.made, c.id, c.logprob, c.err = true, id, logprob, err
}

// ---- from all logits

// From chooses from all logits (vocab), which it overwrites.
func (c *Choice) From(logits []float32) {
	if !c.Params.Logprobs {
		id, err := c.draw(logits)
		c.make(id, nil, err)
		return
	}
	c.work.raw = append(c.work.raw[:0], logits...)
	id, err := c.draw(logits)
	if err != nil {
		c.make(0, nil, err)
		return
	}
	logprob, err := c.work.logprob(c.work.raw, id, c.Params.TopLogprobs)
	c.make(id, logprob, err)
}

func (c *Choice) draw(logits []float32) (int32, error) {
	if c.Given >= 0 {
		return c.Given, nil
	}
	c.adjust(logits)
	switch {
	case c.Params.greedy():
		return argmax(logits)
	case !c.Params.narrows(len(logits)):
		return c.work.draw(logits, c.Params.Temperature, c.Draw)
	}
	kept, err := c.work.filter(logits, c.Params)
	if err != nil {
		return 0, err
	}
	return pick(kept, c.Draw), nil
}

// adjust applies bias and penalties in place, and rules ids out.
func (c *Choice) adjust(logits []float32) {
	for id, bias := range c.Params.LogitBias {
		logits[id] += float32(bias)
	}
	for i := range c.Seen {
		o := &c.Seen[i]
		logits[o.ID] = c.Params.penalize(logits[o.ID], o)
	}
	for _, id := range c.Without {
		if id >= 0 && int(id) < len(logits) { // a checkpoint may name ends that its head has no row for
			logits[id] = ruledOut
		}
	}
	if c.Allowed != nil {
		c.mask(logits)
	}
}

func (c *Choice) mask(logits []float32) {
	for word := 0; word*32 < len(logits); word++ {
		allowed := uint32(0)
		if word < len(c.Allowed) {
			allowed = c.Allowed[word]
		}
		if allowed == math.MaxUint32 {
			continue
		}
		row := logits[word*32:]
		for i := range row[:min(32, len(row))] {
			if allowed>>i&1 == 0 {
				row[i] = ruledOut
			}
		}
	}
}

var ruledOut = float32(math.Inf(-1))

// penalize applies the penalties to the logit of an id that was seen.
func (p *Params) penalize(v float32, o *Occurrence) float32 {
	repetition := float32(1)
	if r := p.RepetitionPenalty; r != 0 {
		repetition = max(float32(r), math.SmallestNonzeroFloat32)
	}
	switch {
	case v < 0:
		v *= repetition
	case v <= math.MaxFloat32: // else the model's fault, which is found later; a tiny penalty is none
		v = min(v/repetition, math.MaxFloat32)
	}
	if o.Answered > 0 {
		v -= float32(p.FrequencyPenalty*float64(o.Answered) + p.PresencePenalty)
	}
	return v
}

// ---- from the largest

// How many of a row's largest logits are looked at: as many as top_k asks for and a few, so that ties behind the k-th and ids that
// penalties push down rarely make all logits needed.
const (
	mostTopK       = 256
	spareTies      = 16
	sparePenalties = 64

	// MostCandidates is what Choice.Candidates says at most.
	MostCandidates = mostTopK + sparePenalties
)

// Candidates is how many of a row's largest logits are likely to decide the choice, 0 if all of a vocabulary are needed. A choice of one
// needs the first of the largest and no order.
func (c *Choice) Candidates(vocab int) int {
	k := c.keep()
	switch {
	case c.Params.Logprobs: // their norm is a sum over all
		return 0
	case c.Given >= 0:
		return 1
	case c.Allowed != nil, c.effect == raises, k < 1, k > mostTopK, !c.Params.greedy() && k >= vocab:
		return 0
	case c.lowered():
		return min(k+sparePenalties, vocab)
	case k > 1:
		return min(k+spareTies, vocab)
	}
	return 1
}

// keep is how many ids are left to draw from, but for ties; 0 is all.
func (c *Choice) keep() int {
	if c.Params.greedy() {
		return 1
	}
	return c.Params.TopK
}

// lowered says that a logit may become smaller.
func (c *Choice) lowered() bool { return c.effect != leaves || len(c.Without) > 0 }

// Among chooses from the largest logits of a row, the largest first, of equals the lowest id first, and one that is not a number before all.
// It gives what From gives, or false if it takes all logits of the vocabulary to tell: if others may be among those to draw from, or
// if something is wrong with the row.
func (c *Choice) Among(ids []int32, logits []float32, vocab int) bool {
	if n := c.Candidates(vocab); n == 0 || len(ids) == 0 {
		return false
	}
	if c.Given >= 0 {
		c.make(c.Given, nil, nil)
		return true
	}
	list, ok := c.adjusted(ids, logits)
	if !ok {
		return false
	}
	floor := ruledOut // of the others: bias and penalties make none larger
	if len(ids) < vocab {
		floor = logits[len(ids)-1]
	}
	switch {
	case c.Params.greedy() && (list[0].logit > floor || !c.lowered()):
		c.make(list[0].id, nil, nil)
		return true
	case c.Params.greedy(), len(list) < c.keep() && len(ids) < vocab, list[min(len(list), c.keep())-1].logit <= floor:
		return false
	}
	c.make(pick(narrow(shorten(list, c.keep()), c.Params), c.Draw), nil, nil)
	return true
}

// adjusted are the candidates with bias and penalties, in order. It gives up where a logit is not a number, or all are ruled out.
func (c *Choice) adjusted(ids []int32, logits []float32) ([]candidate, bool) {
	list := c.work.candidates[:0]
	for i, id := range ids {
		v := logits[i]
		if !(v <= math.MaxFloat32) {
			return nil, false
		}
		if v = c.adjustOne(id, v); v >= -math.MaxFloat32 {
			list = append(list, candidate{id: id, logit: v})
		}
	}
	c.work.candidates = list
	if c.lowered() {
		sortCandidates(list)
	}
	return list, len(list) > 0
}

// adjustOne is adjust for one id.
func (c *Choice) adjustOne(id int32, v float32) float32 {
	if bias, ok := c.Params.LogitBias[id]; ok {
		v += float32(bias)
	}
	if at, ok := c.index[id]; ok {
		v = c.Params.penalize(v, &c.Seen[at])
	}
	if slices.Contains(c.Without, id) {
		return ruledOut
	}
	return v
}
