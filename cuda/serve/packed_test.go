package serve

// packed_test.go has a CPU pack its modules: those that its budget has room for.

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// flat is a residency of a CPU alone, which packs: so many modules, each of one matrix in bf16.
type flat struct {
	*residency
	queue cuda.Queue
}

func (f *flat) Reserve(int) error    { return nil }
func (f *flat) Release(int)          {}
func (f *flat) Queue(int) cuda.Queue { return f.queue }

const flatBytes = 32 * 64 * 2 // of a packed matrix: it fills its blocks

func newFlat(t *testing.T, modules int, budget int64) *flat {
	t.Helper()
	layout := cpu.Layouts()[0]
	c, err := cpu.Open(cpu.Options{Threads: 2, Packed: func(cuda.Matrix) *cuda.Layout { return layout }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetBudget(budget)
	f, rng, list := &flat{queue: c.NewQueue()}, rand.New(rand.NewPCG(1, 2)), []*cuda.Module(nil)
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
	f.residency = newResidency([]cuda.Device{c}, list, f, nil)
	t.Cleanup(func() {
		f.close()
		if used := c.Usage().Used; used != 0 {
			t.Errorf("%d bytes are held at the end", used)
		}
	})
	return f
}

// packed says of each module whether steps compute with its packed copy.
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
