package cuda_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// TestRewindUsesTheMemoryOfPartsAgain: ten parts take the room of one, and what was made before the mark stays.
func TestRewindUsesTheMemoryOfPartsAgain(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	s := cuda.NewStep([]cuda.Device{c}, []*cuda.Module{{ID: "layers.0"}}, nil)
	x, err := cuda.FromF32([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, 1, 16)
	if err != nil {
		t.Fatal(err)
	}
	var kept, part cuda.Tensor
	parts := func(n int) func(s *cuda.Step) {
		return func(s *cuda.Step) {
			s.EnterLayer(0)
			kept = s.Add(x, x)
			for range n {
				mark := s.Mark()
				part = s.Add(s.Add(kept, x), x)
				s.Rewind(mark)
			}
		}
	}
	one, err := s.Measure(parts(1))
	if err != nil || one.Even != 3*64 {
		t.Fatalf("one part takes %+v, %v", one, err)
	}
	ten, err := s.Measure(parts(10))
	if err != nil || ten != one {
		t.Fatalf("ten parts take %+v, one takes %+v, %v", ten, one, err)
	}
	if err := s.Reserve(0, one); err != nil {
		t.Fatal(err)
	}
	defer s.Release(0)
	s.Begin()
	parts(10)(s)
	if err := s.End(); err != nil || !slices.Equal(kept.F32()[:3], []float32{2, 4, 6}) {
		t.Fatalf("kept %v, %v", kept.F32(), err)
	}
	s.Add(part, x)
	if err := s.End(); err == nil || !strings.Contains(err.Error(), "used after its memory was given to later ones") {
		t.Errorf("a part used after the rewind: %v", err)
	}
	s.Begin()
	mark := s.Mark()
	s.EnterLayer(0)
	s.Rewind(mark)
	if err := s.End(); err == nil || !strings.Contains(err.Error(), "a mark of another layer") {
		t.Errorf("a mark taken before the layer: %v", err)
	}
}
