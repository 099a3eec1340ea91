package serve

// link_test.go has copies to a device fail: what did not arrive whole is not computed with.

import (
	"errors"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// brittle is a far device to which nothing may arrive.
type brittle struct {
	*far.Device
	threads *cpu.Device
	down    bool
}

var errDown = errors.New("the link is down")

func (b *brittle) NewQueue() cuda.Queue {
	return &brittleQueue{Queue: cpu.NewQueue(b, b.threads, nil), device: b}
}

type brittleQueue struct {
	cuda.Queue
	device *brittle
	err    error
}

func (q *brittleQueue) Fill(dst, src cuda.Matrix) {
	if q.device.down {
		q.err = errDown
	} else {
		q.Queue.Fill(dst, src)
	}
}

func (q *brittleQueue) Sync() error { return errors.Join(q.err, q.Queue.Sync()) }

// withBrittle has a toy's far device be brittle. Nothing is there yet.
func withBrittle(y *toy) *brittle {
	b := &brittle{Device: y.far, threads: y.cpu()}
	y.r.mu.Lock()
	defer y.r.mu.Unlock()
	y.r.devices[1], y.queues[1] = b, b.NewQueue()
	return b
}

// A layer whose weights did not arrive ends the step with the reason, holds no memory for them, and is there when the link is up again.
func TestALayerThatDidNotArriveIsNotComputed(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, 1<<20, none)
		b := withBrittle(y)
		if err := y.obey(move("layers.1", "far")); err != nil {
			t.Fatal(err)
		}
		before := y.far.Usage()
		y.r.mu.Lock()
		p := y.r.place("layers.1")
		p.await(y.queues[1]) // the copy that the order began
		y.r.evict(p)
		y.r.mu.Unlock()
		b.down = true
		y.r.begin()
		_, ready, err := y.r.Enter(y.mod[2])
		if err == nil {
			y.queues[1].Wait(ready)
			err = y.queues[1].Sync()
		}
		y.r.finish()
		if !errors.Is(err, errDown) || !strings.Contains(err.Error(), "layers.1 to far") {
			t.Errorf("with the link down: %v", err)
		}
		if u := y.far.Usage(); u.For[cuda.ForWeights] != 0 || u.Used != before.Used-toyWeight {
			t.Errorf("%d bytes of weights are held, %d in all", u.For[cuda.ForWeights], u.Used)
		}
		b.down = false
		y.pass(nil)
		if at := y.place("layers.1"); at != "far" {
			t.Errorf("with the link up it is on %s", at)
		}
	})
}

// An expert that did not arrive is computed on the CPU and copied anew at its next use.
func TestAnExpertThatDidNotArriveIsComputedOnTheCPU(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newMixture(t, pace, 1<<20, toyExperts, none)
		b := withBrittle(y)
		for _, m := range y.mod[1:] {
			if err := y.obey(move(m.ID, "far")); err != nil {
				t.Fatal(err)
			}
		}
		y.pass(nil)
		y.route = func(int) []int { return []int{1} }
		b.down = true
		for range 2 {
			y.pass(nil)
			y.arrived()
		}
		if hits := y.r.counts.hits.Load(); hits != 0 {
			t.Errorf("%d experts that did not arrive were computed there", hits)
		}
		b.down = false
		for range 2 * toyLayers {
			y.pass(nil)
			y.arrived()
		}
		if list := y.resident(); len(list) != toyLayers {
			t.Errorf("with the link up %v are there", list)
		}
	})
}

// What goes wrong in a step is for the step to tell, also if an order has states moved before it ends.
func TestAnOrderLeavesAStepItsError(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, 1<<20, none)
		if err := y.obey(move("layers.1", "far")); err != nil {
			t.Fatal(err)
		}
		two, err := cuda.FromF32(make([]float32, 2))
		if err != nil {
			t.Fatal(err)
		}
		y.r.begin()
		y.enter(y.mod[2])
		y.queues[1].CopyIn(y.mod[2].States[0].Tensor().Slice(0, 1), two)
		job := y.r.post(move("layers.1", "cpu"))
		y.enter(y.mod[0])
		err = y.queues[1].Sync()
		y.r.finish()
		if <-job.done; err == nil || !strings.Contains(err.Error(), "is not one between this device and the cpu") {
			t.Errorf("the step ends with %v", err)
		}
	})
}
