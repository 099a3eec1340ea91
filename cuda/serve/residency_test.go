package serve

// residency_test.go has layers settle where there is room for all and streams them where there is not.

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestWithRoomForAllEverythingSettles(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyRoom+toyStates+toyLayers*toyWeight, all)
		for range 3 {
			y.pass(nil)
		}
		for _, m := range y.mod {
			if _, settled := m.Settled(); !settled {
				t.Errorf("%s still asks", m.ID)
			}
		}
		if e := y.r.counts.evictions.Load(); e != 0 {
			t.Errorf("%d evictions with room for all", e)
		}
	})
}

// With room for one layer too few, what is needed last gives way (Belady's rule): of four copies a pass
// needs three at most.
func TestThreeOfFourLayersAreStreamed(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		const room = toyTwo + toyWeight
		y := newToy(t, pace, room, all)
		y.link = true
		for range 3 {
			y.pass(nil)
		}
		const passes = 10
		before := y.copiesIn()
		for range passes {
			y.pass(nil)
		}
		if n := y.copiesIn() - before; n > 3*passes {
			t.Errorf("%d weights were copied in %d passes", n, passes)
		}
		if u := y.far.Usage(); u.Peak > room {
			t.Errorf("the device held %d bytes, its budget is %d", u.Peak, room)
		}
	})
}

func TestTwoOfFourLayersAreStreamed(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyTwo, all)
		y.link = true
		const passes = 10
		for range passes {
			y.pass(nil)
		}
		if n := y.r.counts.prefetches.Load(); n < passes*toyLayers/2 {
			t.Errorf("%d prefetches in %d passes", n, passes)
		}
		if u := y.far.Usage(); u.Peak > toyTwo {
			t.Errorf("the device held %d bytes, its budget is %d", u.Peak, toyTwo)
		}
		for i := range toyLayers {
			if at := y.place(fmt.Sprintf("layers.%d", i)); at != "far" {
				t.Errorf("layers.%d went to %s", i, at)
			}
		}
	})
}

// What the plugin says of its placement is what the plan wants streamed, until a module goes elsewhere or there is room for all.
func TestStreamedModulesAreCalledSo(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyTwo, all)
		streamed := func() (list []string) {
			for _, p := range y.r.placements() {
				if p.Streamed {
					list = append(list, p.Module)
				}
			}
			return list
		}
		if got := streamed(); len(got) != toyLayers {
			t.Errorf("streamed are %v, and all layers should be", got)
		}
		if err := y.obey(sdk.Order{Move: &sdk.MoveOrder{Module: "layers.1", Device: "cpu"}}); err != nil {
			t.Fatal(err)
		}
		if got := streamed(); len(got) != toyLayers-1 || slices.Contains(got, "layers.1") {
			t.Errorf("with layers.1 on the cpu streamed are %v", got)
		}
		if err := y.obey(budget(10 * toyTwo)); err != nil {
			t.Fatal(err)
		}
		if got := streamed(); len(got) != 0 {
			t.Errorf("with room for all streamed are %v", got)
		}
	})
}
