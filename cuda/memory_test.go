package cuda_test

import (
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// TestCPUBudget: none at first, and one that is set later holds.
func TestCPUBudget(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	a, err := c.Alloc(1<<20, cuda.ForState)
	must(t, err)
	c.SetBudget(1 << 19)
	var over *cuda.BudgetError
	if _, err := c.Alloc(1, cuda.ForScratch); !errors.As(err, &over) || over.Used != 1<<20 || over.Budget != 1<<19 {
		t.Errorf("an allocation above a lowered budget: %v", err)
	}
	c.Free(a)
	b, err := c.Alloc(1<<19, cuda.ForWeights)
	must(t, err)
	want := cuda.Usage{Budget: 1 << 19, Used: 1 << 19, Peak: 1 << 20}
	want.For[cuda.ForWeights] = 1 << 19
	if got := c.Usage(); got != want {
		t.Errorf("usage %+v, not %+v", got, want)
	}
	c.Free(b)
	c.Free(cuda.Memory{})
	none, err := c.Alloc(0, cuda.ForState)
	must(t, err)
	c.Free(none)
	if got := c.Usage(); got.Used != 0 {
		t.Errorf("after freeing all: %+v", got)
	}
	if _, err := c.Alloc(-1, cuda.ForState); err == nil {
		t.Error("a negative allocation was accepted")
	}
	c.SetBudget(0)
	if _, err := c.Alloc(1<<62, cuda.ForState); err == nil || c.Usage().Used != 0 {
		t.Errorf("2^62 bytes: %v, %d are used", err, c.Usage().Used)
	}
}

// TestWeightLivesOnSeveralDevices: the file stays, copies come and go.
func TestWeightLivesOnSeveralDevices(t *testing.T) {
	m := &cuda.Module{ID: "layers.0"}
	host, err := cuda.FromF32(make([]float32, 6), 2, 3)
	must(t, err)
	w := bind(t, "layers.0.w", m, host)
	if w.On(0).IsZero() || !w.On(1).IsZero() || !w.On(-1).IsZero() || !w.On(cuda.MaxDevices).IsZero() {
		t.Error("a bound weight is on the cpu and nowhere else")
	}
	w.Put(2, w.File())
	if w.On(2).IsZero() || !w.On(1).IsZero() {
		t.Error("put on 2")
	}
	w.Drop(2)
	w.Drop(0)
	if !w.On(2).IsZero() || w.On(0).IsZero() {
		t.Error("the copy is gone, the file is not")
	}
	if m.WeightBytes() != 24 || len(m.Weights) != 1 || w.Module != m {
		t.Errorf("module %+v", m)
	}
	cuda.NewState("layers.0.kv", m, host)
	if m.StateBytes() != 24 {
		t.Errorf("state of %d bytes", m.StateBytes())
	}
	if dev, ok := m.Settled(); ok {
		t.Errorf("settled on %d from the start", dev)
	}
}

// TestCopiesOnTheCPUMustMatch: the queue keeps the first error and forgets it once it was told.
func TestCopiesOnTheCPUMustMatch(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	q := c.NewQueue()
	src, _ := cuda.FromF32([]float32{1, 2, 3})
	dst, _ := cuda.FromF32(make([]float32, 3), 3, 1)
	q.CopyIn(dst, src)
	must(t, q.Sync())
	if dst.F32()[2] != 3 {
		t.Errorf("copied %v", dst.F32())
	}
	q.CopyOut(dst.Slice(0, 2), src)
	q.CopyIn(dst, dst)
	if err := q.Sync(); err == nil || !strings.Contains(err.Error(), "f32 (2, 1)") {
		t.Errorf("a copy between lengths: %v", err)
	}
	must(t, q.Sync())
}

// What is reserved is not there before it is written.
func TestResidentIsWhatWasWritten(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	const size = 64 << 20
	before := cuda.Resident()
	m, err := c.Alloc(size, cuda.ForState)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Free(m)
	if grown := cuda.Resident() - before; before == 0 || grown > size/2 {
		t.Fatalf("%d bytes are there of %d that were reserved; before %d", grown, size, before)
	}
	page := unsafe.Slice((*byte)(m.Pointer()), size)
	for i := 0; i < size; i += 4096 {
		page[i] = 1
	}
	if grown := cuda.Resident() - before; grown < size*9/10 {
		t.Errorf("%d bytes are there of %d that were written", grown, size)
	}
}
