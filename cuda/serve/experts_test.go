package serve

// experts_test.go has a device with room for some of the experts of a mixture: which it keeps, where they are computed.

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/cuda/serve/heat"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/plan"
)

const toyExperts = 6

// mixture has all layers on far, and room there for so many of their experts.
func mixture(t *testing.T, pace far.Pace, room int) *toy {
	t.Helper()
	y := newMixture(t, pace, int64(toyRoom+toyStates+(toyLayers+room)*toyWeight), toyExperts, all)
	y.pass(nil)
	return y
}

// arrived waits for the copies that the last pass started.
func (y *toy) arrived() {
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	for _, p := range y.r.caches[1].arriving {
		if p.transfer != nil {
			_ = p.transfer.Wait()
		}
	}
}

// resident lists the experts whose weights far has.
func (y *toy) resident() (list []string) {
	for _, layer := range y.experts {
		for _, m := range layer {
			if !m.Weights[0].On(1).IsZero() {
				list = append(list, m.ID)
			}
		}
	}
	return list
}

func TestAnExpertIsThereTheSecondTime(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, toyExperts)
		y.route = func(layer int) []int {
			if layer != 2 {
				return nil
			}
			return []int{4, 4} // two rows
		}
		for range 3 {
			y.pass(nil)
			y.arrived()
		}
		if h, m := y.r.counts.hits.Load(), y.r.counts.misses.Load(); h != 2 || m != 1 {
			t.Errorf("%d hits and %d misses, want 2 and 1", h, m)
		}
		if at := y.place("layers.2.mlp.experts.4"); at != "far" {
			t.Errorf("the expert is on %s", at)
		}
		if dev, ok := y.experts[2][4].Settled(); !ok || dev != 1 {
			t.Errorf("it is computed on device %d, settled %v", dev, ok)
		}
	})
}

func TestTheExpertUsedLongestAgoGivesWay(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 2)
		only := func(layer, e int) {
			y.route = func(l int) []int {
				if l != layer {
					return nil
				}
				return []int{e}
			}
			y.pass(nil)
			y.arrived()
		}
		only(0, 0)
		only(0, 1)
		only(0, 0) // again: 1 is the older one now
		only(1, 5) // a layer with fewer than its share takes from one with more
		if got, want := strings.Join(y.resident(), " "), "layers.0.mlp.experts.0 layers.1.mlp.experts.5"; got != want {
			t.Errorf("on far are %s, want %s", got, want)
		}
		only(1, 4) // both have their share: within the layer
		if got, want := strings.Join(y.resident(), " "), "layers.0.mlp.experts.0 layers.1.mlp.experts.4"; got != want {
			t.Errorf("on far are %s, want %s", got, want)
		}
	})
}

// Which experts are there is what LRFU says, whose definition is a sum over all needs: the one that counts least gives way, unless the pass needs it.
func TestTheExpertThatCountsLeastGivesWay(t *testing.T) {
	const room = 3
	y := mixture(t, far.Now(), room)
	draw, needs, there := rand.New(rand.NewPCG(7, 8)), [toyExperts][]uint64{}, []int{}
	counts := func(e int) (sum float64) {
		for _, pass := range needs[e] {
			sum += math.Pow(0.5, float64(y.r.passes-pass)/heat.Half)
		}
		return sum
	}
	gave := 0
	for n := range 400 {
		e := []int{n / 50 % toyExperts, draw.IntN(toyExperts)}[draw.IntN(2)]                  // one of them often, for a while
		y.route = func(layer int) []int { return []int{e}[:1-min(1, max(layer-1, 1-layer))] } // of layer 1
		y.pass(nil)
		y.arrived()
		needs[e] = append(needs[e], y.r.passes)
		if !slices.Contains(there, e) {
			if len(there) == room {
				least := slices.MinFunc(there, func(a, b int) int { return cmp.Compare(counts(a), counts(b)) })
				there = slices.DeleteFunc(there, func(x int) bool { return x == least })
				gave++
			}
			there = append(there, e)
		}
		var want []string
		for _, e := range slices.Sorted(slices.Values(there)) {
			want = append(want, fmt.Sprintf("layers.1.mlp.experts.%d", e))
		}
		if got := y.resident(); !slices.Equal(got, want) {
			t.Fatalf("in pass %d %v are there, not %v", y.r.passes, got, want)
		}
	}
	if gave < 50 {
		t.Errorf("%d have given way: the test shows little", gave)
	}
}

// Experts that one pass needs do not take turns in room for one: each copy would come too late for the next pass.
func TestExpertsOfOnePassDoNotTakeTurns(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 1)
		y.route = func(layer int) []int { return []int{0, 1}[:2*min(1, layer/3)] } // of the last layer
		for range 5 {
			y.pass(nil)
			y.arrived()
		}
		if hits, evictions := y.r.counts.hits.Load(), y.r.counts.evictions.Load(); hits != 4 || evictions != 0 {
			t.Errorf("%d were found in four passes, %d gave way", hits, evictions)
		}
	})
}

// An expert goes to the device of its layer: elsewhere its rows would have to travel in every pass.
func TestAnExpertGoesWhereItsLayerIs(t *testing.T) {
	y := newMixture(t, far.Now(), 1<<20, toyExperts, none)
	second := far.New("far.1", 1<<20, 0, 0, y.cpu())
	y.r.mu.Lock()
	y.r.devices, y.queues = append(y.r.devices, second), append(y.queues, second.NewQueue())
	y.r.caches, y.r.leaving = append(y.r.caches, newExpertCache(toyLayers)), append(y.r.leaving, false)
	y.r.quiet = append(y.r.quiet, false)
	y.r.mu.Unlock()
	if err := y.obey(move("layers.1", "far.1")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // sent for, and arrived
		y.r.beginPass(1)
		y.r.Routed(1, []int32{2})
		y.r.finish()
		if at := y.place("layers.1.mlp.experts.2"); at != "far.1" {
			t.Errorf("the expert of a layer on far.1 is on %s", at)
		}
		_ = y.r.place("layers.1.mlp.experts.2").await(y.queues[2])
	}
}

func TestAThirdOfTheExpertsFits(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		const room = toyLayers * toyExperts / 3
		y := mixture(t, pace, room)
		y.link = true
		r := rand.New(rand.NewPCG(1, 2))
		y.route = func(int) []int { return []int{r.IntN(3), 3 + r.IntN(3)} }
		for range 200 {
			y.pass(nil)
			y.arrived()
		}
		if h, m := y.r.counts.hits.Load(), y.r.counts.misses.Load(); h == 0 || m == 0 || h+m != 200*toyLayers*2 {
			t.Errorf("%d hits and %d misses of %d", h, m, 200*toyLayers*2)
		}
		if n := len(y.resident()); n != room {
			t.Errorf("%d experts are on far, there is room for %d", n, room)
		}
		if u := y.far.Usage(); u.Peak > u.Budget {
			t.Errorf("%d bytes were used of %d", u.Peak, u.Budget)
		}
	})
}

func TestExpertsOfLayersOnTheCPUSettleThere(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newMixture(t, pace, 1<<20, toyExperts, none)
		y.route = func(int) []int { return []int{0, 1, 2} }
		y.pass(nil)
		for e := range 3 {
			if dev, ok := y.experts[0][e].Settled(); !ok || dev != 0 {
				t.Errorf("expert %d: device %d, settled %v", e, dev, ok)
			}
		}
		if h, m := y.r.counts.hits.Load(), y.r.counts.misses.Load(); h+m != 0 {
			t.Errorf("%d hits and %d misses without a device in use", h, m)
		}
	})
}

func TestAnOrderKeepsAnExpertWhereItIs(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 1)
		if err := y.obey(move("layers.3.mlp.experts.1", "far")); err != nil {
			t.Fatal(err)
		}
		y.route = func(int) []int { return []int{0, 1, 2} }
		for range 5 {
			y.pass(nil)
			y.arrived()
		}
		if got := strings.Join(y.resident(), " "); got != "layers.3.mlp.experts.1" {
			t.Errorf("on far are %s", got)
		}
		if err := y.obey(move("layers.3.mlp.experts.2", "far")); err == nil || !strings.Contains(err.Error(), "exceed the budget") {
			t.Errorf("a second expert where one fits: %v", err)
		}
		if err := y.obey(move("layers.3.mlp.experts.1", "cpu")); err != nil {
			t.Fatal(err)
		}
		y.pass(nil)
		y.arrived()
		y.pass(nil)
		if at := y.place("layers.3.mlp.experts.1"); at != "cpu" {
			t.Errorf("the expert that was ordered back is on %s", at)
		}
	})
}

func TestAShrinkingBudgetTakesExpertsFirst(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 4)
		y.route = func(int) []int { return []int{0} }
		for range 8 {
			y.pass(nil)
			y.arrived()
		}
		if err := y.obey(budget(toyRoom + toyStates + toyLayers*toyWeight)); err != nil {
			t.Fatal(err)
		}
		if list := y.resident(); len(list) != 0 {
			t.Errorf("%v stayed", list)
		}
		for i := range toyLayers {
			if at := y.place(fmt.Sprintf("layers.%d", i)); at != "far" {
				t.Errorf("layers.%d had to go to %s for experts", i, at)
			}
		}
	})
}

// Orders for layers and experts at any moment: what is entered is always where it is said to be.
func TestRandomOrdersForAMixture(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 3)
		r := rand.New(rand.NewPCG(3, 4))
		y.route = func(int) []int { return []int{r.IntN(3), 3 + r.IntN(3)} }
		most, orders := y.far.Usage().Budget, rand.New(rand.NewPCG(5, 6))
		y.passesUnderOrders(func() sdk.Order {
			layer, where := orders.IntN(toyLayers), []string{"cpu", "far"}[orders.IntN(2)]
			switch orders.IntN(4) {
			case 0:
				return budget(orders.Int64N(most))
			case 1, 2:
				return move(y.experts[layer][orders.IntN(toyExperts)].ID, where)
			}
			return move(y.mod[1+layer].ID, where)
		})
	})
}

// TestAnExpertMayComeInThePlaceOfTheLastOne on a device that has nothing else: what it works in stays.
func TestAnExpertMayComeInThePlaceOfTheLastOne(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newMixture(t, pace, 1<<20, toyExperts, none)
		if err := y.obey(move("layers.0", "far")); err != nil {
			t.Fatal(err)
		}
		y.route = func(layer int) []int { return []int{2}[:min(1, 1-min(layer, 1))] }
		y.pass(nil)
		y.arrived()
		y.route = nil
		y.pass(nil)
		for _, o := range []sdk.Order{move("layers.0", "cpu"), budget(toyRoom + toyWeight), move("layers.0.mlp.experts.1", "far")} {
			if err := y.obey(o); err != nil {
				t.Fatal(err)
			}
		}
		y.pass(nil)
		if got := strings.Join(y.resident(), " "); got != "layers.0.mlp.experts.1" || y.scratch.Bytes() == 0 {
			t.Errorf("on far are %q, with %d bytes for activations", got, y.scratch.Bytes())
		}
	})
}

// While there is room experts come as they are missed. Then a layer brings as many in place of others as a plan finds worth their copies, on average, and an
// order all the same.
func TestALayerBringsWhatIsWorthIt(t *testing.T) {
	y := mixture(t, far.Now(), 2)
	need := 0
	y.route = func(layer int) []int { return []int{need}[:1-min(1, max(layer-1, 1-layer))] } // of layer 1
	sent := func(passes int) uint64 {
		before := y.r.counts.sent.Load()
		for range passes {
			need = (need + 1) % (toyExperts - 1)
			y.pass(nil)
			y.arrived()
		}
		return y.r.counts.sent.Load() - before
	}
	in := plan.Input{Devices: make([]plan.Device, 2)}
	worth := func(x float64) { y.r.bringWorth(in, []plan.Cache{{}, {Brings: x}}) }
	worth(0)
	if n := sent(20); n != 2 {
		t.Errorf("a cache with room for two that is to replace none was sent %d", n)
	}
	if err := y.obey(move("layers.1.mlp.experts.5", "far")); err != nil {
		t.Errorf("an order for an expert that is worth nothing: %v", err)
	}
	for _, x := range []float64{0.25, 0.5, 1} {
		worth(x)
		sent(4) // what was left from before
		if n := sent(40); float64(n) < 40*x-1 || float64(n) > 40*x+1 {
			t.Errorf("with %g a pass %d were sent in 40 passes", x, n)
		}
	}
	// What passes that lack nothing have not brought those may bring that come after them.
	worth(0.25)
	one := y.route
	y.route = func(int) []int { return nil }
	sent(20)
	y.route = one
	if n := sent(4); n != 4 {
		t.Errorf("after 20 passes that lacked nothing four that lacked one each were sent %d", n)
	}
	sent(8) // what was left
	// Half of the copies are to go through pinned memory, and take three times as much: one of those is one and a half.
	in.Devices[1] = plan.Device{BesideRate: 1, BesideTakes: 1, StagedRate: 1, StagedTakes: 3, Staged: 0.5}
	worth(0.75)
	sent(4)
	if n := sent(40); n < 19 || n > 21 {
		t.Errorf("of copies that count for one and a half %d were sent in 40 passes, where 30 are worth it", n)
	}
}
