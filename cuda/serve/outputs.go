package serve

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// outputs.go gives the engine what it asks of a step's rows. Rows that are asked for the same stand together, so that ids are chosen where the
// logits lie and only what a choice depends on travels: the largest logit of a row, or a few of the largest, or all of them.

// rowAlign is what a row that comes alone may take more than its elements.
const rowAlign = 64

// output is a row that something is asked of.
type output struct {
	row    int32          // of the batch
	at     int            // among those asked, in the engine's order
	choice *engine.Choice // nil unless it is made here
}

// outputs are those of a step. It owns nothing but its buffers.
type outputs struct {
	first, few, all, final []output // the largest decides; a few of the largest do; all logits are wanted; the final state is
	vocab                  int
	candidates             int     // of few
	rows                   []int32 // of the batch, in that order
	answers                [][]float32
	undecided              []undecided

	logits          cuda.Tensor // where the head is
	index, most     cuda.Tensor // of first and few: the largest
	indices, values cuda.Tensor // of few
	whole, states   cuda.Tensor
}

// undecided is a choice that takes all logits after all.
type undecided struct {
	output
	i int // row of the logits
}

// begin forgets the step before. The vocabulary has so many ids.
func (o *outputs) begin(vocab int) {
	o.vocab = vocab
	o.first, o.few, o.all, o.final, o.undecided = o.first[:0], o.few[:0], o.all[:0], o.final[:0], o.undecided[:0]
	o.candidates = 0
}

// ask notes row i of a batch, if it is an output.
func (o *outputs) ask(i int, r *engine.Row) {
	if !r.Output {
		return
	}
	out := output{row: int32(i), at: o.len()}
	k := 0
	if r.Choice != nil {
		out.choice, k = r.Choice, r.Choice.Candidates(o.vocab)
	}
	switch {
	case r.Final:
		o.final = append(o.final, out)
	case k == 0:
		o.all = append(o.all, out)
	case k == 1:
		o.first = append(o.first, out)
	default:
		o.few, o.candidates = append(o.few, out), max(o.candidates, k)
	}
}

func (o *outputs) len() int { return len(o.first) + len(o.few) + len(o.all) + len(o.final) }

// chosen is how many choices are made here, embedded how many rows have logits.
func (o *outputs) chosen() int   { return len(o.first) + len(o.few) }
func (o *outputs) embedded() int { return o.chosen() + len(o.all) }

// list is the outputs' rows in the order in which the model gives them.
func (o *outputs) list() []int32 {
	o.rows = o.rows[:0]
	for _, list := range [...][]output{o.first, o.few, o.all, o.final} {
		for _, out := range list {
			o.rows = append(o.rows, out.row)
		}
	}
	return o.rows
}

// look adds to a step what is wanted of its final states x.
func (o *outputs) look(s *cuda.Step, m Model, x cuda.Tensor) {
	n, chosen := o.embedded(), o.chosen()
	o.logits = m.Unembed(s, x.Slice(0, n))
	if s.Measuring() { // as if all rows were asked for everything, and each came alone
		s.Argmax(o.logits)
		s.TopK(o.logits, min(engine.MostCandidates, o.logits.Dim(1)))
		s.Empty(n, rowAlign/4)
		return
	}
	if len(o.final) > 0 {
		o.states = s.RowsToHost(x.Slice(n, x.Rows()))
	}
	if len(o.all) > 0 {
		o.whole = s.RowsToHost(o.logits.Slice(chosen, n))
	}
	if chosen > 0 {
		index, most := s.Argmax(o.logits.Slice(0, chosen))
		o.index, o.most = s.RowsToHost(index), s.RowsToHost(most)
	}
	if len(o.few) > 0 {
		index, values := s.TopK(o.logits.Slice(len(o.first), chosen), o.candidates)
		o.indices, o.values = s.RowsToHost(index), s.RowsToHost(values)
	}
}

// give makes the choices of a step that has ended and returns what else was asked for.
func (o *outputs) give(s *cuda.Step) ([][]float32, error) {
	o.answers = append(o.answers[:0], make([][]float32, o.len())...)
	if err := o.copy(o.final, o.states); err != nil {
		return nil, err
	}
	if err := o.copy(o.all, o.whole); err != nil {
		return nil, err
	}
	if o.chosen() > 0 && o.logits.Dim(1) != o.vocab {
		return nil, fmt.Errorf("the model gave %v; the vocabulary has %d", o.logits, o.vocab)
	}
	o.choose()
	return o.answers, o.decide(s)
}

// copy gives rows that have arrived.
func (o *outputs) copy(list []output, x cuda.Tensor) error {
	if len(list) == 0 {
		return nil
	}
	all, width := x.F32(), x.Dim(1)
	if len(all) != len(list)*width {
		return fmt.Errorf("the model gave %v for %d rows", x, len(list))
	}
	for i, out := range list {
		o.answers[out.at] = all[i*width : (i+1)*width]
	}
	return nil
}

// choose makes the choices that the largest logits decide.
func (o *outputs) choose() {
	vocab, k := o.vocab, o.candidates
	for i, out := range o.first {
		if !out.choice.Among(o.index.I32()[i:i+1], o.most.F32()[i:i+1], vocab) {
			o.undecided = append(o.undecided, undecided{out, i})
		}
	}
	for i, out := range o.few {
		most := o.most.F32()[len(o.first)+i]
		if most != most || !out.choice.Among(o.indices.I32()[i*k:(i+1)*k], o.values.F32()[i*k:(i+1)*k], vocab) {
			o.undecided = append(o.undecided, undecided{out, len(o.first) + i})
		}
	}
}

// decide brings all logits of the rows whose choices are not made.
func (o *outputs) decide(s *cuda.Step) error {
	if len(o.undecided) == 0 {
		return nil
	}
	late := make([]cuda.Tensor, len(o.undecided))
	for i, u := range o.undecided {
		late[i] = s.RowsToHost(o.logits.Slice(u.i, u.i+1))
	}
	if err := s.End(); err != nil {
		return err
	}
	for i, u := range o.undecided {
		o.answers[u.at] = late[i].F32()
	}
	return nil
}
