package spec

import (
	"github.com/inference-pio/inference-pio/cuda"
	"math"
	"slices"
)

// ref_experts.go is the specification of the ops of mixtures of experts; see ref.go. Formulas and shapes are in
// cuda/ops_experts.go.

// Routing is how rows of logits choose their experts.
type Routing struct {
	Sigmoid           bool // scores are sigmoids, not a softmax
	Experts, TopK     int
	Groups, TopGroups int         // fewer than two groups are none
	Bias              cuda.Matrix // (Experts), added to scores to choose by; a nil Ptr is none
	Normalize         bool
	Epsilon, Scale    float32
}

// Route is cuda.Step.Route.
func Route(index []int32, weights, logits []float32, c Routing) {
	for r := range len(logits) / c.Experts {
		scores := c.scores(logits[r*c.Experts : (r+1)*c.Experts])
		by := slices.Clone(scores)
		if c.byLogits() {
			copy(by, logits[r*c.Experts:])
		}
		for e := range by {
			if !c.Bias.IsZero() {
				by[e] += Element(c.Bias, e)
			}
			if math.IsNaN(float64(by[e])) {
				by[e] = float32(math.Inf(-1))
			}
		}
		chosen := best(by, c.allowed(by), c.TopK)
		c.weigh(weights[r*c.TopK:(r+1)*c.TopK], scores, chosen)
		for i, e := range chosen {
			index[r*c.TopK+i] = int32(e)
		}
	}
}

// byLogits says that experts are chosen by their logits, which are ordered as the scores are and rounded less.
func (c *Routing) byLogits() bool { return !c.Sigmoid && c.Bias.IsZero() && c.Groups < 2 }

// scores are computed in float64 and rounded once.
func (c *Routing) scores(logits []float32) []float32 {
	scores, top, sum := make([]float32, len(logits)), math.Inf(-1), 0.0
	for _, z := range logits {
		if float64(z) > top {
			top = float64(z)
		}
	}
	for _, z := range logits {
		sum += math.Exp(float64(z) - top)
	}
	for e, z := range logits {
		if c.Sigmoid {
			scores[e] = float32(1 / (1 + math.Exp(-float64(z))))
		} else {
			scores[e] = float32(math.Exp(float64(z)-top) / sum)
		}
	}
	return scores
}

// allowed is the experts of the best groups, in ascending order.
func (c *Routing) allowed(by []float32) []int {
	var experts []int
	groups, size := max(c.Groups, 1), len(by)/max(c.Groups, 1)
	kept := []int{0}
	if groups > 1 {
		sums, all := make([]float32, groups), make([]int, groups)
		for g := range sums {
			two := slices.Sorted(slices.Values(by[g*size : (g+1)*size]))
			sums[g], all[g] = two[size-1]+two[size-2], g
		}
		kept = best(sums, all, c.TopGroups)
	}
	slices.Sort(kept)
	for _, g := range kept {
		for i := range size {
			experts = append(experts, g*size+i)
		}
	}
	return experts
}

// best is the n candidates with the largest scores, the largest first, of equals the one that comes first.
func best(scores []float32, candidates []int, n int) []int {
	sorted := slices.Clone(candidates)
	slices.SortStableFunc(sorted, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	return sorted[:n]
}

func (c *Routing) weigh(weights, scores []float32, chosen []int) {
	sum := 0.0
	for _, e := range chosen {
		sum += float64(scores[e])
	}
	by := float64(c.Scale)
	if c.Normalize {
		by /= sum + float64(c.Epsilon)
	}
	for i, e := range chosen {
		weights[i] = float32(float64(scores[e]) * by)
	}
}

// GatherByValue is cuda.Step.GatherByValue, for rows that stand k times in index.
func GatherByValue(y []float32, entries []int32, x []float32, index []int32, k int, values []int32) {
	findByValue(entries, index, values)
	width := len(x) * k / len(index)
	for i, e := range entries {
		copy(y[i*width:(i+1)*width], x[int(e)/k*width:])
	}
}

// findByValue lists where the values stand in index, value by value, as far as entries has room, and counts them.
func findByValue(entries, index, values []int32) (n int) {
	for _, v := range values {
		for e, have := range index {
			if have != v {
				continue
			}
			if n < len(entries) {
				entries[n] = int32(e)
			}
			n++
		}
	}
	return n
}

// MatMulGrouped is cuda.Step.MatMulGrouped.
func MatMulGrouped(y, x []float32, counts []int32, ws []cuda.Matrix) {
	for i, n := range counts {
		in, out := int(n)*ws[i].Cols, int(n)*ws[i].Rows
		MatMul(y[:out], x[:in], ws[i])
		y, x = y[out:], x[in:]
	}
}

// ScatterAddByIndex is cuda.Step.ScatterAddByIndex, for rows of width elements that stand k times in weights.
func ScatterAddByIndex(y, x []float32, entries []int32, weights []float32, width, k int) {
	for i, e := range entries {
		to, from := y[int(e)/k*width:], x[i*width:(i+1)*width]
		for j, v := range from {
			to[j] = float32(float64(to[j]) + float64(weights[e])*float64(v))
		}
	}
}
