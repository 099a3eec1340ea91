package serve

// underway_test.go stops copies to a device on their way: what is not there yet is not said to be, not found and not computed with, and
// copies take turns on the link.

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// road is a far device whose copies of weights stop while it is closed.
type road struct {
	*far.Device
	threads *cpu.Device
	rate    float64
	gpu     bool // it says that it is one
	ahead   bool // as on a GPU, a copy that it has been given whole is on its way still

	mu   sync.Mutex
	open chan struct{} // closed when copies may go on
	last chan struct{} // closed when the last that queued up is there
	n    int           // copies that went on
	ins  int           // copies of what is no weight
	out  int64         // bytes that were copied back
}

// Rates implements cuda.Device.
func (d *road) Rates() cuda.Rates { return cuda.Rates{Copy: d.rate} }

// Kind implements cuda.Device.
func (d *road) Kind() string {
	if d.gpu {
		return cuda.KindGPU
	}
	return d.Device.Kind()
}

// NewQueue implements cuda.Device.
func (d *road) NewQueue() cuda.Queue {
	return &roadQueue{Queue: cpu.NewQueue(d, d.threads, nil), road: d}
}

type roadQueue struct {
	*cpu.Queue
	road *road

	behind, there chan struct{} // of a copy on its way: closed when the one before it is there, and when it is
}

func (q *roadQueue) Fill(dst, src cuda.Matrix) {
	if q.road.ahead {
		q.behind, q.there = q.road.queueUp()
	} else {
		q.road.pass()
	}
	q.Queue.Fill(dst, src)
}

func (q *roadQueue) Sync() error {
	if q.there != nil {
		<-q.behind
		q.road.pass()
		close(q.there)
		q.there = nil
	}
	return q.Queue.Sync()
}

// queueUp has a copy come behind the ones that were given before.
func (d *road) queueUp() (behind, there chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if behind = d.last; behind == nil {
		behind = make(chan struct{})
		close(behind)
	}
	d.last = make(chan struct{})
	return behind, d.last
}

// pass waits until a copy may go on.
func (d *road) pass() {
	d.mu.Lock()
	open := d.open
	d.mu.Unlock()
	<-open // a token for one, or closed for all
	d.mu.Lock()
	d.n++
	d.mu.Unlock()
}

func (q *roadQueue) CopyIn(dst, src cuda.Tensor) {
	q.road.mu.Lock()
	q.road.ins++
	q.road.mu.Unlock()
	q.Queue.CopyIn(dst, src)
}

func (q *roadQueue) CopyOut(dst, src cuda.Tensor) {
	q.road.mu.Lock()
	q.road.out += src.Bytes()
	q.road.mu.Unlock()
	q.Queue.CopyOut(dst, src)
}

// back is how many bytes were copied back.
func (d *road) back() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out
}

func (d *road) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open = make(chan struct{})
}

func (d *road) reopen() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.open)
}

// passes lets so many copies go on.
func (d *road) passes(n int) {
	for range n {
		d.open <- struct{}{}
	}
}

// filled is how many have gone on.
func (d *road) filled() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

// others is how many copies of what is no weight there were.
func (d *road) others() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ins
}

// withRoad is a toy, perhaps with experts, whose layers have just been placed on a closed road: no weights are there yet.
func withRoad(t *testing.T, experts int) (*toy, *road) {
	y := newMixture(t, far.Now(), 1<<20, experts, none)
	d := &road{Device: y.far, threads: y.cpu()}
	d.close()
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	y.r.devices[1], y.queues[1] = d, d.NewQueue()
	y.r.planner = func([]int64) (list []sdk.Placement, err error) {
		for _, p := range y.r.layers {
			list = append(list, sdk.Placement{Module: p.m.ID, Device: "far"})
		}
		return list, nil
	}
	plan, _ := y.r.planner(nil)
	y.r.apply(plan, func(int, int) bool { return true }) // steps wait for them
	return y, d
}

// copying lists the modules whose copies have begun, once everybody waits.
func (y *toy) copying() (list []string) {
	synctest.Wait()
	for p := range y.r.all {
		if p.transfer != nil && p.transfer.copying.Load() {
			list = append(list, p.m.ID)
		}
	}
	for _, a := range y.r.coming {
		if a.there != nil && a.there.transfer != nil && a.there.transfer.copying.Load() {
			list = append(list, a.p.m.ID)
		}
	}
	return list
}

// residents lists the modules that a query says have their weights on far. mu is held.
func (y *toy) residents() (list []string) {
	for _, m := range y.r.modules() {
		if slices.Contains(m.Resident, "far") {
			list = append(list, m.ID)
		}
	}
	return list
}

// Layers go over the link one after the other, the one that is needed now first, and are there when they have arrived.
func TestLayersShareNoLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := withRoad(t, 0)
		y.r.begin()
		for i, m := range y.mod[:3] { // the embedding, and two layers
			if _, _, err := y.r.Enter(m); err != nil {
				t.Fatal(err)
			}
			if got := y.copying(); i > 0 && !slices.Equal(got, []string{"layers.0"}) {
				t.Errorf("with %s entered, %v are being copied", m.ID, got)
			}
		}
		if list := y.residents(); len(list) != 0 {
			t.Errorf("%v are on their way and said to be there", list)
		}
		ready := y.r.place("layers.1").transfer
		d.reopen()
		y.queues[1].Wait(ready)
		if list := y.residents(); !slices.Contains(list, "layers.0") || !slices.Contains(list, "layers.1") {
			t.Errorf("%v are said to be there", list)
		}
		y.r.finish()
	})
}

// Experts go over the link one after the other; those on their way are computed on the CPU, and looked for in vain, until they are there.
func TestExpertsShareNoLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := withRoad(t, toyExperts)
		d.reopen()
		y.pass(nil)
		y.route = func(layer int) []int { return []int{0, 1, 2}[:3*min(1, layer/3)] } // of the last layer
		d.close()
		for range 2 {
			y.pass(nil)
			if got := y.copying(); !slices.Equal(got, []string{"layers.3.mlp.experts.0"}) {
				t.Errorf("%v are being copied", got)
			}
		}
		if hits, misses := y.r.counts.hits.Load(), y.r.counts.misses.Load(); hits != 0 || misses != 6 {
			t.Errorf("with all on their way %d were found and %d not", hits, misses)
		}
		d.reopen()
		y.arrived()
		y.pass(nil)
		if hits := y.r.counts.hits.Load(); hits != 3 {
			t.Errorf("%d of three that have arrived were found", hits)
		}
	})
}

// While the end of one expert is on the link the next one's beginning is staged, and no third one's: it would keep that from being the next on the link. What
// the next one took is from when it had the link for itself.
func TestTheNextExpertIsStaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := withRoad(t, toyExperts)
		d.ahead = true
		d.reopen()
		y.pass(nil)
		y.route = func(layer int) []int { return []int{0, 1, 2, 3}[:4*min(1, layer/3)] } // of the last layer
		d.close()
		y.pass(nil)
		var comes []*transfer
		for e := range 4 {
			comes = append(comes, y.r.place(fmt.Sprintf("layers.3.mlp.experts.%d", e)).transfer)
		}
		for first := range 4 {
			synctest.Wait()
			for e, c := range comes {
				if want := e == first || e == first+1; c.copying.Load() != want {
					t.Errorf("with %d there: that %d is being copied is %v", first, e, !want)
				}
			}
			time.Sleep(time.Second)
			d.passes(1)
			if err := comes[first].Wait(); err != nil || comes[first].took != time.Second {
				t.Errorf("expert %d took %v, %v", first, comes[first].took, err)
			}
		}
		y.arrived()
	})
}

// No more experts are sent for than arrive during a step, but one.
func TestASlowLinkGetsOneExpertAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := withRoad(t, toyExperts)
		d.reopen()
		y.pass(nil)
		y.route = func(int) []int { return []int{0, 1, 2} }
		d.rate = 1e-9
		d.close()
		y.pass(nil)
		if n := len(y.r.caches[1].arriving); n != 1 {
			t.Errorf("%d experts were sent for", n)
		}
		d.reopen()
		y.arrived()
	})
}

// Of several that a layer lacks the one that counts most is sent for first, since the link has not time for all.
func TestTheExpertThatCountsMostIsSentForFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y, d := withRoad(t, toyExperts)
		d.reopen()
		y.pass(nil)
		if err := y.obey(budget(toyRoom + toyStates + toyLayers*toyWeight)); err != nil { // and no expert
			t.Fatal(err)
		}
		for _, needed := range [][]int{{4}, {4}, {2}} {
			y.route = func(layer int) []int { return needed[:1-min(1, layer)] } // of layer 0
			y.pass(nil)
		}
		if err := y.obey(budget(1 << 20)); err != nil {
			t.Fatal(err)
		}
		d.rate = 1e-9
		d.close()
		y.route = func(layer int) []int { return []int{0, 2, 4}[:3-min(3, 3*layer)] }
		y.pass(nil)
		if got := y.copying(); !slices.Equal(got, []string{"layers.0.mlp.experts.4"}) {
			t.Errorf("%v are being copied", got)
		}
		d.reopen()
		y.arrived()
	})
}
