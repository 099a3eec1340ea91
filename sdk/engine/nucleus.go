// nucleus.go finds what top_p leaves of a whole vocabulary (Holtzman, Buys, Du, Forbes and Choi, ICLR 2020) without sorting it: ids are counted by how far
// they are from the likeliest, and only those that are about as far as the last one are put in order. A flat distribution leaves 100,000.

package engine

import "math"

const (
	binsEach = 16 // of a distance in which weights fall to the e-th part
	binsAll  = 64 * binsEach
)

// nucleus returns the likeliest ids that weigh share of the total: each of whom those before it weigh less. They are in the order of ids, but for the
// least likely, which come last.
func (w *workspace) nucleus(logits []float32, largest float32, temperature, share float64) []candidate {
	top, colder := float64(largest), inverse(temperature)
	w.bins = [binsAll]float64{}
	for _, v := range logits {
		x := (float64(v) - top) * colder
		w.bins[binOf(x)] += negExp(x)
	}
	total := 0.0
	for _, mass := range w.bins {
		total += mass
	}
	mass, before, last := share*total, 0.0, 0
	for ; last < binsAll-1 && before+w.bins[last] < mass; last++ {
		before += w.bins[last]
	}

	list, edge := w.candidates[:0], w.edge[:0]
	least := max(-math.MaxFloat32, cutoff(largest, temperature, float64(last+1)/binsEach))
	if last == binsAll-1 {
		least = -math.MaxFloat32
	}
	for id, v := range logits {
		if v < least {
			continue
		}
		x := (float64(v) - top) * colder
		switch bin, c := binOf(x), (candidate{int32(id), v, negExp(x)}); {
		case bin < last:
			list = append(list, c)
		case bin == last:
			edge = append(edge, c)
		}
	}
	sortCandidates(edge)
	list = append(list, topP(edge, mass-before)...)
	w.candidates, w.edge = list, edge
	return list
}

// binOf is how far an id is from the likeliest, of which x <= 0 is the logarithm of the weight.
func binOf(x float64) int { return int(min(-x*binsEach, binsAll-1)) }
