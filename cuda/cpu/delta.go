package cpu

// #cgo noescape pio_causal_conv
// #cgo nocallback pio_causal_conv
// #cgo noescape pio_delta_rule
// #cgo nocallback pio_delta_rule
// #include "kernels.h"
import "C"

import "fmt"

// delta.go calls the ops of the gated delta rule; ref_delta.go says what they compute.

// Slots addresses the rows of a batch in states of one slot for each sequence.
type Slots struct {
	Positions, Slots []int32 // by row
	Count            int     // of slots
}

func (s *Slots) check() error {
	if len(s.Positions) != len(s.Slots) {
		return fmt.Errorf("%d positions, %d slots", len(s.Positions), len(s.Slots))
	}
	for r, p := range s.Positions {
		if p < 0 {
			return fmt.Errorf("row %d: position %d", r, p)
		}
	}
	return checkIndex("slot", s.Slots, s.Count)
}

// state is the part of a state that is the slot of row r.
func (s *Slots) state(state []float32, r int) []float32 {
	size, slot := len(state)/s.Count, int(s.Slots[r])
	return state[slot*size : (slot+1)*size]
}

// CausalConv convolves the rows' channels with their sequences' last inputs.
func (p *Pool) CausalConv(y, x []float32, w Matrix, state []float32, s Slots) error {
	n := len(s.Positions) * w.Rows
	if w.Cols < 1 || w.Cols > C.PIO_CONV_MOST || w.Type > F16 {
		return fmt.Errorf("a convolution of type %d over %d positions; 1 to %d in f32, bf16 or f16 can be", w.Type, w.Cols, C.PIO_CONV_MOST)
	}
	err := first(w.check(), s.check(), sizes(len(x), n), sizes(len(y), n), sizes(len(state), s.Count*(w.Cols-1)*w.Rows))
	if err == nil && n > 0 {
		C.pio_causal_conv(p.c, p.table, ptr(y), ptr(x), w.Ptr, C.int(w.Type), ptr(state), ints(s.Positions), ints(s.Slots),
			C.size_t(len(s.Positions)), C.size_t(w.Rows), C.size_t(w.Cols))
	}
	return err
}

// Decay is computed as the specification says: a few numbers for each row.
func (p *Pool) Decay(y, a []float32, aLog, dtBias Matrix) error {
	n := rowsOf(a, aLog.Cols) * aLog.Cols
	err := first(aLog.check(), dtBias.check(), sizes(dtBias.Cols, aLog.Cols), sizes(len(a), n), sizes(len(y), n))
	if err == nil {
		RefDecay(y, a, aLog, dtBias)
	}
	return err
}

// Delta is the operands of DeltaRule but its state, which is (slots, Heads, KeyDim, ValueDim).
type Delta struct {
	Q, K     []float32 // (rows, KeyHeads, KeyDim)
	V        []float32 // (rows, Heads, ValueDim)
	G, Beta  []float32 // (rows, Heads)
	Forms    []int32   // by row
	Slots    Slots
	KeyHeads int
	Heads    int
	KeyDim   int
	ValueDim int
	Scale    float32
}

func (d *Delta) check() error {
	if d.KeyHeads <= 0 || d.Heads%d.KeyHeads != 0 {
		return fmt.Errorf("%d heads cannot share %d key heads evenly", d.Heads, d.KeyHeads)
	}
	if d.KeyDim > C.PIO_DELTA_KEYS {
		return fmt.Errorf("key heads of %d; at most %d can be", d.KeyDim, C.PIO_DELTA_KEYS)
	}
	rows := len(d.Slots.Positions)
	keys, heads := rows*d.KeyHeads*d.KeyDim, rows*d.Heads
	return first(d.Slots.check(), sizes(len(d.Q), keys), sizes(len(d.K), keys), sizes(len(d.V), heads*d.ValueDim),
		sizes(len(d.G), heads), sizes(len(d.Beta), heads), sizes(len(d.Forms), rows))
}

// DeltaRule brings the states of the rows' sequences forward and reads them.
func (p *Pool) DeltaRule(y, state []float32, d Delta) error {
	err := first(d.check(), sizes(len(y), len(d.V)), sizes(len(state), d.Slots.Count*d.Heads*d.KeyDim*d.ValueDim))
	if err == nil && len(y) > 0 {
		done := C.pio_delta_rule(p.c, p.table, ptr(y), ptr(state), ptr(d.Q), ptr(d.K), ptr(d.V), ptr(d.G), ptr(d.Beta),
			ints(d.Slots.Positions), ints(d.Slots.Slots), ints(d.Forms), C.size_t(len(d.Forms)), C.size_t(d.KeyHeads),
			C.size_t(d.Heads), C.size_t(d.KeyDim), C.size_t(d.ValueDim), C.float(d.Scale))
		if done == 0 {
			err = fmt.Errorf("no memory for %d threads to work on key heads of %d in", p.threads, d.KeyDim)
		}
	}
	return err
}
