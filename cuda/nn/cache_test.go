package nn

import (
	"errors"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// Every state of a cache has its own bytes, whatever is kept.
func TestStatesOfACacheDoNotOverlap(t *testing.T) {
	dev := cpu.New(1)
	defer dev.Close()
	spec := CacheSpec{
		Paged: []Paged{{"k", 2, 6}, {"v", 2, 5}},
		Fixed: []Fixed{{"conv", []int{7, 3}}, {"delta", []int{2, 3, 5}}}, // of sizes that are no multiple of 64
	}
	size := Size{Blocks: 3, Slots: 4}
	mem, err := dev.Alloc(spec.Bytes(size), cuda.ForState)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Free(mem)
	c, err := NewCache(&cuda.Module{ID: "layers.0"}, spec, dev, mem, size)
	if err != nil {
		t.Fatal(err)
	}
	if want := aligned(3*2*64*6*4) + aligned(3*2*64*5*4) + aligned(4*7*3*4) + aligned(4*2*3*5*4); spec.Bytes(size) != want {
		t.Errorf("it takes %d bytes, want %d", spec.Bytes(size), want)
	}
	states := append(append([]*cuda.State{}, c.Paged...), c.Fixed...)
	for i, s := range states {
		for j := range s.Tensor().F32() {
			s.Tensor().F32()[j] = float32(i + 1)
		}
	}
	for i, s := range states {
		if at := uintptr(s.Tensor().Pointer()); at%64 != 0 {
			t.Errorf("%s begins at %#x, which is no multiple of a cache line", s.Name, at)
		}
		for j, x := range s.Tensor().F32() {
			if x != float32(i+1) {
				t.Fatalf("element %d of %s was overwritten by state %v", j, s.Name, x-1)
			}
		}
	}
	if d := states[3].Tensor(); d.NDim() != 4 || d.Dim(0) != 4 || states[0].Tensor().Dim(2) != BlockSize {
		t.Errorf("recurrent state %v, keys %v", d, states[0].Tensor())
	}
	if _, err := NewCache(&cuda.Module{}, spec, dev, mem, Size{Blocks: 4, Slots: 4}); err == nil {
		t.Error("four blocks were laid out in the memory of three")
	}
}

func TestCacheBytes(t *testing.T) {
	spec := CacheSpec{Paged: []Paged{{"latent", 1, 576}}, Fixed: []Fixed{{"state", []int{32, 128, 128}}}}
	if p, s := spec.PositionBytes(), spec.SequenceBytes(); p != 2304 || s != 2<<20 {
		t.Errorf("%d bytes for a position and %d for a sequence", p, s)
	}
	for form, want := range map[cuda.DType]int64{cuda.BF16: 1152, cuda.Q8Row: 576 + 9*4} {
		spec := spec
		spec.Type = form
		if p, b := spec.PositionBytes(), spec.Bytes(Size{Blocks: 3}); p != want || b != 3*64*want {
			t.Errorf("in %s a position takes %d bytes and 192 of them %d", form, p, b)
		}
	}
	if n := spec.Bytes(Size{Blocks: 2, Slots: 3}); n != 2*64*2304+3*2<<20 {
		t.Errorf("%d bytes", n)
	}
	if n := KeysValues(3, 5, 7).PositionBytes(); n != 3*(5+7)*4 {
		t.Errorf("three keys of 5 and values of 7 take %d bytes", n)
	}
	if n := (CacheSpec{}).Bytes(Size{Blocks: 2, Slots: 3}); n != 0 {
		t.Errorf("a layer that keeps nothing takes %d bytes", n)
	}
}

// A block is copied in every page of the layer and in no other block, a slot in every state; what cannot be is an error.
func TestBlocksAndSlotsAreCopiedWhole(t *testing.T) {
	dev := cpu.New(1)
	defer dev.Close()
	spec := CacheSpec{Paged: []Paged{{"k", 2, 3}, {"v", 2, 5}}, Fixed: []Fixed{{"conv", []int{3, 2}}, {"delta", []int{2, 3, 5}}}}
	size := Size{Blocks: 3, Slots: 4}
	mem, err := dev.Alloc(spec.Bytes(size), cuda.ForState)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Free(mem)
	module := &cuda.Module{ID: "layers.0"}
	c, err := NewCache(module, spec, dev, mem, size)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(append([]*cuda.State{}, c.Paged...), c.Fixed...) {
		all := s.Tensor().F32()
		for i := range all {
			all[i] = float32(i / (len(all) / s.Tensor().Dim(0))) // its block or slot
		}
	}
	step := cuda.NewStep([]cuda.Device{dev}, []*cuda.Module{module}, nil)
	copied := func(copy func(s *cuda.Step, from, to int), from, to int) error {
		step.Begin()
		copy(step, from, to)
		return step.End()
	}
	if err := errors.Join(copied(c.CopyBlock, 2, 0), copied(c.CopySlot, 1, 3)); err != nil {
		t.Error(err)
	}
	for want, states := range map[string][]*cuda.State{"212": c.Paged, "0121": c.Fixed} {
		for _, s := range states {
			all := s.Tensor().F32()
			for i, x := range all {
				if at := i / (len(all) / len(want)); x != float32(want[at]-'0') {
					t.Fatalf("%s: part %d holds %v, want %c", s.Name, at, x, want[at])
				}
			}
		}
	}
	if copied(c.CopyBlock, 0, 3) == nil || copied(c.CopySlot, 4, 0) == nil || copied(c.CopyBlock, -1, 0) == nil {
		t.Error("a block or slot that is not there was copied")
	}
}
