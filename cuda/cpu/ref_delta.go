package cpu

import "math"

// ref_delta.go specifies the gated delta rule and the convolution before it: one row after another, as they are defined.

// RefCausalConv is cuda.Step.CausalConv.
func RefCausalConv(y, x []float32, w Matrix, state []float32, s Slots) {
	n, channels := w.Cols, w.Rows
	for r := range s.Positions {
		past := s.state(state, r)
		if s.Positions[r] == 0 {
			clear(past)
		}
		for c := range channels {
			sum := float64(w.Widen(c*n+n-1)) * float64(x[r*channels+c])
			for j := range n - 1 {
				sum += float64(w.Widen(c*n+j)) * float64(past[j*channels+c])
			}
			y[r*channels+c] = float32(sum / (1 + math.Exp(-sum)))
		}
		copy(past, past[min(channels, len(past)):])
		copy(past[max(len(past)-channels, 0):], x[r*channels:(r+1)*channels])
	}
}

// RefDecay is cuda.Step.Decay.
func RefDecay(y, a []float32, aLog, dtBias Matrix) {
	heads := aLog.Cols
	for i := range y {
		x := float64(a[i]) + float64(dtBias.Widen(i%heads))
		softplus := max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
		y[i] = float32(-math.Exp(float64(aLog.Widen(i%heads))) * softplus)
	}
}

// RefDeltaRule is cuda.Step.DeltaRule, row by row whatever their form.
func RefDeltaRule(y, state []float32, d Delta) {
	for r := range d.Slots.Positions {
		all := d.Slots.state(state, r)
		if d.Slots.Positions[r] == 0 {
			clear(all)
		}
		for h := range d.Heads {
			row, key := r*d.Heads+h, (r*d.KeyHeads+h*d.KeyHeads/d.Heads)*d.KeyDim
			size := d.KeyDim * d.ValueDim
			refDeltaHead(y[row*d.ValueDim:], all[h*size:(h+1)*size], d.Q[key:key+d.KeyDim], d.K[key:], d.V[row*d.ValueDim:],
				float64(d.G[row]), float64(d.Beta[row]), float64(d.Scale), d.ValueDim)
		}
	}
}

// refDeltaHead does one head at one position: s is its matrix, (key dim, n).
func refDeltaHead(y, s, q, k, v []float32, g, beta, scale float64, n int) {
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
