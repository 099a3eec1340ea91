// filter.go finds the ids a sequence may draw, with their weights: top_k, top_p (nucleus.go) and min_p over a vocabulary of 150,000
// ids without sorting it. Candidates are ordered by logit, ties by id, wherever an order decides who is kept.

package engine

import (
	"cmp"
	"math"
)

// candidate is an id that may be drawn. The weight is exp((logit - largest) / temperature), so the likeliest has 1.
type candidate struct {
	id     int32
	logit  float32
	weight float64
}

func byLikelihood(a, b candidate) int {
	if a.logit != b.logit {
		return cmp.Compare(b.logit, a.logit)
	}
	return cmp.Compare(a.id, b.id)
}

// filter returns what top_k, top_p and min_p leave of the distribution. It is valid until the workspace's next use.
func (w *workspace) filter(logits []float32, p *Params) ([]candidate, error) {
	if p.TopK > 0 && p.TopK < len(logits) {
		kept, err := w.topK(logits, p.TopK)
		if err != nil {
			return nil, err
		}
		return narrow(kept, p), nil
	}
	best, err := argmax(logits)
	if err != nil {
		return nil, err
	}
	largest := logits[best]
	if p.nucleus() {
		return minP(w.nucleus(logits, largest, p.Temperature, p.TopP), p.MinP), nil
	}
	return w.weighing(logits, largest, p.Temperature, p.MinP), nil
}

// narrow returns what top_p and min_p leave of what top_k kept.
func narrow(kept []candidate, p *Params) []candidate {
	total := weigh(kept, kept[0].logit, p.Temperature)
	if p.nucleus() {
		kept = topP(kept, p.TopP*total)
	}
	return minP(kept, p.MinP)
}

func weigh(c []candidate, largest float32, temperature float64) (total float64) {
	for i := range c {
		c[i].weight = weight(c[i].logit, largest, temperature)
		total += c[i].weight
	}
	return total
}

// weighing are the ids that weigh at least share and are not ruled out, in the order of ids.
func (w *workspace) weighing(logits []float32, largest float32, temperature, share float64) []candidate {
	least := max(-math.MaxFloat32, cutoff(largest, temperature, -math.Log(share)))
	list := w.candidates[:0]
	for id, v := range logits {
		if v >= least { // minus infinity is ruled out
			list = append(list, candidate{id: int32(id), logit: v})
		}
	}
	w.candidates = list
	weigh(list, largest, temperature)
	return minP(list, share)
}

// cutoff is a logit below which all weigh less than e^-window, and perhaps some above it.
func cutoff(largest float32, temperature, window float64) float32 {
	const slack = 1e-6 // of the window and of the numbers: a float32 is rounded
	return float32(float64(largest) - window*(1+slack)*temperature - slack*math.Abs(float64(largest)))
}

// topK returns the k largest logits and all that equal the k-th, ordered. It keeps a short list and the smallest logit
// that could still enter it, so that nearly every id costs one comparison.
func (w *workspace) topK(logits []float32, k int) ([]candidate, error) {
	list := w.candidates[:0]
	limit := max(256, 4*k)
	floor := float32(-math.MaxFloat32) // minus infinity is ruled out
	for id, v := range logits {
		if v < floor {
			continue
		}
		if v != v || v > math.MaxFloat32 {
			return nil, errNaN
		}
		list = append(list, candidate{id: int32(id), logit: v})
		if len(list) >= limit {
			list = shorten(list, k)
			floor = list[len(list)-1].logit
			limit = max(limit, 2*len(list)) // many equal logits make a long list
		}
	}
	w.candidates = list
	if len(list) == 0 {
		return nil, errNoIDs
	}
	return shorten(list, k), nil
}

// shorten orders the list and cuts it after the k-th and its equals.
func shorten(list []candidate, k int) []candidate {
	sortCandidates(list)
	if len(list) <= k {
		return list
	}
	n := k
	for n < len(list) && list[n].logit == list[k-1].logit {
		n++
	}
	return list[:n]
}

// topP keeps ordered candidates for as long as those before them weigh less than mass.
func topP(c []candidate, mass float64) []candidate {
	before := 0.0
	for i := range c {
		if before >= mass && i > 0 {
			return c[:i]
		}
		before += c[i].weight
	}
	return c
}

// minP keeps the candidates whose weight is at least share: the likeliest weighs 1.
func minP(c []candidate, share float64) []candidate {
	if share <= 0 {
		return c
	}
	kept := c[:0]
	for i := range c {
		if c[i].weight >= share {
			kept = append(kept, c[i])
		}
	}
	return kept
}
