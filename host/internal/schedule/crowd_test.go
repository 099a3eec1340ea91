package schedule

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// What others take is gone at once, where one process tells of it; where several do, once it is no mistake of two clocks. What they give back is
// the models' after a while.
func TestWhatOthersLeave(t *testing.T) {
	const all = 6400
	now := time.Now()
	c := &crowd{}
	see := func(after time.Duration, s sight, changed bool, limit int64) {
		t.Helper()
		now = now.Add(after)
		got, again := c.see(all, s, now)
		if got != changed || c.of(all) != limit {
			t.Errorf("changed %v, the limit is %d; want %v, %d", got, c.of(all), changed, limit)
		}
		if !got && !c.since.IsZero() && again <= 0 {
			t.Error("nobody will look again")
		}
	}
	see(0, sight{}, false, all) // nobody tells
	see(0, sight{Free: 2000, Total: 8000, Used: 5000, Users: 1}, false, all)
	see(0, sight{Free: 500, Total: 8000, Used: 5000, Users: 1}, true, 5375) // a margin of 125
	see(0, sight{Free: 480, Total: 8000, Used: 5000, Users: 1}, false, 5375)
	see(0, sight{Free: 100, Total: 8000, Used: 5300, Users: 1}, true, 5275) // little less, but the margin is gone
	see(0, sight{Free: 500, Total: 8000, Used: 4000, Users: 2}, false, 5275)
	see(crowdSettle/2, sight{Free: 500, Total: 8000, Used: 4800, Users: 2}, false, 5275) // it was taken by the other of the two
	see(crowdSettle, sight{Free: 500, Total: 8000, Used: 4000, Users: 2}, false, 5275)
	see(crowdSettle, sight{Free: 500, Total: 8000, Used: 4000, Users: 2}, true, 4375)
	see(0, sight{Free: 4000, Total: 8000, Used: 4000, Users: 2}, false, 4375)
	see(crowdEase/2, sight{Free: 1500, Total: 8000, Used: 4000, Users: 2}, false, 4375)
	see(crowdEase/2, sight{Free: 4000, Total: 8000, Used: 4000, Users: 2}, true, 5375) // what there was all the time
	see(time.Minute, sight{Free: 4000, Total: 8000, Used: 4000, Users: 2}, false, 5375)
	see(crowdEase/2, sight{Free: 500, Total: 8000, Used: 5000, Users: 2}, false, 5375) // they are back
	see(crowdEase, sight{Free: 4000, Total: 8000, Used: 4000, Users: 2}, false, 5375)
	see(crowdEase, sight{Free: 4000, Total: 8000, Used: 4000, Users: 2}, true, all)
}

// Random takes of others: what the limit says was there, or has been since less was believed, and no limit goes up and down within its time.
func TestALimitIsNeverMoreThanThereWas(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		const all = 10_000
		c, now, raised := &crowd{}, time.Now(), time.Time{}
		for range 200 {
			now = now.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
			s := sight{Total: 12_000, Used: r.Int64N(6000), Users: 1}
			s.Free = r.Int64N(s.Total - s.Used)
			before := c.of(all)
			changed, _ := c.see(all, s, now)
			switch limit := c.of(all); {
			case limit > max(s.could(all), before) || limit > all:
				t.Fatalf("of %+v models may hold %d", s, limit)
			case limit > before && now.Sub(raised) < crowdEase:
				t.Fatalf("raised twice within %v", now.Sub(raised))
			case changed != (limit != before):
				t.Fatalf("changed %v, from %d to %d", changed, before, limit)
			case s.Free < s.Total/crowdMargin && limit > s.could(all):
				t.Fatalf("of %+v models may still hold %d", s, limit)
			case limit > before:
				raised = now
			}
		}
	}
}

// Devices of which others take and give: no share grows beyond what there is, and when nothing changes any more the shares fit.
func TestSharesFollowWhatOthersLeave(t *testing.T) {
	for seed := range uint64(10) {
		w := newTribunal(t, seed)
		whole := append([]int64(nil), w.devices...)
		for i := range w.stakes {
			w.stakes[i].ruled = make([]bool, len(whole))
		}
		for range 500 {
			if w.r.IntN(10) == 0 {
				d := w.r.IntN(len(whole))
				w.devices[d] = w.r.Int64N(whole[d] + 1)
			}
			w.step()
			var before []int64
			for d := range w.devices {
				before = append(before, held(w.stakes, d))
			}
			w.arbitrate()
			for d, all := range w.devices {
				if now := held(w.stakes, d); now > max(before[d], all) {
					t.Fatalf("seed %d: %d bytes are promised where there are %d", seed, now, all)
				}
			}
		}
		for i := range w.stakes {
			clear(w.stakes[i].fixed)
		}
		for d := range w.devices {
			w.devices[d] = whole[d] / 3
		}
		for range 20 {
			for i := range w.stakes {
				for d := range w.devices {
					w.answer(i, d, true)
				}
			}
			w.arbitrate()
		}
		for d, all := range w.devices {
			if now := held(w.stakes, d); now > all {
				t.Errorf("seed %d: in the end %d bytes are held where there are %d", seed, now, all)
			}
		}
	}
}

// What an operator has ordered stays as long as there is room for it, and gives way when there is not.
func TestAnOperatorsShareGivesWayToOthers(t *testing.T) {
	s := newStakes("a", "b")
	s[0].fixed[0], s[0].ruled[0] = true, true
	if orders, _ := arbitrate([]int64{600}, s); len(orders) != 1 || orders[0].stake != 1 || orders[0].bytes != 100 {
		t.Errorf("with room for what was ordered: %+v", orders)
	}
	s = newStakes("a", "b")
	s[0].fixed[0], s[0].ruled[0] = true, true
	orders, _ := arbitrate([]int64{300}, s)
	sum := int64(0)
	for _, o := range orders {
		sum += o.bytes
	}
	if len(orders) != 2 || sum > 300 {
		t.Errorf("without: %+v", orders)
	}
}

// The whole way: a plugin reports that somebody has taken memory, and within a quarter of a second its model is told to hold less; when that has
// been free for a while it has it back.
func TestOthersTakeMemoryOfADevice(t *testing.T) {
	var c ruled
	inWorld(t, func(p *fakeProcess) error {
		p.modules = []sdk.Module{{ID: "layers.0", WeightBytes: 400, ActiveBytesToken: 400}, {ID: "layers.1", WeightBytes: 400, ActiveBytesToken: 400}}
		p.order = func(o sdk.Order) sdk.Report {
			c.hear(p)(o)
			if o.Budget == nil {
				return sdk.Report{}
			}
			// of 700 bytes it cannot give up more than 100
			return sdk.Report{Devices: []sdk.DeviceReport{{Name: "far", Budget: max(o.Budget.Bytes, 600), Used: max(o.Budget.Bytes, 600), Free: 100, Total: 1280}}}
		}
		return nil
	}, func(w *world) {
		report := func(used, free int64) {
			w.process(1).reports <- sdk.Report{Devices: []sdk.DeviceReport{{Name: "far", Budget: 1000, Used: used, Free: free, Total: 1280}}}
			synctest.Wait()
		}
		orders := func() string {
			c.mu.Lock()
			defer c.mu.Unlock()
			got := strings.Join(c.list, ", ")
			c.list = nil
			return got
		}
		report(700, 500)
		if got := orders(); got != "" {
			t.Errorf("there is room, and orders: %s", got)
		}
		report(700, 10)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if got := orders(); got != "m 690" {
			t.Errorf("somebody has taken what was free; the orders are %q", got)
		}
		report(690, 0)
		if got := orders(); got != "m 670" {
			t.Errorf("and more; the orders are %q", got)
		}
		report(400, 0)
		synctest.Wait()
		if got, left := orders(), w.left("far", nil); !strings.HasPrefix(got, "m ") || left > 0 {
			t.Errorf("%q, %d bytes left: what the plugin could not give up is not promised to others", got, left)
		}
		text := w.log.String()
		for _, want := range []string{"what other programs leave of a device has changed", "other programs leave"} {
			if !strings.Contains(text, want) {
				t.Errorf("the log does not say %q:\n%s", want, text)
			}
		}
		report(600, 680)
		time.Sleep(crowdEase - time.Second)
		if got := orders(); got != "" {
			t.Errorf("they have gone just now; the orders are %q", got)
		}
		for range 10 { // in two steps: first what was free all the time
			time.Sleep(time.Second)
			report(600, 680)
		}
		if got := w.left("far", nil); got != 400 {
			t.Errorf("%d bytes are free for whoever works", got)
		}
	})
}

func newStakes(names ...string) (list []stake) {
	for _, name := range names {
		list = append(list, stake{Tenant: sdkplan.Tenant{Name: name, Idle: sdkplan.Never, Wanted: 800, Largest: 50, May: []bool{true}, Scratch: []int64{10}, Held: []int64{500}},
			under: []bool{false}, fixed: []bool{false}, ruled: []bool{false}, to: []int64{0}})
	}
	return list
}

// A model that is away leaves its share of a device to those that are there, and has it back before it is loaded.
func TestTheAwayLeaveTheirShareToOthers(t *testing.T) {
	var c ruled
	inWorld(t, func(p *fakeProcess) error {
		p.modules = []sdk.Module{{ID: "layers.0", WeightBytes: 400, ActiveBytesToken: 400}, {ID: "layers.1", WeightBytes: 400, ActiveBytesToken: 400}}
		p.inspect = func(context.Context, *fakeProcess, sdk.InspectRequest) (sdk.Inspection, error) {
			return sdk.Inspection{Fit: sdk.FitExact, Table: sdk.LayerTable{Context: 100, Modules: p.modules}}, nil
		}
		p.order = c.hear(p)
		return nil
	}, func(w *world) {
		apply(t, w, w.next(w.Config().Models[0], config.Model{ID: "b", Devices: []string{"cpu", "far"}, OnDemand: true, KeepAlive: time.Minute}), Changes{Added: []string{"b"}})
		time.Sleep(2 * shareLinger)
		c.list = nil
		w.ask(100, 5).complete(w, 100, 5)
		synctest.Wait()
		if got := strings.Join(c.list, ", "); got != "m 800" {
			t.Errorf("the orders are %q: m has all that it wants while b is away", got)
		}
		c.list = nil
		time.Sleep(2 * shareLinger)
		second := w.askModel(context.Background(), "b", sdk.GenerateRequest{Tokens: []int32{7}, MaxTokens: 5}, nil)
		second.complete(w, 7, 5)
		b := w.process(len(w.startTimes()))
		if got := b.loaded.Devices[1].Bytes; got != 800 {
			t.Errorf("b is loaded with %d bytes of the device; m, which has nothing to do, has given way: %s", got, c.list)
		}
		if got := strings.Join(c.list, ", "); got != "m 200" {
			t.Errorf("the orders are %q", got)
		}
		c.list = nil
		time.Sleep(2 * time.Minute) // it has left
		w.ask(100, 5).complete(w, 100, 5)
		synctest.Wait()
		if got := strings.Join(c.list, ", "); got != "m 800" {
			t.Errorf("b has left; the orders are %q", got)
		}
		if !strings.Contains(w.log.String(), "the model has a share of a device again") {
			t.Error("the log does not tell of it")
		}
	})
}

// A process that loads takes memory and reports nothing yet: it counts with all that it may take, and is no other program.
func TestALoadingProcessIsNoOtherProgram(t *testing.T) {
	at := time.Now()
	ready := &model{life: &life{ready: true}, reported: at, devices: []sdk.DeviceBudget{{Name: "far", Bytes: 500}}}
	ready.status.Report.Devices = []sdk.DeviceReport{{Name: "far", Used: 300, Free: 200, Total: 1000}}
	loading := &model{life: &life{}, devices: []sdk.DeviceBudget{{Name: "far", Bytes: 450}}}
	gone := &model{devices: []sdk.DeviceBudget{{Name: "far", Bytes: 450}}}
	s := sightOf([]*model{loading, ready, gone}, "far")
	if want := (sight{Free: 200, Total: 1000, Used: 750, Users: 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	newer := &model{life: &life{ready: true}, reported: at.Add(time.Second)}
	newer.status.Report.Devices = []sdk.DeviceReport{{Name: "far", Used: 10, Free: 100, Total: 1000}}
	if s = sightOf([]*model{newer, ready}, "far"); s.Free != 100 || s.Used != 310 || s.Users != 2 {
		t.Errorf("%+v: the newest report counts", s)
	}
}
