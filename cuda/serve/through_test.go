package serve

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// longPass is a pass of eight rows through experts that come to far from four rows on.
func (y *toy) longPass(at func(layer int)) {
	y.r.mu.Lock()
	y.r.through.from = []int{0, 4}
	y.r.mu.Unlock()
	y.rows = 8
	defer func() { y.rows = 0 }()
	y.pass(at)
}

func everyExpert(int) []int { return []int{0, 1, 2, 3, 4, 5} }

// With room for the experts of two of four layers, a pass of many rows has all of each layer's on far when that is computed, and one of few rows
// brings none there but those that it was routed to.
func TestALongPassBringsExpertsThrough(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 2*toyExperts)
		y.link, y.route = true, everyExpert
		for range 3 {
			y.longPass(func(layer int) {
				if layer < 0 {
					return
				}
				for e, m := range y.experts[layer] {
					if dev, ok := m.Settled(); !ok || dev != 1 {
						t.Errorf("layer %d: expert %d is computed on device %d, settled %v", layer, e, dev, ok)
					}
				}
			})
		}
		if n := y.r.counts.prefetches.Load(); n < uint64(2*toyLayers*toyExperts) {
			t.Errorf("%d experts were brought", n)
		}
		if h, m := y.r.counts.hits.Load(), y.r.counts.misses.Load(); h+m != 0 {
			t.Errorf("%d hits and %d misses: who passes through is not counted", h, m)
		}
		brought := y.r.counts.prefetches.Load()
		y.route = func(int) []int { return []int{2} }
		for range 3 {
			y.pass(nil)
			y.arrived()
		}
		if n := y.r.counts.prefetches.Load(); n != brought {
			t.Errorf("a pass of one row has brought %d experts", n-brought)
		}
		if u := y.far.Usage(); u.Peak > u.Budget {
			t.Errorf("%d bytes were used of %d", u.Peak, u.Budget)
		}
	})
}

// What decoding has needed stays while others pass through, but for what two layers' guests need.
func TestGuestsGiveWayFirst(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 2*toyExperts+toyLayers)
		y.route = func(int) []int { return []int{3} }
		for range 2 {
			y.pass(nil)
			y.arrived()
		}
		hot := y.resident()
		y.route = everyExpert
		y.longPass(nil)
		y.longPass(nil)
		now := y.resident()
		for _, id := range hot {
			if !slices.Contains(now, id) {
				t.Errorf("%s, which tokens need, has given way: on far are %v", id, now)
			}
		}
	})
}

// With less room than for two layers' experts some are computed on the CPU, and nothing fails.
func TestALongPassWithLittleRoom(t *testing.T) {
	for room := range 2*toyExperts + 1 {
		y := mixture(t, far.Random(uint64(room)), room)
		y.route = everyExpert
		for range 3 {
			y.longPass(nil)
			y.pass(nil)
		}
		if u := y.far.Usage(); u.Peak > u.Budget {
			t.Errorf("%d bytes were used of %d", u.Peak, u.Budget)
		}
	}
}

// Orders for layers, experts and budgets at any moment of passes long and short.
func TestOrdersWhileExpertsPassThrough(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 2*toyExperts)
		r, orders := rand.New(rand.NewPCG(7, 8)), rand.New(rand.NewPCG(9, 10))
		y.route = func(int) []int { return []int{r.IntN(3), 3 + r.IntN(3)} }
		y.r.mu.Lock()
		y.r.through.from = []int{0, 4}
		y.r.mu.Unlock()
		y.draw = func() int { return r.IntN(9) }
		most := y.far.Usage().Budget
		y.passesUnderOrders(func() sdk.Order {
			layer, where := orders.IntN(toyLayers), []string{"cpu", "far"}[orders.IntN(2)]
			switch orders.IntN(4) {
			case 0:
				return budget(orders.Int64N(most))
			case 1:
				return move(y.experts[layer][orders.IntN(toyExperts)].ID, where)
			}
			return move(y.mod[1+layer].ID, where)
		})
	})
}
