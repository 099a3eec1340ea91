package serve

// coming_test.go has layers come to a device while passes go on: nobody waits for their weights, and what is computed where is whole there.

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// wanting has the plan want all layers on far.
func (y *toy) wanting() {
	y.r.planner = func([]int64) (list []sdk.Placement, err error) {
		for _, p := range y.r.layers {
			list = append(list, sdk.Placement{Module: p.m.ID, Device: "far"})
		}
		return list, nil
	}
}

// there lists the layers that are computed on far.
func (y *toy) there() (list []string) {
	for _, p := range y.r.layers {
		if p.dev == 1 {
			list = append(list, p.m.ID)
		}
	}
	return list
}

// While the road is closed passes go on, on the CPU, and an order for less is obeyed; once it is open the layers are there, the last ones first.
func TestPassesGoOnWhileLayersCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := onClosedRoad(t)
		for range 2 {
			y.pass(nil)
			if list := y.there(); len(list) != 0 {
				t.Errorf("%v are computed where nothing has arrived", list)
			}
			if got := y.copying(); !slices.Equal(got, []string{"layers.3"}) {
				t.Errorf("%v are being copied", got)
			}
		}
		for i := toyLayers - 1; i > 0; i-- { // one after the other
			d.passes(1)
			y.copying()
			y.pass(nil)
			if list := y.there(); len(list) != toyLayers-i || !slices.Contains(list, fmt.Sprint("layers.", i)) {
				t.Errorf("with layers.%d arrived %v are there", i, list)
			}
		}
		d.reopen()
		y.come()
		if list := y.there(); len(list) != toyLayers {
			t.Errorf("in the end %v are there", list)
		}
		if n := y.r.counts.waits.Load(); n != 0 {
			t.Errorf("steps waited for weights %d times", n)
		}
	})
}

// What arrives in the middle of a pass is found by the same pass, if it has not come to it yet.
func TestAPassFindsWhatArrivesInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := onClosedRoad(t)
		y.pass(func(layer int) {
			if layer == 1 {
				d.reopen()
				y.awaitComing()
			}
		})
		if list := y.there(); !slices.Equal(list, []string{"layers.2", "layers.3"}) {
			t.Errorf("%v are there", list)
		}
		y.pass(nil)
		if list := y.there(); len(list) != toyLayers {
			t.Errorf("after another pass %v are there", list)
		}
	})
}

// Without a pass all comes as well.
func TestLayersComeWhileNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := onClosedRoad(t)
		d.reopen()
		synctest.Wait()
		y.r.mu.Lock()
		list := y.there()
		y.r.mu.Unlock()
		if len(list) != toyLayers {
			t.Errorf("%v are there", list)
		}
		y.pass(nil)
	})
}

// Less is obeyed while layers come: what has not begun never does, and nothing of it is held.
func TestLayersThatComeAreRecalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := onClosedRoad(t)
		y.pass(nil)
		y.copying() // the first has begun
		first := y.r.coming[0].there.transfer
		y.r.planner = func([]int64) ([]sdk.Placement, error) { return nil, errors.New("nothing fits") }
		job := y.r.post(budget(0))
		synctest.Wait()
		d.passes(1)
		if err := job.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !first.Happened() || d.filled() != 1 {
			t.Errorf("%d weights were copied, and one had begun", d.filled())
		}
		if used := y.used(); used != 0 || len(y.r.coming) != 0 {
			t.Errorf("%d bytes are held, %d modules are still to come", used, len(y.r.coming))
		}
		d.reopen()
		y.pass(nil)
	})
}

// A pass that ends before it comes to a layer whose states were sent leaves them where they were, whatever was written meanwhile.
func TestAPassThatEndsEarlyKeepsStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := onClosedRoad(t)
		y.r.beginPass(1)
		d.reopen()
		y.awaitComing()
		y.enter(y.mod[0])
		if y.r.coming[0].states == nil {
			t.Fatal("no states are on their way: the test shows nothing")
		}
		_ = y.r.coming[0].states.running.Wait()
		y.was[3][0]++
		y.mod[4].States[0].Tensor().F32()[0]++
		y.r.finish()
		y.come()
		y.pass(nil)
		if list := y.there(); len(list) != toyLayers {
			t.Errorf("%v are there", list)
		}
	})
}

// A copy that fails ends the step that finds it, and the layer is there when the link is up again.
func TestALayerThatCouldNotComeIsTold(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, 1<<20, none)
		b := withBrittle(y)
		y.wanting()
		b.down = true
		y.r.mu.Lock()
		y.r.follow()
		y.awaitComing()
		y.r.mu.Unlock()
		y.r.begin()
		_, _, err := y.r.Enter(y.mod[0])
		y.r.finish()
		if !errors.Is(err, errDown) {
			t.Errorf("with the link down: %v", err)
		}
		b.down = false
		for range toyLayers {
			y.r.begin()
			_, _, err = y.r.Enter(y.mod[0]) // of the other copies
			y.r.finish()
		}
		if err != nil {
			t.Errorf("with the link up: %v", err)
		}
		y.come()
		y.pass(nil)
		if list := y.there(); len(list) != toyLayers {
			t.Errorf("with the link up %v are there", list)
		}
	})
}

// A load waits for nothing: what the first plan has on a device comes as any other, and what is told of the load is where it comes to.
func TestALoadHasLayersCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := closedRoad(t)
		if err := y.r.load(); err != nil {
			t.Fatal(err)
		}
		y.pass(nil)
		if list := y.there(); len(list) != 0 {
			t.Errorf("%v are computed where nothing has arrived", list)
		}
		for _, where := range y.r.placements() {
			if want := map[bool]string{true: "far", false: "cpu"}[where.Module != "embed_tokens"]; where.Device != want {
				t.Errorf("%s is told to come to %s", where.Module, where.Device)
			}
		}
		d.reopen()
		y.come()
		if list := y.there(); len(list) != toyLayers {
			t.Errorf("in the end %v are there", list)
		}
	})
}

// blank makes a toy's states those of a load: nothing was written to them.
func (y *toy) blank() {
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	for i, m := range y.mod[1:] {
		clear(m.States[0].Tensor().F32())
		clear(y.was[i])
	}
	y.r.fresh = true
}

// What nothing was written to is not copied, before the first pass and within it.
func TestStatesOfALoadAreNotCopied(t *testing.T) {
	for _, passes := range []bool{false, true} {
		t.Run(fmt.Sprint(passes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y, d := onClosedRoad(t)
				y.blank()
				look := func() {
					if list := y.there(); passes == slices.Contains(list, "layers.0") || !slices.Contains(list, "layers.3") {
						t.Errorf("%v are there: the test shows nothing", list)
					}
					if n := d.others(); n != 0 {
						t.Errorf("states were copied %d times", n)
					}
				}
				if !passes {
					d.reopen()
					synctest.Wait()
					y.r.mu.Lock()
					look()
					y.r.mu.Unlock()
				}
				y.pass(func(layer int) {
					switch {
					case passes && layer == 0:
						d.reopen()
						y.awaitComing()
					case passes && layer == toyLayers-1:
						look()
					}
				})
				y.pass(nil)
			})
		})
	}
}

// What the first pass writes goes along: of a layer that comes after it, and of one that an order moves within it.
func TestStatesOfTheFirstPassAreCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := onClosedRoad(t)
		y.blank()
		var job *order
		y.pass(func(layer int) {
			if layer < 0 {
				return
			}
			if m := y.mod[layer+1]; m.States[0].Tensor().Device() == nil {
				m.States[0].Tensor().F32()[0]++
				y.was[layer][0]++
			}
			if layer == 1 {
				d.reopen()
				job = y.r.post(move("layers.0", "far"))
			}
		})
		if err := job.await(t.Context()); err != nil {
			t.Fatal(err)
		}
		y.come()
		y.pass(nil)
		if d.others() == 0 {
			t.Error("no states were copied")
		}
		if list := y.there(); len(list) != toyLayers || y.was[0][0] == 0 || y.was[1][0] == 0 {
			t.Errorf("%v are there, and %v, %v are written: the test shows nothing", list, y.was[0][0], y.was[1][0])
		}
	})
}

// onClosedRoad is a toy on the CPU whose layers are to come over a closed road, as a new plan says.
func onClosedRoad(t *testing.T) (*toy, *road) {
	y, d := closedRoad(t)
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	y.r.follow()
	return y, d
}

// closedRoad is one for which there is no such plan yet.
func closedRoad(t *testing.T) (*toy, *road) {
	y := newToy(t, far.Now(), 1<<20, none)
	d := &road{Device: y.far, threads: y.cpu()}
	d.close()
	y.wanting()
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	y.r.devices[1], y.queues[1] = d, d.NewQueue()
	return y, d
}
