package serve

// orders_test.go gives orders between steps and within them: when they are answered, what is refused, and what is true by then.

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// Whoever hears that an order is carried out may count on its memory: the last module has left, and all that was taken for it is back.
func TestMemoryIsBackBeforeAnOrderIsAnswered(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		t.Run("between steps", func(t *testing.T) {
			y := newToy(t, pace, 1<<20, none)
			if err := y.obey(move("layers.1", "far")); err != nil {
				t.Fatal(err)
			}
			y.r.mu.Lock()
			defer y.r.mu.Unlock()
			carriedOut(t, y, func() { y.r.carry() }, move("layers.1", "cpu"))
		})
		t.Run("put off by a step", func(t *testing.T) { // which may use the embedding until it ends
			y := newToy(t, pace, 1<<20, none)
			if err := y.obey(move("embed_tokens", "far")); err != nil {
				t.Fatal(err)
			}
			y.r.begin()
			y.enter(y.mod[0])
			carriedOut(t, y, func() {
				y.r.carry()
				y.r.finish()
			}, move("embed_tokens", "cpu"))
		})
	})
}

// carriedOut has an order carried out and sees what far holds then.
func carriedOut(t *testing.T, y *toy, carry func(), o sdk.Order) {
	t.Helper()
	job := &order{Order: o, done: make(chan error, 1)}
	b := &y.r.mailbox
	b.mu.Lock()
	b.list = append(b.list, job) // and wakes nobody, who might give memory back first
	b.n.Store(1)
	b.mu.Unlock()
	carry()
	select {
	case err := <-job.done:
		if used := y.r.usage(1).Used; err != nil || used != 0 {
			t.Errorf("far holds %d bytes, and the answer is %v", used, err)
		}
	default:
		t.Error("the order is not answered")
	}
}

// TestPicturesInUseKeepTheCPUsBudget: what cannot be obeyed is refused, and the budget is what it was.
func TestPicturesInUseKeepTheCPUsBudget(t *testing.T) {
	f := newFlat(t, 1, 1000)
	c := f.devices[0].(*cpu.Device)
	if err := c.Take(600, cuda.ForPictures); err != nil {
		t.Fatal(err)
	}
	defer c.Give(600, cuda.ForPictures)
	job := f.post(sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", Bytes: 500}})
	f.mu.Lock()
	f.carry()
	f.mu.Unlock()
	if err := <-job.done; err == nil || c.Usage().Budget != 1000 {
		t.Errorf("500 bytes where pictures in use take 600: %v, and the budget is %d", err, c.Usage().Budget)
	}
}

// TestNoOrderIsCarriedOutAfterClose: there are no queues any more.
func TestNoOrderIsCarriedOutAfterClose(t *testing.T) {
	f := newFlat(t, 1, 1000)
	f.close()
	job := f.post(sdk.Order{Query: &sdk.QueryOrder{}})
	f.run(t.Context())
	if len(job.done) != 0 {
		t.Error("it was")
	}
}

// Reports and queries do not wait for the end of a step: a report is there at once, a query's answer at the next border.
func TestAQueryIsAnsweredWithinAStep(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		t.Run("settled", func(t *testing.T) {
			queryWithinAStep(t, newToy(t, pace, toyRoom+toyStates+toyLayers*toyWeight, all), toyLayers, toyLayers)
		})
		t.Run("streamed", func(t *testing.T) { // there is room for two, of which one is on its way or has just arrived
			least := 1
			if pace != far.Now() {
				least = 0 // and for the other, which a queue is to compute with, nobody has waited yet
			}
			queryWithinAStep(t, newToy(t, pace, toyTwo, all), least, 2)
		})
	})
}

func queryWithinAStep(t *testing.T, y *toy, least, most int) {
	for range 3 {
		y.pass(nil)
	}
	var job *order
	y.pass(func(layer int) {
		switch layer {
		case 1:
			job = y.r.post(sdk.Order{Query: &sdk.QueryOrder{}})
			if r := y.r.report(); len(r.Devices) != 2 {
				t.Errorf("a report within a step: %+v", r)
			}
		case 3:
			select {
			case err := <-job.done:
				if err != nil || len(job.modules) < toyLayers {
					t.Errorf("%d modules, %v", len(job.modules), err)
				}
				there := 0
				for _, m := range job.modules {
					if slices.Contains(m.Resident, "far") {
						there++
					}
				}
				if there < least || there > most {
					t.Errorf("the weights of %d modules are said to be on far, where those of %d to %d are: %+v", there, least, most, job.modules)
				}
				job.done <- err
			default:
				t.Error("two borders later the query is not answered")
			}
		}
	})
	if err := job.await(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOrdersThatCannotBe(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyRoom+toyState+toyWeight/2, none)
		for _, c := range []struct {
			order sdk.Order
			want  string
		}{
			{move("layers.9", "far"), `no module "layers.9"`},
			{move("layers.1", "gpu.7"), `no device "gpu.7"`},
			{move("layers.1", "far"), "exceed the budget"},
			{sdk.Order{Budget: &sdk.BudgetOrder{Device: "gpu.7", Bytes: 1}}, `no device "gpu.7"`},
		} {
			if err := y.obey(c.order); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %q", c.order, err, c.want)
			}
			if at := y.place("layers.1"); at != "cpu" {
				t.Errorf("after a refused order layers.1 is on %s", at)
			}
			if used := y.used(); used != 0 {
				t.Errorf("%+v, which was refused, left %d bytes on the device", c.order, used)
			}
		}
		y.pass(nil)
	})
}

// Orders from other goroutines at any moment, also between steps: every pass finds what it needs where it is told, and the
// device never holds more than the largest budget.
func TestRandomOrdersWhileStepsRun(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, toyTwo, all)
		var draw []func() sdk.Order
		for seed := range uint64(2) {
			r := rand.New(rand.NewPCG(seed, 1))
			draw = append(draw, func() sdk.Order {
				o := move(y.mod[r.IntN(len(y.mod))].ID, []string{"cpu", "far"}[r.IntN(2)])
				if r.IntN(3) == 0 {
					o = budget(r.Int64N(toyTwo))
				}
				return o
			})
		}
		y.passesUnderOrders(draw...)
	})
}

// An order in a pass that times modules is obeyed there as anywhere: what it leaves no room for is brought again.
func TestOrdersInAPassThatTimes(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		y := newToy(t, pace, 1<<20, all)
		for range 2 {
			y.pass(nil)
			y.copiesIn()
		}
		y.r.passes = sampleEvery - 1
		evictions := y.r.counts.evictions.Load()
		y.pass(func(layer int) {
			if layer == 0 {
				y.r.post(budget(toyTwo))
			}
		})
		if y.r.counts.evictions.Load() == evictions {
			t.Error("nothing gave way: the test shows nothing")
		}
		y.pass(nil)
	})
}
