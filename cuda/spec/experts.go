package spec

import (
	"math"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
)

// experts.go has the ops of mixtures of experts.

// Routing is how rows of logits choose their experts.
type Routing struct {
	Sigmoid           bool // scores are sigmoids, not a softmax
	Experts, TopK     int
	Groups, TopGroups int         // fewer than two groups are none
	Bias              cuda.Matrix // (Experts), added to scores to choose by; the zero Matrix is none
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

// Experts is what a table of experts makes of rows, before their weights: row r·k+j of rows is what expert index[r][j] gives for x[r],
// zeros where that expert is not in the table.
func Experts(rows, x []float32, index []int32, k int, table []cuda.Expert) {
	hidden := len(rows) / max(len(index), 1)
	for i, e := range index {
		to := rows[i*hidden : (i+1)*hidden]
		if table[e].Gate.IsZero() {
			clear(to)
			continue
		}
		gate, up := make([]float32, table[e].Gate.Rows), make([]float32, table[e].Gate.Rows)
		MatMul(gate, x[i/k*hidden:(i/k+1)*hidden], table[e].Gate)
		MatMul(up, x[i/k*hidden:(i/k+1)*hidden], table[e].Up)
		SwiGLU(gate, gate, up)
		MatMul(to, gate, table[e].Down)
	}
}

// ExpertSum adds up what each row's k experts give, times their weights.
func ExpertSum(y, rows, weights []float32, k int) {
	width := len(rows) / max(len(weights), 1)
	for i := range y {
		r, c, sum := i/width, i%width, 0.0
		for j := range k {
			sum += float64(weights[r*k+j]) * float64(rows[(r*k+j)*width+c])
		}
		y[i] = float32(sum)
	}
}
