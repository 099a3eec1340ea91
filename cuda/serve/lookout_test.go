package serve

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/engine"
)

// crowded is a device of which others take some, too.
type crowded struct {
	cuda.Device
	free, total int64
	err         error
	trims       int
}

func (d *crowded) Available() (free, total int64, err error) { return d.free, d.total, d.err }
func (d *crowded) Trim()                                     { d.trims++ }

func TestWhatOthersTakeIsNews(t *testing.T) {
	if l := newLookout([]cuda.Device{far.New("far", 1, 0, 0, nil)}); l != nil || l.news(sdk.Report{Devices: []sdk.DeviceReport{{Name: "far", Used: 7}}}) {
		t.Error("a device that is this process's alone is looked at")
	}
	l := newLookout([]cuda.Device{&crowded{}})
	report := func(used, free int64) sdk.Report {
		return sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu", Used: used}, {Name: "gpu.0", Used: used, Free: free, Total: 25600}}}
	}
	for i, c := range []struct {
		used, free int64
		news       bool
	}{{100, 5000, true}, {100, 5000, false}, {200, 4900, false}, {100, 4899, true}, {100, 5000, true}, {201, 5000, true}, {100, 5001, true}} {
		r := report(c.used, c.free)
		if got := l.news(r); got != c.news {
			t.Errorf("report %d, %+v: %v", i, c, got)
		}
		if c.news {
			l.told(r)
		}
	}
	d := &crowded{free: 3, total: 9}
	if free, total, lost := available(d); free != 3 || total != 9 || lost != "" {
		t.Errorf("%d of %d, lost: %s", free, total, lost)
	}
	if trim(d); d.trims != 1 {
		t.Error("what was freed is kept from others")
	}
	if d.err = errors.New("busy"); fmt.Sprint(available(d)) != "0 0" {
		t.Error("a device that does not answer tells something")
	}
}

// coveted is a device of which others take some while it is looked at.
type coveted struct {
	crowded
	mu sync.Mutex
}

func (d *coveted) Available() (free, total int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.crowded.Available()
}

// leave has others leave so much.
func (d *coveted) leave(free int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = free
}

// idle is a model that nobody asks.
type idle struct{}

func (idle) Step(*engine.Batch) ([][]float32, error) { return nil, errors.New("nobody has asked") }

// Whoever has the Scheduler stream hears within a tenth of a second what others have taken or given back, whenever that is: the host's part of a quarter of a
// second is the rest (host/internal/schedule, crowd.go).
func TestWhatOthersTakeIsToldSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newToy(t, far.Now(), toyTwo, none)
		d := &coveted{crowded: crowded{Device: y.far, free: 9000, total: 10000}}
		devices := []cuda.Device{y.cpu(), d}
		y.r.devices = devices
		p := y.plugin(t)
		orders, heard, ended := make(chan sdk.Order), make(chan int64, 1000), make(chan error)
		go func() {
			ended <- p.Schedule(t.Context(), orders, func(r sdk.Report) error {
				heard <- r.Devices[1].Free
				return nil
			})
		}()
		for n := range int64(50) {
			time.Sleep(time.Second + 7*time.Millisecond) // at any time between two looks
			synctest.Wait()
			for len(heard) > 0 {
				<-heard
			}
			free, changed := 1000+n%2*5000, time.Now()
			for d.leave(free); <-heard != free; {
			}
			if took := time.Since(changed); took > 100*time.Millisecond {
				t.Errorf("that others leave %d is told after %v", free, took)
			}
		}
		close(orders)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// plugin is the toy's devices and modules behind the Scheduler stream, with nobody who asks.
func (y *toy) plugin(t *testing.T) *plugin {
	t.Helper()
	e, err := engine.New(idle{}, engine.Config{Blocks: 1, MaxSequences: 1, StepTokens: engine.BlockSize, Context: 2, Vocab: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := &plugin{ready: make(chan struct{}), loaded: &instance{devices: y.r.devices, place: y.r, step: cuda.NewStep(y.r.devices, nil, nil), engine: e, spill: &spill{}}}
	t.Cleanup(func() {
		p.loaded.step.Close()
		e.Close()
	})
	close(p.ready)
	return p
}

// A model that nobody asks reports seldom, and what changes is told within a second all the same.
func TestNothingNewIsSeldomTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newToy(t, far.Now(), toyTwo, none)
		p := y.plugin(t)
		orders, heard, ended := make(chan sdk.Order), make(chan sdk.Report, 1000), make(chan error)
		go func() {
			ended <- p.Schedule(t.Context(), orders, func(r sdk.Report) error {
				heard <- r
				return nil
			})
		}()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := len(heard); n < 2*60/(quietMost+1) || n > 20 { // some more where this process's memory grows
			t.Errorf("in two minutes there were %d reports", n)
		}
		for len(heard) > 0 {
			<-heard
		}
		y.r.counts.moves.Add(1)
		time.Sleep(reportEvery)
		synctest.Wait()
		if len(heard) != 1 {
			t.Fatalf("a second after a change there were %d reports", len(heard))
		}
		if r := <-heard; r.Moves != 1 {
			t.Errorf("the report tells of %d moves", r.Moves)
		}
		close(orders)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// That a device is lost is news once, whether or not anything was told of it before.
func TestALossIsNews(t *testing.T) {
	d := &crowded{err: &cuda.LostError{Device: "gpu.0", Err: errors.New("off the bus")}}
	free, total, lost := available(d)
	if free != 0 || total != 0 || lost != "off the bus" {
		t.Errorf("%d of %d, lost: %q", free, total, lost)
	}
	for _, before := range [][]sdk.DeviceReport{nil, {{Name: "gpu.0", Total: 9}}} {
		l := newLookout([]cuda.Device{d})
		l.told(sdk.Report{Devices: before})
		r := sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu"}, {Name: "gpu.0", Lost: lost}}}
		if !l.news(r) {
			t.Errorf("after %+v a loss is no news", before)
		}
		if l.told(r); l.news(r) {
			t.Errorf("after %+v a loss is told again and again", before)
		}
	}
}

// Under pressure a budget is obeyed as far as that can be: where an order would be refused its least is what holds then.
func TestABudgetIsObeyedAsFarAsThatCanBe(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		for _, midstep := range []bool{false, true} {
			y := newToy(t, pace, toyTwo, all)
			y.cpu().SetBudget(1) // no room for any state
			o := budget(0)
			o.Budget.AsFar = true
			var job *order
			if midstep {
				y.pass(func(layer int) {
					if layer == 1 {
						job = y.r.post(o)
					}
				})
			} else {
				job = y.r.post(o)
			}
			if err := job.await(t.Context()); err != nil {
				t.Fatalf("midstep %v: %v", midstep, err)
			}
			const least = toyRoom + toyStates + toyWeight // the states stay, and a layer is computed with at a time
			if u := y.far.Usage(); u.Budget != least || u.Used > least {
				t.Errorf("midstep %v: %d are used of a budget of %d, want %d", midstep, u.Used, u.Budget, least)
			}
			y.pass(nil)
			if err := y.obey(budget(0)); err == nil {
				t.Error("an order that is not to be obeyed as far as that can be was not refused")
			}
		}
	})
}

// On the cpu pictures go that are only remembered, and the budget is what stays; it is never without a limit.
func TestTheCPUsBudgetIsObeyedAsFarAsThatCanBe(t *testing.T) {
	y := newToy(t, far.Now(), 0, none)
	e := newStare(t, y, stare{hidden: 10})
	y.r.crowded = e.album.fit
	lookAt(t, e, []byte{1, 2, 3}, 0)
	order := sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", Bytes: 7, AsFar: true}}
	if err := y.obey(order); err != nil {
		t.Fatal(err)
	}
	if u := y.cpu().Usage(); u.Budget != toyStates || u.Used != toyStates {
		t.Errorf("%d are used of a budget of %d; the states take %d", u.Used, u.Budget, toyStates)
	}
	if order.Budget.Bytes != 7 {
		t.Error("whoever gave the order finds another one")
	}
	y.cpu().SetBudget(0)
	empty := newFlat(t, 1, 1000)
	job := empty.post(sdk.Order{Budget: &sdk.BudgetOrder{Device: "cpu", AsFar: true}})
	empty.mu.Lock()
	empty.carry()
	empty.mu.Unlock()
	if err := <-job.done; err != nil || empty.devices[0].Usage().Budget == 0 {
		t.Errorf("a process that can give up everything has no limit: %v", err)
	}
}
