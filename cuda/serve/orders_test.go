package serve

import (
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
