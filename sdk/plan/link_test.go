package plan

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// What a cache of experts has that a link fills is told beforehand: a model of it that goes through tokens one by one has the same.
func TestHitsAreThoseOfACacheThatALinkFills(t *testing.T) {
	const layers, experts, needed, skew = 16, 128, 8, 0.17
	for _, c := range []struct {
		room    int     // experts of a layer
		carried float64 // of those that a token needs
	}{{12, 0.1}, {12, 0.25}, {12, 1}, {32, 0.1}, {32, 0.25}, {32, 1}, {96, 0.05}, {96, 0.25}} {
		in := Input{Skew: skew}
		want := playCache(layers, experts, needed, c.room*layers, c.carried, skew)
		got := in.hits(float64(c.room)/experts, float64(needed)/experts, c.carried)
		if t.Logf("room for %d of %d, %.0f %% carried: %.2f, played %.2f", c.room, experts, 100*c.carried, got, want); math.Abs(got-want) > 0.03 {
			t.Errorf("room for %d of %d, and %.0f %% carried: %.3f are expected, %.3f were there", c.room, experts, 100*c.carried, got, want)
		}
	}
}

// playCache has rows go to experts as traces of real models are reported to, and gives the share of those needed that was cached in the last tokens. The
// link brings so many of those that are missing, in the order in which layers ask, before the next token needs them.
func playCache(layers, experts, needed, room int, carried, skew float64) float64 {
	const tokens, counted = 600, 200
	r := rand.New(rand.NewPCG(1, 2))
	stacks, used, held := make([][]int, layers), make([]map[int]int, layers), 0
	for l := range stacks {
		stacks[l], used[l] = r.Perm(experts), map[int]int{}
	}
	credit, had := 0.0, 0
	for token := range tokens {
		for l, stack := range stacks {
			var taken []int
			for len(taken) < needed {
				rank := min(experts-1, int(float64(experts)*math.Pow(r.Float64(), 1/skew)))
				for slices.Contains(taken, stack[rank]) {
					rank = (rank + 1) % experts
				}
				taken = append(taken, stack[rank])
			}
			credit = min(credit+carried*float64(needed), float64(layers*needed)/4) // a link that had nothing to do has not saved its time
			for _, n := range r.Perm(needed) {                                     // of those of one token none is the last used
				i := slices.Index(stack, taken[n])
				copy(stack[1:i+1], stack[:i])
				stack[0] = taken[n]
			}
			for _, e := range taken {
				if _, there := used[l][e]; there {
					used[l][e] = token
					if token >= tokens-counted {
						had++
					}
				} else if credit >= 1 && (held < room || giveUp(used, l, token)) {
					credit--
					held = min(room, held+1)
					used[l][e] = token
				}
			}
		}
	}
	return float64(had) / float64(counted*layers*needed)
}

// giveUp takes the expert that was used longest ago from the layer with the most, and says whether there was one that this token does not need.
func giveUp(used []map[int]int, layer, token int) bool {
	from := layer
	for l := range used {
		if len(used[l]) > len(used[from]) {
			from = l
		}
	}
	oldest := -1
	for e, at := range used[from] {
		if at < token && (oldest < 0 || at < used[from][oldest] || at == used[from][oldest] && e < oldest) {
			oldest = e
		}
	}
	delete(used[from], oldest)
	return oldest >= 0
}

// What a token needs that the one before needed tells how unevenly experts are drawn, whatever a cache has; and no cache has more than follows of it.
func TestSkewIsFoundAgain(t *testing.T) {
	for _, skew := range []float64{0.1, 0.17, 0.5, 0.9} {
		for _, share := range []float64{0.02, 0.2, 0.6} {
			if got := SkewOf(share, math.Pow(share, skew)); math.Abs(got-skew) > 1e-9 {
				t.Errorf("%g of what a token needs of %g was needed before: a skew of %g, not %g", math.Pow(share, skew), share, got, skew)
			}
			for _, carried := range []float64{0.05, 0.3, 2} {
				in := Input{Skew: skew}
				if h := in.hits(share, 0, carried); h <= 0 || h > math.Pow(share, skew)+1e-9 {
					t.Errorf("skew %g: a cache of %g has %g of what is needed", skew, share, h)
				}
			}
		}
	}
	for _, evenly := range [][2]float64{{0.1, 0.1}, {0.1, 0.05}, {0.1, 0}, {1, 1}, {0, 0.5}} {
		if got := SkewOf(evenly[0], evenly[1]); got != 1 {
			t.Errorf("of %g, %g were needed again: a skew of %g", evenly[0], evenly[1], got)
		}
	}
}
