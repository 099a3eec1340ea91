package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	sdkplan "github.com/inference-pio/inference-pio/sdk/plan"
)

// tribunal is the processes on devices that hold real bytes, as far as the arbiter could make them hold too many: a process uses at any moment as
// much as any of its orders so far allows it, or what a plan for its shares puts on each device.
type tribunal struct {
	t       *testing.T
	r       *rand.Rand
	devices []int64
	stakes  []stake
	modules [][]sdk.Module
	used    [][]int64
	before  [][]int64 // of orders under way: the share there was
	orders  int
	placed  int // plans that have put something on a device
}

func newTribunal(t *testing.T, seed uint64) *tribunal {
	w := &tribunal{t: t, r: rand.New(rand.NewPCG(seed, 17))}
	for range 1 + w.r.IntN(3) {
		w.devices = append(w.devices, 200+w.r.Int64N(1000))
	}
	n := 2 + w.r.IntN(4)
	for i := range n {
		w.modules = append(w.modules, w.model())
		wanted, largest := sdkplan.Takes(sdk.LayerTable{Modules: w.modules[i], MaxSequences: 1})
		s := stake{Tenant: sdkplan.Tenant{Name: fmt.Sprint(i), Priority: w.r.IntN(2), Idle: sdkplan.Never, Wanted: wanted, Largest: largest},
			under: make([]bool, len(w.devices)), fixed: make([]bool, len(w.devices)), to: make([]int64, len(w.devices))}
		for _, all := range w.devices {
			s.Held, s.Scratch, s.May = append(s.Held, all/int64(n)), append(s.Scratch, w.r.Int64N(10)), append(s.May, true)
		}
		w.stakes = append(w.stakes, s)
		w.used, w.before = append(w.used, make([]int64, len(w.devices))), append(w.before, make([]int64, len(w.devices)))
	}
	return w
}

// model draws layers, of which some have experts.
func (w *tribunal) model() (list []sdk.Module) {
	experts := 3 * w.r.IntN(2)
	module := func(id string) {
		bytes := 1 + w.r.Int64N(40)
		list = append(list, sdk.Module{ID: id, WeightBytes: bytes, ActiveBytesToken: bytes, StateBytesSeq: w.r.Int64N(10)})
	}
	for i := range 1 + w.r.IntN(30) {
		module(fmt.Sprint("layers.", i))
		for e := range experts {
			module(fmt.Sprintf("layers.%d.mlp.experts.%d", i, e))
			list[len(list)-1].StateBytesSeq = 0
		}
	}
	return list
}

// settle has a process lie where a plan for its shares puts it. Bytes are counted here, from the placements alone.
func (w *tribunal) settle(i int) {
	s := &w.stakes[i]
	in := sdkplan.Input{Modules: w.modules[i], Sequences: 1, Devices: []sdkplan.Device{{Name: cpu, ReadRate: 1e9}}}
	for d := range w.devices {
		in.Devices = append(in.Devices, sdkplan.Device{Name: fmt.Sprint("gpu.", d), Bytes: s.Held[d], Scratch: s.Scratch[d], CopyRate: 1e10 * w.r.Float64(), ReadRate: 1e10})
	}
	made, err := sdkplan.Make(in)
	if err != nil {
		w.t.Fatal(err)
	}
	for d := range w.devices {
		var used, largest, there int64
		for n, where := range made.Placements {
			m := w.modules[i][n]
			switch {
			case where.Device != in.Devices[d+1].Name:
				continue
			case where.Streamed:
				largest = max(largest, m.WeightBytes)
			default:
				used += m.WeightBytes
			}
			used += m.StateBytesSeq
			there++
		}
		if there > 0 {
			used += s.Scratch[d] + 2*largest + made.Caches[d+1].Bytes
			w.placed++
		}
		if used > s.Held[d] {
			w.t.Fatalf("a plan puts %d bytes where %d are allowed: %+v", used, s.Held[d], made)
		}
		w.used[i][d] = used
	}
}

// arbitrate sends what is to be sent, as the host does: more is promised when the order goes out, less when it was obeyed.
func (w *tribunal) arbitrate() int {
	orders, _ := arbitrate(w.devices, w.stakes)
	for _, o := range orders {
		s := &w.stakes[o.stake]
		if s.under[o.device] || s.fixed[o.device] {
			w.t.Fatalf("an order for a share that is not to change: %+v", o)
		}
		s.under[o.device], s.to[o.device], w.before[o.stake][o.device] = true, o.bytes, s.Held[o.device]
		s.Held[o.device] = max(s.Held[o.device], o.bytes)
	}
	w.orders += len(orders)
	return len(orders)
}

// answer ends an order.
func (w *tribunal) answer(i, d int, obeyed bool) {
	s := &w.stakes[i]
	if !s.under[d] {
		return
	}
	s.under[d] = false
	s.Held[d] = w.before[i][d]
	if obeyed {
		s.Held[d] = s.to[d]
	}
	w.used[i][d] = min(w.used[i][d], s.Held[d])
}

// step lets anything happen.
func (w *tribunal) step() {
	i, d := w.r.IntN(len(w.stakes)), w.r.IntN(len(w.devices))
	s := &w.stakes[i]
	switch w.r.IntN(9) {
	case 0:
		if s.Busy = !s.Busy; s.Busy {
			s.Idle = 0
		}
	case 1:
		for j := range w.stakes {
			if o := &w.stakes[j]; !o.Busy && o.Idle != sdkplan.Never {
				o.Idle += time.Duration(w.r.IntN(8)) * time.Second
			}
		}
	case 2, 3:
		w.answer(i, d, true)
	case 4:
		w.answer(i, d, w.r.IntN(3) > 0)
	case 5, 6:
		w.used[i][d] = w.r.Int64N(s.holds(d) + 1)
	case 7:
		if w.r.IntN(10) == 0 { // it dies, and loads again with its share; or an operator rules
			for e := range w.devices {
				w.answer(i, e, false)
				w.used[i][e] = 0
			}
			s.fixed[d] = !s.fixed[d]
		}
	case 8:
		w.settle(i)
	}
}

// count is the oracle: what the processes hold, and what they could.
func (w *tribunal) count(step int) {
	for d, all := range w.devices {
		var used, promised int64
		for i := range w.stakes {
			used, promised = used+w.used[i][d], promised+w.stakes[i].holds(d)
		}
		if used > all || promised > all {
			w.t.Fatalf("step %d: of %d bytes of device %d %d are used and %d promised", step, all, d, used, promised)
		}
	}
}

// Ten thousand steps of models that come to work and stop, orders that are obeyed late or refused, plans that are made anew for the shares there are, processes
// that die: at no instant do they hold more than a device has. In the end everybody has what the division gives, and nothing more is ordered.
func TestSharesNeverExceedADevice(t *testing.T) {
	for seed := range uint64(10) {
		w := newTribunal(t, seed)
		for step := range 1000 {
			w.step()
			w.count(step)
			w.arbitrate()
			w.count(step)
		}
		if w.orders == 0 || w.placed == 0 {
			t.Errorf("seed %d: %d orders in a thousand steps, and %d plans have put something on a device", seed, w.orders, w.placed)
		}
		w.stakes[0].Busy, w.stakes[0].Idle = true, 0
		rounds := 0
		for ; rounds < 20; rounds++ {
			for i := range w.stakes {
				for d := range w.devices {
					w.answer(i, d, true)
				}
			}
			w.count(-rounds)
			if w.arbitrate() == 0 {
				break
			}
		}
		if rounds == 20 {
			t.Fatalf("seed %d: orders without end", seed)
		}
		want, _ := targets(w.devices, w.stakes)
		for i := range w.stakes {
			if !slices.Equal(w.stakes[i].Held, want[i]) {
				t.Errorf("seed %d: model %d has %v and is to have %v", seed, i, w.stakes[i].Held, want[i])
			}
		}
	}
}

// A model that works has the share of one that does not; while nobody works, or when nobody else wants it, nothing moves.
func TestSharesFollowWork(t *testing.T) {
	half := func() []stake {
		var list []stake
		for _, name := range []string{"a", "b"} {
			list = append(list, stake{Tenant: sdkplan.Tenant{Name: name, Idle: sdkplan.Never, Wanted: 800, Largest: 50, May: []bool{true}, Scratch: []int64{10}, Held: []int64{500}},
				under: []bool{false}, fixed: []bool{false}, to: []int64{0}})
		}
		return list
	}
	devices := []int64{1000}
	if orders, _ := arbitrate(devices, half()); len(orders) > 0 {
		t.Errorf("nobody works, and there are orders: %+v", orders)
	}
	s := half()
	s[0].Busy, s[0].Idle = true, 0
	orders, _ := arbitrate(devices, s)
	if len(orders) != 1 || orders[0].stake != 1 || orders[0].bytes != 190 {
		t.Fatalf("first the idle one gives way: %+v", orders)
	}
	s[1].under[0], s[1].to[0] = true, 190
	if orders, _ = arbitrate(devices, s); len(orders) > 0 {
		t.Fatalf("before it has, nobody grows: %+v", orders)
	}
	s[1].under[0], s[1].Held[0] = false, 190
	orders, _ = arbitrate(devices, s)
	if len(orders) != 1 || orders[0].stake != 0 || orders[0].bytes != 810 {
		t.Fatalf("then the busy one grows: %+v", orders)
	}
	s[0].Held[0] = 810
	s[0].Busy, s[0].Idle = false, time.Second
	orders, again := arbitrate(devices, s)
	if len(orders) > 0 || again != shareLinger-time.Second {
		t.Errorf("it has just finished: %+v, again after %v", orders, again)
	}
	s[1].Busy, s[1].Idle = true, 0
	s[1].fixed[0] = true
	if orders, _ = arbitrate(devices, s); len(orders) > 0 {
		t.Errorf("an operator has ruled, and there are orders: %+v", orders)
	}
}

// ruled is what plugins were told to hold.
type ruled struct {
	mu     sync.Mutex
	list   []string
	refuse string // the model that refuses
}

func (c *ruled) hear(p *fakeProcess) func(sdk.Order) sdk.Report {
	return func(o sdk.Order) sdk.Report {
		c.mu.Lock()
		defer c.mu.Unlock()
		if o.Budget == nil {
			return sdk.Report{}
		}
		c.list = append(c.list, fmt.Sprint(p.entry.ID, " ", o.Budget.Bytes))
		if p.entry.ID == c.refuse {
			return sdk.Report{Done: &sdk.OrderDone{Error: "no"}}
		}
		return sdk.Report{}
	}
}

// Two models of 800 bytes share a device of 1000: whoever works has its layers there, the other gives way first, and a process that dies begins with
// what its model has.
func TestModelsGiveWayToWhoeverWorks(t *testing.T) {
	var c ruled
	inWorld(t, func(p *fakeProcess) error {
		p.modules = []sdk.Module{{ID: "layers.0", WeightBytes: 400, ActiveBytesToken: 400}, {ID: "layers.1", WeightBytes: 400, ActiveBytesToken: 400}}
		p.order = c.hear(p)
		return slow(p)
	}, func(w *world) {
		apply(t, w, w.next(w.Config().Models[0], config.Model{ID: "b", Devices: []string{"cpu", "far"}}), Changes{Added: []string{"b"}})
		heard := func(what, want string) {
			t.Helper()
			synctest.Wait()
			c.mu.Lock()
			defer c.mu.Unlock()
			if got := strings.Join(c.list, ", "); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
			c.list = nil
		}
		time.Sleep(shareLinger) // to load is to work
		heard("while nobody works the device is halved", "m 500")
		first := w.ask(100, 5)
		heard("one works", "b 200, m 800")
		first.complete(w, 100, 5)
		heard("it has finished, and nobody wants what it has", "")
		second := w.askModel(context.Background(), "b", sdk.GenerateRequest{Tokens: []int32{7}, MaxTokens: 40}, nil)
		heard("the other works, and the first may come back", "m 500, b 500")
		time.Sleep(shareLinger)
		heard("it has not", "m 200, b 800")
		w.process(2).die(syscall.SIGKILL)
		time.Sleep(time.Second)
		if got := w.process(3).loaded.Devices[1].Bytes; got != 800 {
			t.Errorf("the next process of b is given %d bytes", got)
		}
		second.complete(w, 7, 40)
		heard("a death changes nothing", "")

		c.refuse = "b"
		third := w.ask(100, 90)
		heard("b refuses", "b 500")
		time.Sleep(shareRest - time.Second)
		heard("it is left alone for a while", "")
		time.Sleep(2 * time.Second)
		heard("and asked again", "b 200")
		if _, err := w.Order(context.Background(), "m", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 201}}); err == nil {
			t.Error("an operator has more for a model than the others leave")
		}
		heard("that is refused by the host", "")
		third.complete(w, 100, 90)
	})
}

// An operator's order holds: the arbiter leaves the model alone on that device.
func TestAnOperatorsShareIsLeftAlone(t *testing.T) {
	var c ruled
	inWorld(t, func(p *fakeProcess) error {
		p.modules = []sdk.Module{{ID: "layers.0", WeightBytes: 400, ActiveBytesToken: 400}, {ID: "layers.1", WeightBytes: 400, ActiveBytesToken: 400}}
		p.order = c.hear(p)
		return slow(p)
	}, func(w *world) {
		apply(t, w, w.next(w.Config().Models[0], config.Model{ID: "b", Devices: []string{"cpu", "far"}}), Changes{Added: []string{"b"}})
		time.Sleep(time.Second)
		if _, err := w.Order(context.Background(), "b", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 450}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(shareLinger)
		c.list = nil
		w.ask(100, 5).complete(w, 100, 5)
		if got := strings.Join(c.list, ", "); got != "m 550" {
			t.Errorf("the orders are %q: b keeps its 450 bytes, and m has the rest", got)
		}
	})
}

// What is given back is free when it was, not before: a plugin that does not answer may still hold it.
func TestBytesAreFreeWhenTheyAreGivenBack(t *testing.T) {
	inWorld(t, func(p *fakeProcess) error { p.mute = p.entry.ID == "m"; return nil }, func(w *world) {
		_, err := w.Order(context.Background(), "m", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: 300, Deadline: time.Second}})
		if late := (*Unanswered)(nil); !errors.As(err, &late) {
			t.Fatal(err)
		}
		if left := w.left("far", nil); left != 0 {
			t.Errorf("%d bytes are promised to others, which a process may hold that has not answered", left)
		}
	})
}

// What was to be given and is not answered for may be taken all the same: it is nobody else's.
func TestBytesThatMayBeTakenArePromisedToNobody(t *testing.T) {
	inWorld(t, func(*fakeProcess) error { return nil }, func(w *world) {
		order := func(bytes int64) error {
			_, err := w.Order(context.Background(), "m", sdk.Order{Budget: &sdk.BudgetOrder{Device: "far", Bytes: bytes, Deadline: time.Second}})
			return err
		}
		if err := order(300); err != nil {
			t.Fatal(err)
		}
		w.process(1).mute = true
		if late := (*Unanswered)(nil); !errors.As(order(700), &late) {
			t.Fatal("it was answered")
		}
		if left := w.left("far", nil); left != 300 {
			t.Errorf("%d bytes are promised to others beside the 700 that a process may take", left)
		}
	})
}
