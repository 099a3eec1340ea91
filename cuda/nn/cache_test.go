package nn

import (
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
		Fixed: []Fixed{{"conv", []int{7, 3}}, {"delta", []int{2, 3, 5}}},
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
	states := append(append([]*cuda.State{}, c.Paged...), c.Fixed...)
	for i, s := range states {
		for j := range s.Tensor().F32() {
			s.Tensor().F32()[j] = float32(i + 1)
		}
	}
	for i, s := range states {
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
	if n := spec.Bytes(Size{Blocks: 2, Slots: 3}); n != 2*64*2304+3*2<<20 {
		t.Errorf("%d bytes", n)
	}
	if n := (CacheSpec{}).Bytes(Size{Blocks: 2, Slots: 3}); n != 0 {
		t.Errorf("a layer that keeps nothing takes %d bytes", n)
	}
}
