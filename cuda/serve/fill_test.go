package serve

// fill_test.go has a GPU with room for all experts filled with those that nothing has needed yet, while its link has nothing else to do.

import (
	"testing"
	"testing/synctest"

	"github.com/inference-pio/inference-pio/cuda/far"
)

// filled is a mixture on a GPU with room for so many experts and for what tables take. Passes need one of the first layer's.
func filled(t *testing.T, room int) (*toy, *road) {
	t.Helper()
	const tables = toyLayers * toyExperts * tableBytes
	y := newMixture(t, far.Now(), int64(toyRoom+toyStates+(toyLayers+room)*toyWeight+tables), toyExperts, none)
	d := &road{Device: y.far, threads: y.cpu(), gpu: true}
	d.close()
	d.reopen()
	y.wanting()
	y.r.mu.Lock()
	y.r.devices[1], y.queues[1] = d, d.NewQueue()
	y.r.mu.Unlock()
	y.put()
	y.pass(nil)
	y.route = func(layer int) []int { return []int{2}[:1-min(1, layer)] }
	return y, d
}

// held is how many experts the GPU has.
func (y *toy) held() int {
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	return y.r.caches[1].n
}

func TestAGPUWithRoomForAllIsFilled(t *testing.T) {
	const all = toyLayers * toyExperts
	y, _ := filled(t, all)
	if err := y.obey(move("layers.1.mlp.experts.3", "cpu")); err != nil { // which stays there
		t.Fatal(err)
	}
	for range all {
		y.pass(nil)
		y.arrived()
	}
	y.pass(nil)
	if n := y.held(); n != all-1 || y.place("layers.1.mlp.experts.3") != "cpu" {
		t.Errorf("%d of %d experts are there, and that of the order is on %s", n, all-1, y.place("layers.1.mlp.experts.3"))
	}
	for _, layer := range y.experts {
		for _, m := range layer {
			if dev, ok := m.Settled(); !ok || (dev == 1) == (m.ID == "layers.1.mlp.experts.3") {
				t.Errorf("%s is computed on device %d, settled %v", m.ID, dev, ok)
			}
		}
	}
	if e, u := y.r.counts.evictions.Load(), y.far.Usage(); e != 0 || u.Peak > u.Budget {
		t.Errorf("%d gave way, and at most %d of %d bytes were held", e, u.Peak, u.Budget)
	}
}

// Where one finds no room all would take turns: only what is needed comes.
func TestAGPUWithoutRoomForAllIsNotFilled(t *testing.T) {
	y, _ := filled(t, toyLayers*toyExperts-1)
	for range 8 {
		y.pass(nil)
		y.arrived()
	}
	if n := y.held(); n != 1 {
		t.Errorf("%d experts are there, and one is needed", n)
	}
}

// What is needed does not wait for many that are not.
func TestFewComeUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := filled(t, toyLayers*toyExperts)
		for range 3 { // those that have begun to come
			y.pass(nil)
			y.arrived()
		}
		d.close()
		y.route = func(int) []int { return nil }
		y.pass(nil)
		for range 3 {
			y.pass(nil)
			y.r.mu.Lock()
			n := len(y.r.caches[1].arriving)
			y.r.mu.Unlock()
			if n != fillAhead {
				t.Errorf("%d are on their way, and %d may be", n, fillAhead)
			}
		}
		d.reopen()
	})
}
