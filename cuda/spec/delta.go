package spec

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// delta.go has the gated delta rule and the convolution before it: one row after another, as they are defined.

// Slots addresses the rows of a batch in states of one slot for each sequence.
type Slots struct {
	Positions, Slots []int32 // by row
	Count            int     // of slots
}

// state is the part of a state that is the slot of row r.
func (s *Slots) state(state []float32, r int) []float32 {
	size, slot := len(state)/s.Count, int(s.Slots[r])
	return state[slot*size : (slot+1)*size]
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

// CausalConv is cuda.Step.CausalConv.
func CausalConv(y, x []float32, w cuda.Matrix, state []float32, s Slots) {
	n, channels := w.Cols, w.Rows
	for r := range s.Positions {
		past := s.state(state, r)
		if s.Positions[r] == 0 {
			clear(past)
		}
		for c := range channels {
			sum := float64(Element(w, c*n+n-1)) * float64(x[r*channels+c])
			for j := range n - 1 {
				sum += float64(Element(w, c*n+j)) * float64(past[j*channels+c])
			}
			y[r*channels+c] = float32(sum / (1 + math.Exp(-sum)))
		}
		copy(past, past[min(channels, len(past)):])
		copy(past[max(len(past)-channels, 0):], x[r*channels:(r+1)*channels])
	}
}

// Decay is cuda.Step.Decay.
func Decay(y, a []float32, aLog, dtBias cuda.Matrix) {
	heads := aLog.Cols
	for i := range y {
		x := float64(a[i]) + float64(Element(dtBias, i%heads))
		softplus := max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
		y[i] = float32(-math.Exp(float64(Element(aLog, i%heads))) * softplus)
	}
}

// DeltaRule is cuda.Step.DeltaRule, row by row whatever their form.
func DeltaRule(y, state []float32, d Delta) {
	for r := range d.Slots.Positions {
		all := d.Slots.state(state, r)
		if d.Slots.Positions[r] == 0 {
			clear(all)
		}
		for h := range d.Heads {
			row, key := r*d.Heads+h, (r*d.KeyHeads+h*d.KeyHeads/d.Heads)*d.KeyDim
			size := d.KeyDim * d.ValueDim
			deltaHead(y[row*d.ValueDim:], all[h*size:(h+1)*size], d.Q[key:key+d.KeyDim], d.K[key:], d.V[row*d.ValueDim:],
				float64(d.G[row]), float64(d.Beta[row]), float64(d.Scale), d.ValueDim)
		}
	}
}

// deltaHead does one head at one position: s is its matrix, (key dim, n).
func deltaHead(y, s, q, k, v []float32, g, beta, scale float64, n int) {
	for j := range n { // the columns of the matrix have nothing to do with each other
		keep, seen := math.Exp(g), 0.0
		for i := range q {
			seen += keep * float64(s[i*n+j]) * float64(k[i])
		}
		correct, out := beta*(float64(v[j])-seen), 0.0
		for i := range q {
			now := keep*float64(s[i*n+j]) + float64(k[i])*correct
			s[i*n+j] = float32(now)
			out += now * float64(q[i])
		}
		y[j] = float32(scale * out)
	}
}
