// filter.go finds the ids a sequence may draw, with their weights: top_k, top_p and min_p over a vocabulary of 150,000
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
	kept, total, err := w.all(logits, p.Temperature)
	if err != nil {
		return nil, err
	}
	if p.nucleus() {
		kept = topP(w.likeliest(kept, p.TopP*total), p.TopP*total)
	}
	return minP(kept, p.MinP), nil
}

// narrow returns what top_p and min_p leave of what top_k kept.
func narrow(kept []candidate, p *Params) []candidate {
	total := weigh(kept, kept[0].logit, p.Temperature)
	if p.nucleus() {
		kept = topP(kept, p.TopP*total)
	}
	return minP(kept, p.MinP)
}

// all weighs every id that is not ruled out, in the order of ids.
func (w *workspace) all(logits []float32, temperature float64) ([]candidate, float64, error) {
	best, err := argmax(logits)
	if err != nil {
		return nil, 0, err
	}
	kept := w.candidates[:0]
	for id, v := range logits {
		if v >= -math.MaxFloat32 { // minus infinity is ruled out
			kept = append(kept, candidate{id: int32(id), logit: v})
		}
	}
	w.candidates = kept
	return kept, weigh(kept, logits[best], temperature), nil
}

func weigh(c []candidate, largest float32, temperature float64) (total float64) {
	for i := range c {
		c[i].weight = negExp((float64(c[i].logit) - float64(largest)) / temperature)
		total += c[i].weight
	}
	return total
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

// likeliest returns, ordered, enough of the likeliest candidates to weigh at least mass. It looks at the ids within
// e^-4 of the likeliest first and widens the window until the mass is there, so that it sorts hundreds and not 150,000.
func (w *workspace) likeliest(c []candidate, mass float64) []candidate {
	for window := 4.0; ; window *= 2 {
		threshold, sum := math.Exp(-window), 0.0
		head := w.head[:0]
		for i := range c {
			if c[i].weight >= threshold {
				head = append(head, c[i])
				sum += c[i].weight
			}
		}
		w.head = head
		if sum >= mass || len(head) == len(c) || threshold == 0 {
			sortCandidates(head)
			return head
		}
	}
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
