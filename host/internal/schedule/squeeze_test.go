package schedule

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/machine"
)

// engine is a machine of 16 GiB, of which others take what a test says.
type engine struct {
	mu        sync.Mutex
	available int64
	stalled   float64
	total     int64
	tells     bool          // of limits that were changed
	limits    chan struct{} // by sending here
	looks     int
}

func (e *engine) Look(time.Time) machine.Strain {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looks++
	return machine.Strain{Memory: machine.Memory{Total: e.total, Available: e.available, From: "/proc/meminfo"}, Stalled: e.stalled}
}

func (e *engine) Changes(context.Context) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tells {
		e.limits = make(chan struct{}, 1)
	}
	return e.limits
}

// Lasts is of programs that take 8 GiB a second.
func (e *engine) Lasts(bytes int64) time.Duration {
	return time.Duration(bytes / (8 << 20) * int64(time.Millisecond))
}

func (e *engine) set(f func(*engine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

// frees makes the machine have what a model gives up.
func (e *engine) frees(bytes int64) { e.set(func(e *engine) { e.available += bytes }) }

const gib = int64(1) << 30

// holds is a plugin that uses so many bytes of the cpu's memory, of which it can give some up, and that reports so.
func holds(e *engine, p *fakeProcess, used, spare int64) {
	budget := used
	report := func() sdk.Report {
		return sdk.Report{Devices: []sdk.DeviceReport{{Name: "cpu", Used: used, Budget: budget}}}
	}
	p.order = func(o sdk.Order) sdk.Report {
		if o.Budget == nil { // whatever it is told, a plugin answers with what it holds
			return report()
		}
		if !o.Budget.AsFar && o.Budget.Bytes < used {
			return sdk.Report{Done: &sdk.OrderDone{Error: "too few"}}
		}
		given := min(spare, max(0, used-o.Budget.Bytes))
		used, spare = used-given, spare-given
		budget = max(o.Budget.Bytes, used)
		e.frees(given)
		return report()
	}
	p.unload = func() { e.frees(used) }
	p.reports <- report()
}

func TestMarks(t *testing.T) {
	low, high := marks(machine.Memory{Total: 16 * gib})
	if low != 384<<20 || high != 768<<20 {
		t.Errorf("of 16 GiB: %d, %d", low, high)
	}
	for _, c := range []struct {
		s        machine.Strain
		promised int64
		lack     int64
		plenty   bool
	}{
		{machine.Strain{}, 2 * gib, 0, true},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: low}}, 2 * gib, 0, false},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: low - 1}}, 2 * gib, high - low + 1, false},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: 2 * high}}, 2 * gib, 0, true},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: 2 * high}, Stalled: .1}, 2 * gib, 0, false},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: 2 * high}, Stalled: .5}, 2 * gib, high - low, false},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: 2*gib + high - 1}, Stalled: .5}, 2 * gib, high - low, false},
		{machine.Strain{Memory: machine.Memory{Total: 16 * gib, Available: 2*gib + high}, Stalled: .5}, 2 * gib, 0, true}, // it is not for the models' pages
	} {
		if got, enough := lacking(c.s, c.promised), plenty(c.s, c.promised); got != c.lack || enough != c.plenty {
			t.Errorf("%+v, %d promised: lacking %d, plenty %v", c.s, c.promised, got, enough)
		}
	}
}

// Other programs take memory: first models give up what they can do without, then the one that was used longest ago leaves, and a stream goes on.
// What is asked for meanwhile comes when there is room; when there is enough again all have what they had.
func TestModelsGiveWayToTheMachine(t *testing.T) {
	e := &engine{total: 16 * gib, available: 8 * gib}
	three := []config.Model{{ID: "a"}, {ID: "b"}, {ID: "c", Pin: true}}
	inTownThat(t, e, 12*gib, three, func(id string, p *fakeProcess) error {
		p.inspect = func(context.Context, *fakeProcess, sdk.InspectRequest) (sdk.Inspection, error) {
			return sdk.Inspection{Fit: sdk.FitExact, Table: sdk.LayerTable{Context: 1000, MaxSequences: 1,
				Modules: []sdk.Module{{ID: "layers.0", WeightBytes: 3 * gib, ActiveBytesToken: 3 * gib, StateBytesToken: 1}}}}, nil
		}
		holds(e, p, 3*gib, 100<<20)
		if id == "a" {
			return slow(p)
		}
		return nil
	}, func(w *town) {
		time.Sleep(time.Second)
		streaming := make(chan error, 1)
		go func() {
			streaming <- w.Generate(context.Background(), "a", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 50}, func(sdk.Event) error { return nil })
		}()
		time.Sleep(300 * time.Millisecond)

		e.set(func(e *engine) { e.available = 700 << 20 }) // between the marks
		time.Sleep(time.Second)
		if strings.Contains(w.log.String(), "runs short") {
			t.Fatalf("there is enough:\n%s", w.log.String())
		}
		e.set(func(e *engine) { e.available = 300 << 20 })
		time.Sleep(250 * time.Millisecond)
		if !strings.Contains(w.log.String(), "the machine runs short of memory") {
			t.Fatal("it is not noticed within a quarter of a second")
		}
		time.Sleep(20 * time.Second) // 468 MiB are lacking, of which the three have 300
		if got := fmt.Sprint(w.status("a").State, w.status("b").State, w.status("c").State); got != "ready unloaded ready" && got != "readyunloadedready" {
			t.Fatalf("the models are %s\n%s", got, w.log.String())
		}
		text := w.log.String()
		for _, want := range []string{"memory is short: the model has given some up", `the machine runs short of memory; it comes back when it is asked for`} {
			if !strings.Contains(text, want) {
				t.Errorf("the log does not say %q:\n%s", want, text)
			}
		}
		if err := <-streaming; err != nil {
			t.Errorf("the stream: %v", err)
		}
		if !strings.Contains(text, "the machine has memory again") { // what b has left is enough
			t.Errorf("the log does not say that it is over:\n%s", text)
		}
		if err := w.Generate(context.Background(), "b", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 2}, func(sdk.Event) error { return nil }); err != nil {
			t.Errorf("b is asked: %v", err)
		}
		if share, _, _ := w.memory.held(w.models[0]); share != 3*gib+1024 {
			t.Errorf("a has a share of %d again", share)
		}
	})
}

// The limit of the cgroup is lowered below what models were promised, though nothing is short yet: within a quarter of a second that is noticed and the one
// that is idle begins to leave, and the answer under way goes on.
func TestALowerLimitIsNoticedSoon(t *testing.T) {
	e := &engine{total: 16 * gib, available: 16 * gib}
	inTownThat(t, e, 0, []config.Model{{ID: "a"}, {ID: "b"}}, func(id string, p *fakeProcess) error {
		p.inspect = takes(3*gib, 1)
		holds(e, p, 3*gib, 0)
		if id == "a" {
			return slow(p)
		}
		return nil
	}, func(w *town) {
		time.Sleep(time.Second)
		streaming := make(chan error, 1)
		go func() {
			streaming <- w.Generate(context.Background(), "a", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 50}, func(sdk.Event) error { return nil })
		}()
		time.Sleep(210 * time.Millisecond) // just behind a look, whether there are five of them in a second or fewer
		if text := w.log.String(); strings.Contains(text, "runs short") {
			t.Fatalf("there is enough:\n%s", text)
		}
		e.set(func(e *engine) { e.total, e.available = 6*gib, 5*gib })
		time.Sleep(250 * time.Millisecond)
		if text := w.log.String(); !strings.Contains(text, "the machine runs short of memory; the models give way") || w.status("b").State == StateReady {
			t.Errorf("a quarter of a second later b is %s:\n%s", w.status("b").State, text)
		}
		if err := <-streaming; err != nil || w.status("a").State != StateReady {
			t.Errorf("a is %s, and its stream: %v", w.status("a").State, err)
		}
	})
}

// The limit of the cgroup is lowered while the host runs: idle models leave until what is promised is there.
func TestModelsGiveWayToALowerLimit(t *testing.T) {
	y := newMemory(Budget{14 * gib, "test"}, nil)
	a, b := &model{entry: config.Model{ID: "a"}}, &model{entry: config.Model{ID: "b"}}
	for _, m := range []*model{a, b} {
		y.tenants = append(y.tenants, &tenant{model: m, served: true, share: 5 * gib})
	}
	if y.over() != 0 || y.rebase(Budget{14 * gib, "test"}) {
		t.Error("nothing has changed")
	}
	if more := y.rebase(Budget{8 * gib, "test"}); more || y.over() != 2*gib {
		t.Errorf("more %v, over by %d", more, y.over())
	}
	y.strain(0)
	y.squeezed(a, 4*gib)
	if got := y.over(); got != gib {
		t.Errorf("one has given up some: over by %d", got)
	}
	if free := y.left(); free > 0 {
		t.Errorf("%d bytes that were given up are another's", free)
	}
	y.leave(b, true)
	if y.over() != 0 || y.left() > 0 {
		t.Errorf("the other has left: over by %d, %d left", y.over(), y.left())
	}
	y.rebase(Budget{14 * gib, "test"})
	y.relax()
	if m, bytes := y.squeezedLast(); m != a || bytes != 5*gib || y.left() != 10*gib {
		t.Errorf("%v may have %d again, and %d are left", m, bytes, y.left())
	}
}

// A host that has nothing to do looks once a second, as long as memory lasts for so long and it is told of limits; a lower limit has it look at once.
func TestWhoHasNothingToDoLooksSeldom(t *testing.T) {
	for _, c := range []struct {
		name      string
		available int64
		told      bool
		want      int // looks in ten seconds
	}{
		{"there is enough", 15 * gib, true, 10},
		{"nobody tells of limits", 15 * gib, false, 50},
		{"what there is lasts for half a second", 4*gib + 768<<20, true, 20},
		{"there is little", 1 * gib, true, 50},
	} {
		e := &engine{total: 16 * gib, available: c.available, tells: c.told}
		inTownThat(t, e, 0, []config.Model{{ID: "a"}}, func(_ string, p *fakeProcess) error {
			p.inspect = takes(3*gib, 1)
			holds(e, p, 3*gib, 0)
			return slow(p)
		}, func(w *town) {
			count := func(d time.Duration) (n int) {
				e.set(func(e *engine) { n = -e.looks })
				time.Sleep(d)
				e.set(func(e *engine) { n += e.looks })
				return n
			}
			count(2 * time.Second)
			if got := count(10 * time.Second); got < c.want-1 || got > c.want+1 {
				t.Errorf("%s: %d looks in ten seconds, want %d", c.name, got, c.want)
			}
			if !c.told {
				return
			}
			go func() {
				_ = w.Generate(context.Background(), "a", sdk.GenerateRequest{Tokens: []int32{1}, MaxTokens: 50}, func(sdk.Event) error { return nil })
			}()
			count(time.Second)
			if got := count(time.Second); got < 4 {
				t.Errorf("%s: %d looks in a second of work", c.name, got)
			}
			e.limits <- struct{}{}
			if got := count(time.Millisecond); got == 0 {
				t.Errorf("%s: nobody looks when a limit was changed", c.name)
			}
		})
	}
}
