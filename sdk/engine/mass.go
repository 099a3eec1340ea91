// mass.go adds up what all ids of a vocabulary weigh, and draws one by that: what there is to do where no filter leaves a few. A list of candidates
// would take 16 bytes for each id, written and read again.

package engine

import (
	"math"
	"slices"
)

// massBlock is how many ids are added up together: only one block is gone through once more.
const massBlock = 1024

// masses sets the sums to what blocks of ids weigh, the likeliest 1, and returns the total. largest is the largest logit, a finite number; what is
// ruled out weighs nothing.
func (w *workspace) masses(logits []float32, largest float32, temperature float64) (total float64) {
	blocks := (len(logits) + massBlock - 1) / massBlock
	w.sums = slices.Grow(w.sums[:0], blocks)[:blocks]
	top, colder := float64(largest), inverse(temperature)
	for i := range w.sums {
		block := logits[i*massBlock : min((i+1)*massBlock, len(logits))]
		even, odd := 0.0, 0.0 // an addition waits for the one before
		for len(block) >= 2 {
			even += negExp((float64(block[0]) - top) * colder)
			odd += negExp((float64(block[1]) - top) * colder)
			block = block[2:]
		}
		if len(block) > 0 {
			even += negExp((float64(block[0]) - top) * colder)
		}
		w.sums[i] = even + odd
		total += w.sums[i]
	}
	return total
}

// inverse is what divides by a temperature, a finite number that leaves 0 what is 0.
func inverse(temperature float64) float64 { return min(1/temperature, math.MaxFloat64) }

// weight is what an id weighs beside the likeliest.
func weight(logit, largest float32, temperature float64) float64 {
	return negExp((float64(logit) - float64(largest)) * inverse(temperature))
}

// draw walks the ids until their weights cover the share u of the total.
func (w *workspace) draw(logits []float32, temperature, u float64) (int32, error) {
	best, err := argmax(logits)
	if err != nil {
		return 0, err
	}
	largest := logits[best]
	target, covered := u*w.masses(logits, largest, temperature), 0.0
	last := best // that weighs something, should rounding have none cover the target
	for i, sum := range w.sums {
		if covered+sum <= target && i < len(w.sums)-1 {
			covered += sum
			continue
		}
		for at := i * massBlock; at < min((i+1)*massBlock, len(logits)); at++ {
			x := weight(logits[at], largest, temperature)
			if covered += x; target < covered {
				return int32(at), nil
			}
			if x > 0 {
				last = int32(at)
			}
		}
	}
	return last, nil
}

// logSum is the logarithm of the sum of e to the power of each logit, of which the largest is told.
func (w *workspace) logSum(logits []float32, largest float32) float64 {
	return float64(largest) + math.Log(w.masses(logits, largest, 1))
}
