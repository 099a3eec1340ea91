package serve

// stays_test.go moves modules by order and then gives the residency every reason to move them again: budgets, plans, uses, orders
// that come back on themselves.

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// midstep runs a pass in which orders are posted one after the other, at the first border and each following one.
func (y *toy) midstep(orders ...sdk.Order) {
	y.t.Helper()
	var jobs []*order
	y.pass(func(layer int) {
		if layer >= 0 && layer < len(orders) {
			jobs = append(jobs, y.r.post(orders[layer]))
		}
	})
	for _, job := range jobs {
		if err := job.await(y.t.Context()); err != nil {
			y.t.Errorf("%+v: %v", job.Order, err)
		}
	}
}

// What an operator moved stays where it was put, whatever is planned anew: layers that the plan wants on far on the CPU, and one
// that it does not want there on far.
func TestWhatAnOrderMovedStays(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		const most = toyRoom + toyStates + toyLayers*toyWeight
		for name, give := range map[string]func(y *toy, o ...sdk.Order){
			"between steps": func(y *toy, orders ...sdk.Order) {
				for _, o := range orders {
					if err := y.obey(o); err != nil {
						y.t.Error(err)
					}
				}
			},
			"midstep": (*toy).midstep,
		} {
			t.Run(name, func(t *testing.T) {
				y := newToy(t, pace, most, func(layer int) bool { return layer < 2 })
				y.pass(nil)
				give(y, move("layers.0", "cpu"), move("layers.2", "far"), move("embed_tokens", "far"))
				for _, bytes := range []int64{most - 1, most} { // each plans anew
					give(y, budget(bytes))
					y.pass(nil)
					for id, want := range map[string]string{"embed_tokens": "far", "layers.0": "cpu", "layers.1": "far", "layers.2": "far", "layers.3": "cpu"} {
						if at := y.place(id); at != want {
							t.Errorf("after a budget of %d %s is on %s, and was put on %s", bytes, id, at, want)
						}
					}
				}
			})
		}
	})
}

// An expert that an order put on the CPU is not fetched back by its next use, though there is room.
func TestAnExpertThatAnOrderPutOnTheCPUStays(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, toyExperts)
		const id = "layers.2.mlp.experts.4"
		y.route = func(layer int) []int { return map[int][]int{2: {4}}[layer] }
		for range 2 {
			y.pass(nil)
			y.arrived()
		}
		if at := y.place(id); at != "far" {
			t.Fatalf("before the order it is on %s", at)
		}
		if err := y.obey(move(id, "cpu")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			y.pass(nil)
			y.arrived()
			if at := y.place(id); at != "cpu" || len(y.resident()) != 0 {
				t.Fatalf("after a use it is on %s, far has %v", at, y.resident())
			}
		}
	})
}

// A module outside the layers may be used again in the step: it moves when the step has ended, and is not called moved before.
func TestAMoveThatWaitsForTheEndOfTheStep(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, 1<<20, none)
		var job *order
		y.pass(func(layer int) {
			switch {
			case layer == 0:
				job = y.r.post(move("embed_tokens", "far"))
			case layer > 0 && len(job.done) > 0:
				t.Errorf("at layer %d the order is called done", layer)
			}
		})
		if err := job.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if at := y.place("embed_tokens"); at != "far" {
			t.Errorf("after the step it is on %s", at)
		}
		y.pass(nil)
	})
}

// The last module leaves a device and comes back, or another does, all in one step: what activations lie in stays throughout, and
// goes when the device is empty at the end of a step.
func TestTheLastModuleLeavesAndComesBackWithinAStep(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		for name, orders := range map[string][]sdk.Order{
			"itself":             {move("layers.0", "cpu"), move("layers.0", "far")},
			"another":            {move("layers.0", "cpu"), move("layers.1", "far")},
			"two after another":  {move("layers.0", "cpu"), move("layers.1", "far"), move("layers.1", "cpu")},
			"itself and another": {move("layers.0", "cpu"), move("layers.0", "far"), move("layers.2", "far")},
		} {
			t.Run(name, func(t *testing.T) {
				y := newToy(t, pace, 1<<20, func(layer int) bool { return layer == 0 })
				y.pass(nil)
				y.midstep(orders...)
				y.pass(nil)
				there := slices.ContainsFunc(y.mod, func(m *cuda.Module) bool { return y.place(m.ID) == "far" })
				if has := y.scratch.Bytes() > 0; has != there {
					t.Errorf("modules on far: %v, memory for activations: %v", there, has)
				}
			})
		}
	})
}

// With an expert's layer everything can go from a device and come back, mid-step and between steps.
func TestADeviceIsEmptiedAndFilledAgain(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := mixture(t, pace, 2)
		y.route = func(int) []int { return []int{0, 1} }
		most := y.far.Usage().Budget
		for i := range 4 {
			for _, bytes := range []int64{0, most} {
				if i%2 == 0 {
					y.midstep(budget(bytes))
				} else if err := y.obey(budget(bytes)); err != nil {
					t.Fatal(err)
				}
				if u := y.far.Usage(); u.Used > bytes || u.Peak > most {
					t.Errorf("%d bytes are used of %d; at one time there were %d", u.Used, bytes, u.Peak)
				}
				y.pass(nil)
				y.arrived()
				y.come()
				want := map[bool]string{true: "far", false: "cpu"}[bytes > 0]
				for layer := range toyLayers {
					if at := y.place(fmt.Sprintf("layers.%d", layer)); at != want {
						t.Errorf("with %d bytes layers.%d is on %s", bytes, layer, at)
					}
				}
			}
		}
	})
}

// A layer with two states of which far has room for one stays whole where it was.
func TestAMoveThatFailsHalfWayLeavesNothing(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyRoom+toyState+toyState/2, none)
		y.addState(y.mod[1])
		if err := y.obey(move("layers.0", "far")); err == nil || !strings.Contains(err.Error(), "exceed the budget") {
			t.Error(err)
		}
		if used := y.used(); used != 0 {
			t.Errorf("%d bytes stay on far", used)
		}
		for _, s := range y.mod[1].States {
			if s.Tensor().Place() != "cpu" || !slices.Equal(y.read(s.Tensor()), y.was[0]) {
				t.Errorf("a state lies on %s, or has changed", s.Tensor().Place())
			}
		}
		y.pass(nil)
	})
}
