package serve

// budgets_test.go gives devices less than they hold, and more: what has to go goes, and what cannot be kept is refused with the least
// that works.

import (
	"fmt"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

func TestABudgetTooSmallForOneLayerSendsItToTheCPU(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyRoom+toyStates+toyWeight/2, all)
		y.pass(nil)
		if at := y.place("layers.0"); at != "cpu" {
			t.Errorf("layers.0 is on %s, where its weights do not fit", at)
		}
	})
}

func TestShrinkingBudgets(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		for _, c := range []struct {
			name  string
			bytes int64
		}{
			{"one layer fewer", toyTwo - toyWeight}, {"states only", toyRoom + toyStates}, {"two states", toyRoom + 2*toyState},
			{"less than activations", toyRoom - 1}, {"nothing", 0},
		} {
			for _, midstep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/midstep=%v", c.name, midstep), func(t *testing.T) {
					y := newToy(t, pace, toyTwo, all)
					y.pass(nil)
					if !midstep {
						if err := y.obey(budget(c.bytes)); err != nil {
							t.Fatal(err)
						}
					} else {
						var job *order
						y.pass(func(layer int) {
							if layer == 1 {
								job = y.r.post(budget(c.bytes)) // within the step, before its next border
							}
							if used := y.far.Usage().Used; job != nil && len(job.done) > 0 && used > c.bytes {
								t.Errorf("the order is called done at layer %d with %d bytes used, %d are allowed", layer, used, c.bytes)
							}
						})
						if err := job.await(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					if used := y.far.Usage().Used; used > c.bytes {
						t.Errorf("%d bytes are used after the order, %d are allowed", used, c.bytes)
					}
					y.pass(nil)
				})
			}
		}
	})
}

// Where the CPU has no room for what a device would give up, a budget that cannot be kept is refused and nothing of it stays: every
// layer can be computed somewhere, then as before. The least that the refusal names works.
func TestABudgetThatTheCPUHasNoRoomForIsRefused(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		for _, room := range []int64{0, 1, 2} { // states that the CPU has room for
			for _, midstep := range []bool{false, true} {
				t.Run(fmt.Sprintf("room for %d/midstep=%v", room, midstep), func(t *testing.T) {
					y := newToy(t, pace, toyTwo, all)
					y.cpu().SetBudget(room*toyState + 1)
					obey := func(o sdk.Order) error {
						if !midstep {
							return y.obey(o)
						}
						var job *order
						y.pass(func(layer int) {
							if layer == 1 {
								job = y.r.post(o)
							}
						})
						return job.await(t.Context())
					}
					y.pass(nil)
					least := toyRoom + (toyLayers-room)*toyState + toyWeight // the states that stay, and one layer at a time
					for _, bytes := range []int64{0, toyRoom + toyStates, least - 1} {
						err := obey(budget(bytes))
						if want := fmt.Sprintf("least that works is %d", least); err == nil || !strings.Contains(err.Error(), want) {
							t.Fatalf("%d bytes: %v, want %q", bytes, err, want)
						}
						if u := y.far.Usage(); u.Budget != toyTwo {
							t.Errorf("after the refusal the budget is %d, it was %d", u.Budget, toyTwo)
						}
						y.pass(nil)
						if at := y.place("layers.3"); at != "far" {
							t.Errorf("after the refusal layers.3 is on %s", at)
						}
					}
					if err := obey(budget(least)); err != nil {
						t.Fatal(err)
					}
					if used := y.far.Usage().Used; used > least {
						t.Errorf("%d bytes are used after the order, %d are allowed", used, least)
					}
					y.pass(nil)
				})
			}
		}
	})
}

func TestAGrowingBudgetIsUsed(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyTwo, all)
		y.pass(nil)
		if err := y.obey(budget(0)); err != nil {
			t.Fatal(err)
		}
		y.pass(nil)
		if at := y.place("layers.3"); at != "cpu" {
			t.Fatalf("without a budget layers.3 is on %s", at)
		}
		if err := y.obey(budget(toyTwo)); err != nil {
			t.Fatal(err)
		}
		y.pass(nil)
		if at := y.place("layers.3"); at != "far" {
			t.Errorf("with the budget back layers.3 is on %s", at)
		}
	})
}

// A device that may hold nothing has no room for an order either.
func TestABudgetOfNothingIsALimit(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyTwo, none)
		if err := y.obey(budget(0)); err != nil {
			t.Fatal(err)
		}
		if err := y.obey(move("layers.1", "far")); err == nil || !strings.Contains(err.Error(), "exceed the budget") {
			t.Errorf("a module is moved there: %v", err)
		}
	})
}

// The CPU holds what the model takes as long as it is loaded; an order for less names the least, and that works. Pictures that are
// only remembered are no part of it, and go when there is no room for them.
func TestTheLeastThatTheCPUCanDoWith(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, 0, none)
		e := newStare(t, y, stare{hidden: 10})
		y.r.crowded = e.album.fit
		lookAt(t, e, []byte{1, 2, 3}, 0)
		pictures := picturesOf(y.cpu())
		least := y.cpu().Usage().Used - pictures
		if least != toyStates || pictures == 0 {
			t.Fatalf("%d bytes are used, %d of them by pictures", least, pictures)
		}
		cpu := func(bytes int64) sdk.Order {
			return sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", Bytes: bytes}}
		}
		if err := y.obey(cpu(least - 1)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the least that works is %d;", least)) {
			t.Errorf("a byte less than the least: %v", err)
		}
		if n := picturesOf(y.cpu()); n != pictures {
			t.Errorf("a refused order changed the memory of pictures from %d to %d", pictures, n)
		}
		for bytes, want := range map[int64]int64{least + pictures: pictures, least: 0} {
			lookAt(t, e, []byte{1, 2, 3}, 0)
			if err := y.obey(cpu(bytes)); err != nil {
				t.Errorf("%d bytes: %v", bytes, err)
			}
			if n := picturesOf(y.cpu()); n != want || y.cpu().Usage().Budget != bytes {
				t.Errorf("in %d bytes pictures have %d, want %d", bytes, n, want)
			}
			y.cpu().SetBudget(0)
		}
	})
}
