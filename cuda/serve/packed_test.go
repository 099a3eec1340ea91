package serve

// packed_test.go has a CPU pack its modules: those that its budget has room for.

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
	"github.com/inference-pio/inference-pio/sdk"
)

// flat is a residency of a CPU that packs, perhaps with a far device beside it: so many modules, each of one matrix in bf16. Orders are carried out by
// whoever gives them.
type flat struct {
	*residency
	queues []cuda.Queue
	wanted string // by module, where the plan has it: "f" is far, "s" is streamed there, anything else the CPU
	full   bool   // far has no room for activations
}

func (f *flat) Reserve(dev int) error {
	if f.full {
		return &cuda.BudgetError{Device: f.devices[dev].Name(), Asked: 1}
	}
	return nil
}

func (f *flat) Release(int)              {}
func (f *flat) Queue(dev int) cuda.Queue { return f.queues[dev] }

const flatBytes = 32 * 64 * 2 // of a packed matrix: it fills its blocks

// newFlat has only a CPU.
func newFlat(t *testing.T, modules int, budget int64) *flat {
	return newFlatBeside(t, modules, budget, func(c *cpu.Device) []cuda.Device { return []cuda.Device{c} })
}

// newFlatAndFar has a far device, too, and no limit of the CPU's memory.
func newFlatAndFar(t *testing.T, modules int) *flat {
	return newFlatBeside(t, modules, 0, func(c *cpu.Device) []cuda.Device {
		m := far.NewMachine(c, far.Now())
		return []cuda.Device{m.CPU(), m.Device("far", 1<<20, 0, 0)}
	})
}

func newFlatBeside(t *testing.T, modules int, budget int64, devices func(*cpu.Device) []cuda.Device) *flat {
	t.Helper()
	layout := cpu.Layouts()[0]
	c, err := cpu.Open(cpu.Options{Threads: 2, Packed: func(cuda.Matrix) *cuda.Layout { return layout }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetBudget(budget)
	f, rng, list := &flat{}, rand.New(rand.NewPCG(1, 2)), []*cuda.Module(nil)
	for i := range modules {
		data := make([]byte, flatBytes)
		for j := range data {
			data[j] = byte(rng.UintN(256))
		}
		file, err := cuda.HostMatrix(cuda.Plain(cuda.BF16), 32, 64, data)
		if err != nil {
			t.Fatal(err)
		}
		m := &cuda.Module{ID: fmt.Sprintf("layers.%d", i), Layer: i}
		cuda.NewWeight(32, 64).Bind(m.ID+".weight", m, file)
		list = append(list, m)
	}
	all := devices(c)
	for _, d := range all {
		f.queues = append(f.queues, d.NewQueue())
	}
	f.residency = newResidency(all, list, f, f.plan)
	t.Cleanup(func() {
		f.close()
		for i, d := range all {
			if err := f.queues[i].Sync(); err != nil {
				t.Error(err)
			}
			f.queues[i].Close()
			if used := d.Usage().Used; used != 0 {
				t.Errorf("%d bytes of %s are held at the end", used, d.Name())
			}
		}
	})
	return f
}

func (f *flat) plan([]int64) (list []sdk.Placement, err error) {
	for i, where := range f.wanted {
		list = append(list, sdk.Placement{Module: fmt.Sprintf("layers.%d", i), Device: map[bool]string{true: "far", false: "cpu"}[where == 'f' || where == 's'], Streamed: where == 's'})
	}
	return list, nil
}

// follows has another plan followed, as when passes have told of a better one.
func (f *flat) follows(wanted string) {
	f.wanted = wanted
	f.pass(f.follow)
}

// pass is a step through all modules, with something that happens in it.
func (f *flat) pass(within func()) {
	f.beginPass(1)
	defer f.finish()
	for n, p := range f.places {
		if _, settled := p.m.Settled(); !settled {
			_, _, _ = f.Enter(p.m)
		}
		if n == 0 && within != nil {
			within()
		}
	}
}

// obey carries out an order between two steps.
func (f *flat) obey(t *testing.T, o sdk.Order) {
	t.Helper()
	job := f.post(o)
	f.mu.Lock()
	f.carry()
	f.settleDebts()
	f.mu.Unlock()
	if err := job.await(t.Context()); err != nil {
		t.Error(err)
	}
}

// packed says of each module whether the CPU computes with its packed copy.
func (f *flat) packed() (list string) {
	for _, p := range f.places {
		if w := p.m.Weights[0]; w.On(0).Layout.Equal(w.File().Layout) {
			list += "-"
		} else {
			list += "+"
		}
	}
	return list
}

// TestWhatThereIsRoomForIsPacked, the first modules first, with what is to be spared left free; what needs room later takes it from the
// last.
func TestWhatThereIsRoomForIsPacked(t *testing.T) {
	for _, c := range []struct {
		budget, spare int64
		want          string
	}{{0, 0, "++++"}, {4 * flatBytes, 0, "++++"}, {4*flatBytes - 1, 0, "+++-"}, {4 * flatBytes, 1, "+++-"}, {4 * flatBytes, 3 * flatBytes, "+---"}, {flatBytes - 1, 0, "----"}} {
		f := newFlat(t, 4, c.budget)
		if err := f.packAll(t.Context(), c.spare); err != nil || f.packed() != c.want {
			t.Errorf("of %d bytes with %d to spare: %s, not %s, %v", c.budget, c.spare, f.packed(), c.want, err)
		}
	}
	f := newFlat(t, 4, 4*flatBytes)
	if err := f.packAll(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"+++-", "++--", "+---", "----"} {
		f.mu.Lock()
		err := f.setCPUBudget(int64(3-i)*flatBytes + 1)
		f.mu.Unlock()
		if err != nil || f.packed() != want {
			t.Errorf("with room for %d: %s, not %s, %v", 3-i, f.packed(), want, err)
		}
	}
}

// Whatever brings a module back to the CPU, or has one stay that was to leave: it is packed there. One that is still to go over is not.
func TestWhatStaysOnTheCPUIsPacked(t *testing.T) {
	for _, c := range []struct {
		name  string
		comes string // first, which nothing but a pass that has gone by takes over
		gone  bool   // it has come before
		then  func(t *testing.T, f *flat)
		want  string
	}{
		{"an order moves it back", "fff", true, func(t *testing.T, f *flat) { f.obey(t, move("layers.1", "cpu")) }, "-+-"},
		{"an order has it stay", "fff", false, func(t *testing.T, f *flat) { f.obey(t, move("layers.1", "cpu")) }, "-+-"},
		{"the device is given up", "fff", true, func(t *testing.T, f *flat) { f.wanted = "ccc"; f.obey(t, budget(0)) }, "+++"},
		{"the device is given up before it has come", "fff", false, func(t *testing.T, f *flat) { f.obey(t, budget(0)) }, "+++"},
		{"a later plan has it back", "fff", true, func(t *testing.T, f *flat) { f.follows("fcf") }, "-+-"},
		{"a later plan drops it", "fff", false, func(t *testing.T, f *flat) { f.follows("fcf") }, "-+-"},
		{"a later plan has it come otherwise", "fff", false, func(t *testing.T, f *flat) { f.follows("sss") }, "---"},
		{"a plan has it come where no room is", "ccc", false, func(t *testing.T, f *flat) {
			f.full = true
			f.follows("fff")
		}, "+++"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFlatAndFar(t, 3)
			f.wanted = c.comes
			f.mu.Lock()
			f.follow()
			f.mu.Unlock()
			if c.gone {
				for len(f.coming) > 0 {
					for _, a := range f.coming {
						if a.there != nil && a.there.transfer != nil {
							_ = a.there.transfer.Wait()
						}
					}
					f.pass(nil)
				}
			}
			if got := f.packed(); got != "---" {
				t.Fatalf("at first %s", got)
			}
			c.then(t, f)
			if got := f.packed(); got != c.want {
				t.Errorf("%s is packed, not %s", got, c.want)
			}
		})
	}
}
