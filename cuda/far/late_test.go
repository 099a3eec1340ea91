package far_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// late_test.go plants each fault that queues can have and sees it accused, at every pace; and sees that nothing else is.

// lab is a late machine with one device and two queues there.
type lab struct {
	t    *testing.T
	late *far.Machine
	cpu  cuda.Device
	dev  *far.Device
	c    cuda.Queue // of the CPU
	p, q cuda.Queue
}

func paces() []far.Pace {
	list := []far.Pace{far.Last(), far.Own()}
	for seed := range uint64(4) {
		list = append(list, far.Random(seed))
	}
	return list
}

func newLab(t *testing.T, pace far.Pace, memory int64) *lab {
	t.Helper()
	c := cpu.New(1)
	t.Cleanup(func() { c.Close() })
	y := &lab{t: t, late: far.NewMachine(c, pace)}
	y.cpu, y.dev = y.late.CPU(), y.late.Device("far", memory, 0, 0)
	y.c, y.p, y.q = y.cpu.NewQueue(), y.dev.NewQueue(), y.dev.NewQueue()
	return y
}

func everyPace(t *testing.T, memory int64, f func(y *lab)) {
	t.Helper()
	for _, p := range paces() {
		t.Run(p.String(), func(t *testing.T) { f(newLab(t, p, memory)) })
	}
}

// host is four numbers in the memory of this process, there is room for them on the device.
func (y *lab) host(values ...float32) cuda.Tensor {
	x, err := cuda.FromF32(append(values, make([]float32, 4-len(values))...))
	must(y.t, err)
	return x
}

func (y *lab) there() (cuda.Tensor, cuda.Memory) { return tensor(y.t, y.dev, 4) }

func add(z, x, y cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpAdd).Gives(z).Takes(x, y) }

// sync is every error that the queues tell.
func (y *lab) sync() error { return errors.Join(y.c.Sync(), y.p.Sync(), y.q.Sync()) }

// faults are programs with one each.
func faults() map[string]struct {
	plant func(y *lab)
	want  string // an error says
} {
	return map[string]struct {
		plant func(y *lab)
		want  string
	}{
		"freed by the device while a copy uses it": {func(y *lab) {
			x, m := y.there()
			y.q.CopyIn(x, y.host(1))
			y.dev.Free(m)
		}, "a copy to the device writes f32 (4) on far, used after it was freed by far"},
		"freed by the device while an op uses it": {func(y *lab) {
			x, _ := y.there()
			z, m := y.there()
			y.q.CopyIn(x, y.host(1))
			y.q.Run(add(z, x, x))
			y.dev.Free(m)
		}, "add writes f32 (4) on far, used after it was freed by far"},
		"used after a free in the queue": {func(y *lab) {
			x, m := y.there()
			z, _ := y.there()
			y.q.CopyIn(x, y.host(1))
			y.q.Free(m)
			y.q.Run(add(z, x, x))
		}, "add reads f32 (4) on far, used after it was freed by a free of queue 1 of far"},
		"a free in one queue that does not wait for another": {func(y *lab) {
			x, m := y.there()
			y.p.CopyIn(x, y.host(1))
			y.q.Free(m)
		}, "free"},
		"an op that does not wait for another queue": {func(y *lab) {
			x, _ := y.there()
			z, _ := y.there()
			y.p.CopyIn(x, y.host(1))
			y.q.Run(add(z, x, x))
		}, "a missing wait"},
		"an op that does not wait for a fill": {func(y *lab) {
			w, err := cuda.MatrixOf(y.host(1, 2, 3, 4))
			must(y.t, err)
			m, err := y.dev.Alloc(w.Layout.DeviceBytes(1, 4), cuda.ForWeights)
			must(y.t, err)
			there, err := w.Layout.Lay(y.dev, m, 0, 1, 4)
			must(y.t, err)
			x, _ := y.there()
			z, _ := y.there()
			y.q.CopyIn(x, y.host(1))
			y.p.Fill(there, w)
			y.q.Run(cuda.NewOp(cuda.OpRMSNorm).Gives(z).Takes(x).By(there).With(0, 0))
		}, "f32 (1, 4) on far"},
		"two queues that write the same": {func(y *lab) {
			x, _ := y.there()
			y.p.CopyIn(x, y.host(1))
			y.q.CopyIn(x, y.host(2))
		}, "a copy to the device writes f32 (4) on far, which a copy to the device of queue"},
		"an op of the cpu before the copy has arrived": {func(y *lab) {
			x, _ := y.there()
			to, z := y.host(), y.host()
			y.q.CopyIn(x, y.host(1))
			y.q.CopyOut(to, x)
			y.c.Run(add(z, to, to))
		}, "cpu: add reads f32 (4) on cpu, which a copy from the device of queue 1 of far writes, and it was not waited for"},
		"memory of the cpu used again while a copy reads it": {func(y *lab) {
			x, _ := y.there()
			from, one := y.host(1), y.host(1)
			y.q.CopyIn(x, from)
			y.c.Run(add(from, one, one))
		}, "cpu: add writes f32 (4) on cpu, which a copy to the device of queue 1 of far reads"},
		"memory of the cpu freed while a copy uses it": {func(y *lab) {
			x, _ := y.there()
			m, err := y.cpu.Alloc(16, cuda.ForScratch)
			must(y.t, err)
			from, err := cuda.DeviceTensor(y.cpu, m, 0, cuda.F32, 4)
			must(y.t, err)
			y.q.CopyIn(x, from)
			y.cpu.Free(m)
		}, "a copy to the device reads f32 (4) on cpu, used after it was freed by cpu"},
		"one device's copy into what another's still reads": {func(y *lab) {
			between := y.host(1)
			x, _ := y.there()
			z, _ := y.there()
			y.p.CopyIn(z, y.host(2))
			y.p.CopyOut(between, z)
			y.q.CopyIn(x, between)
		}, "f32 (4) on cpu, which a copy"},
		"outside what was given": {func(y *lab) {
			m := cuda.NewMemory(y.host().Pointer(), 16, cuda.ForWeights)
			x, err := cuda.DeviceTensor(y.dev, m, 0, cuda.F32, 4)
			must(y.t, err)
			y.q.CopyIn(x, y.host(1))
		}, "outside what the device gave"},
		"freed twice": {func(y *lab) {
			_, m := y.there()
			y.q.Free(m)
			y.q.Free(m)
		}, "freed by a free of queue 1 of far"},
	}
}

func TestEachFaultIsAccused(t *testing.T) {
	for name, c := range faults() {
		t.Run(name, func(t *testing.T) {
			everyPace(t, 0, func(y *lab) {
				c.plant(y)
				if err := y.sync(); err == nil || !strings.Contains(err.Error(), c.want) {
					y.t.Errorf("told %v\nwant %s", err, c.want)
				}
				if len(y.late.Faults()) == 0 {
					y.t.Error("no fault is listed")
				}
				if err := y.sync(); err != nil {
					y.t.Errorf("told again: %v", err)
				}
			})
		})
	}
}

// A use is not forgotten for another that it is ordered with, or of the same bytes, as long as a third may not be ordered with it.
func TestEarlierUsesAreRemembered(t *testing.T) {
	for name, plant := range map[string]func(y *lab, x cuda.Tensor){
		"a write behind a read of its queue": func(y *lab, x cuda.Tensor) {
			y.p.CopyIn(x, y.host(1))
			y.p.CopyOut(y.host(), x)
			y.q.CopyOut(y.host(), x)
		},
		"a read behind one of another queue": func(y *lab, x cuda.Tensor) {
			y.p.CopyOut(y.host(), x)
			y.q.CopyOut(y.host(), x)
			y.q.CopyIn(x, y.host(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := newLab(t, far.Last(), 0)
			x, _ := y.there()
			plant(y, x)
			must(t, y.p.Sync())
			if err := y.q.Sync(); err == nil || !strings.Contains(err.Error(), "of queue 0 of far") {
				t.Errorf("told %v", err)
			}
		})
	}
}

// What a copy is to bring may not be changed by anybody, whether or not that is an op.
func TestASourceThatWasChangedIsAccused(t *testing.T) {
	y := newLab(t, far.Last(), 0)
	x, _ := y.there()
	from := y.host(1)
	y.q.CopyIn(x, from)
	from.F32()[2] = 7
	if err := y.q.Sync(); err == nil || !strings.Contains(err.Error(), "was changed before it was made") {
		t.Errorf("%v", err)
	}
}

// sound does with waits what the faults do without.
func sound(y *lab) (got []cuda.Tensor, want [][]float32) {
	x, mx := y.there()
	z, mz := y.there()
	from, to, again := y.host(1, 2, 3, 4), y.host(), y.host()
	y.p.CopyIn(x, from)
	copied := y.p.Mark()
	y.q.Wait(copied)
	y.q.Run(add(z, x, x))
	y.q.CopyOut(to, z)
	arrived := y.q.Mark()
	y.p.Wait(arrived)
	y.p.CopyIn(x, to) // x may be written: q has read it, and waits for the copy in to
	y.p.Run(add(x, x, x))
	y.p.CopyOut(again, x)
	y.c.Wait(copied) // then from may be used again
	y.c.Wait(arrived)
	y.c.Run(add(from, to, to))
	y.q.Free(mz)
	y.p.Free(mx)
	y.c.Wait(y.p.Mark())
	return []cuda.Tensor{from, to, again}, [][]float32{{4, 8, 12, 16}, {2, 4, 6, 8}, {4, 8, 12, 16}}
}

func TestWhatWaitsIsNotAccused(t *testing.T) {
	everyPace(t, 0, func(y *lab) {
		for range 3 {
			got, want := sound(y)
			must(y.t, y.sync())
			for i := range got {
				if !slices.Equal(got[i].F32(), want[i]) {
					y.t.Errorf("%d: %v, not %v", i, got[i].F32(), want[i])
				}
			}
		}
		if f := y.late.Faults(); len(f) != 0 {
			y.t.Error(f)
		}
		if u := y.dev.Usage(); u.Used != 0 {
			y.t.Errorf("%d bytes are used in the end", u.Used)
		}
	})
}

// After an error a queue does no more but free; its events say so; Sync tells the first once, and then it works again.
func TestAnErrorInTheMiddleOfAQueue(t *testing.T) {
	everyPace(t, 0, func(y *lab) {
		x, m := y.there()
		z, _ := y.there()
		before, after, other := y.host(), y.host(), y.host()
		y.q.CopyIn(x, y.host(1, 1, 1, 1))
		y.q.CopyOut(before, x)
		y.q.Run(add(x, before, before)) // operands elsewhere
		y.q.Run(add(x, before, x))      // a second error, which is not told
		y.q.CopyOut(after, x)
		failed := y.q.Mark()
		y.q.Free(m)
		y.p.Wait(failed)
		y.p.CopyIn(z, y.host(2))
		y.p.CopyOut(other, z)
		if err := y.q.Sync(); err == nil || !strings.Contains(err.Error(), "add on far: an operand") {
			y.t.Errorf("told %v", err)
		}
		if before.F32()[0] != 1 || !math.IsNaN(float64(after.F32()[0])) {
			y.t.Errorf("before the error %v, behind it %v", before.F32(), after.F32())
		}
		if err := failed.Wait(); err == nil {
			y.t.Error("the event behind the error can be relied on")
		}
		if err := y.p.Sync(); err == nil || !math.IsNaN(float64(other.F32()[0])) {
			y.t.Errorf("the queue that waited for the failed one: %v, %v", err, other.F32())
		}
		if u := y.dev.Usage(); u.Used != 16 {
			y.t.Errorf("%d bytes are used; one of two was freed behind the error", u.Used)
		}
		y.q.CopyOut(after, z)
		must(y.t, y.sync())
	})
}

// An event whose queue was closed before it could happen is an error, and nobody waits for ever.
func TestAnEventThatCannotHappenIsAnError(t *testing.T) {
	y := newLab(t, far.Last(), 0)
	x, _ := y.there()
	y.q.CopyIn(x, y.host(1))
	never := y.q.Mark()
	y.q.Close()
	y.p.Wait(never)
	y.p.CopyOut(y.host(), x)
	for what, err := range map[string]error{"the queue that waits": y.p.Sync(), "who waits": never.Wait(), "closing": errors.Join(y.late.Faults()...)} {
		if err == nil || !strings.Contains(err.Error(), map[bool]string{true: "closed with 2 entries", false: "can never happen"}[what == "closing"]) {
			t.Errorf("%s: %v", what, err)
		}
	}
	y.q.Run(add(x, x, x))
	if f := y.late.Faults(); len(f) != 2 {
		t.Errorf("work for a closed queue: %v", f)
	}
}

// Nothing runs before somebody waits: a destination is no number, an event has not happened, memory is not free. Who asks whether an event
// has happened again and again gets on.
func TestLastRunsNothingBeforeItMust(t *testing.T) {
	y := newLab(t, far.Last(), 0)
	x, m := y.there()
	to := y.host(5, 5, 5, 5)
	y.q.CopyIn(x, y.host(1, 2, 3, 4))
	y.q.CopyOut(to, x)
	y.q.Free(m)
	e := y.q.Mark()
	if e.Happened() || !math.IsNaN(float64(to.F32()[3])) || y.dev.Usage().Used != 16 {
		t.Errorf("at once: %v, %+v", to.F32(), y.dev.Usage())
	}
	asked := 1
	for ; !e.Happened(); asked++ {
		if asked > 10 {
			t.Fatal("asking does not help")
		}
	}
	if to.F32()[3] != 4 || y.dev.Usage().Used != 0 {
		t.Errorf("in the end: %v, %+v", to.F32(), y.dev.Usage())
	}
	must(t, y.q.Sync())
	if y.q.Mark() != nil {
		t.Error("an event of a queue that is known to be done")
	}
}

// An event of elsewhere is waited for by the queue, not by who adds.
func TestEventsOfElsewhereAreWaitedFor(t *testing.T) {
	everyPace(t, 0, func(y *lab) {
		x, _ := y.there()
		from, p := y.host(1), promise{made: make(chan struct{})}
		y.q.Wait(p)
		y.q.CopyIn(x, from)
		y.p.CopyIn(x, from)
		must(y.t, y.p.Sync()) // and now the CPU knows that x is free again
		close(p.made)
		must(y.t, y.q.Sync())
		p.err = errors.New("it did not come")
		y.q.Wait(p)
		if err := y.q.Sync(); !errors.Is(err, p.err) {
			y.t.Errorf("told %v", err)
		}
	})
}

type promise struct {
	made chan struct{}
	err  error
}

func (p promise) Happened() bool { return false }
func (p promise) Wait() error    { <-p.made; return p.err }

// Memory that queues are about to free is as good as free, and no more than the budget is ever used.
func TestAllocWaitsForFreesInQueues(t *testing.T) {
	everyPace(t, 32, func(y *lab) {
		x, a := y.there()
		_, b := y.there()
		y.q.CopyIn(x, y.host(1))
		var over *cuda.BudgetError
		if _, err := y.dev.Alloc(16, cuda.ForState); !errors.As(err, &over) {
			y.t.Fatalf("given above the budget: %v", err)
		}
		y.p.Wait(y.q.Mark())
		y.p.Free(a)
		y.q.Free(b)
		m, err := y.dev.Alloc(32, cuda.ForState)
		must(y.t, err)
		must(y.t, y.sync())
		if u := y.dev.Usage(); u.Used != 32 || u.Peak != 32 {
			y.t.Errorf("%+v", u)
		}
		y.dev.Free(m)
		must(y.t, errors.Join(y.late.Faults()...))
	})
}

// Queues come and go: a new one is not taken for the one that was closed.
func TestQueuesComeAndGo(t *testing.T) {
	everyPace(t, 0, func(y *lab) {
		for i := range 20 {
			x, m := y.there()
			to, q := y.host(), y.dev.NewQueue()
			q.CopyIn(x, y.host(float32(i)))
			if i%2 == 0 {
				must(y.t, q.Sync())
				y.q.CopyOut(to, x)
			} else {
				y.q.Wait(q.Mark())
				y.q.CopyOut(to, x)
				must(y.t, q.Sync())
			}
			q.Close()
			y.q.Free(m)
			must(y.t, y.q.Sync())
			if to.F32()[0] != float32(i) {
				y.t.Fatal(fmt.Sprint(i), to.F32())
			}
		}
		must(y.t, errors.Join(y.late.Faults()...))
		x, _ := y.there()
		q := y.dev.NewQueue()
		q.CopyIn(x, y.host(1))
		y.q.CopyOut(y.host(), x)
		if err := errors.Join(y.q.Sync(), q.Sync()); err == nil {
			y.t.Error("a new queue is taken for one that was waited for")
		}
	})
}
