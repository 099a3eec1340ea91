package cuda_test

// parts_test.go is the parts of layers, which use the same memory one after the other.

import (
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// TestPartsOfLayersTakeTheRoomOfOne: what they make beside their results lies in the same memory, in whatever layer; a part within a part
// joins it. What a part made is there for the op behind it, and an error once the next has started.
func TestPartsOfLayersTakeTheRoomOfOne(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	s := cuda.NewStep([]cuda.Device{c}, []*cuda.Module{{ID: "layers.0"}, {ID: "layers.1", Layer: 1}}, nil)
	var x, inner cuda.Tensor
	double := func(s *cuda.Step) {
		s.StartPart()
		inner = s.Add(x, x)
		s.EndPart()
		x = s.Add(inner, inner)
	}
	pass := func(parts int) func(s *cuda.Step) {
		return func(s *cuda.Step) {
			x = s.InputF32([]float32{1, 2, 3}, 1, 3)
			for i := range 2 {
				s.EnterLayer(i)
				for range parts {
					double(s)
				}
				s.StartPart()
				double(s)
				s.EndPart()
				x = s.Add(x, x)
			}
		}
	}
	sizes, err := s.Measure(pass(3))
	if want := (cuda.Sizes{Step: 64, Even: 4 * 64, Odd: 4 * 64, Part: 2 * 64}); err != nil || sizes != want {
		t.Fatalf("three parts and one within another take %+v, not %+v: %v", sizes, want, err)
	}
	must(t, s.Reserve(0, sizes))
	defer s.Release(0)
	s.Begin()
	pass(3)(s)
	must(t, s.End())
	if factor := float32(1 << 18); !slices.Equal(x.F32(), []float32{factor, 2 * factor, 3 * factor}) || s.Peak(0) != sizes {
		t.Errorf("%v, with %+v of %+v used", x.F32(), s.Peak(0), sizes)
	}
	stale := inner
	s.StartPart()
	s.Add(stale, stale)
	if err := s.End(); err == nil || !strings.Contains(err.Error(), "it lasts until the start of the next part") {
		t.Errorf("what a part made, used in the next: %v", err)
	}
}

// TestALayerEndsAPart: one that was not ended, because an error came, does not reach into the next layer or pass.
func TestALayerEndsAPart(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	s := cuda.NewStep([]cuda.Device{c}, []*cuda.Module{{ID: "layers.0"}}, nil)
	sizes, err := s.Measure(func(s *cuda.Step) {
		x := s.InputF32([]float32{1}, 1, 1)
		s.StartPart()
		s.EnterLayer(0)
		s.Add(x, x)
		s.EndPart()
		s.StartPart()
		s.Add(x, x)
		s.EndPart()
	})
	if want := (cuda.Sizes{Step: 64, Even: 64, Part: 64}); err != nil || sizes != want {
		t.Errorf("%+v, not %+v: %v", sizes, want, err)
	}
}

// TestPartsWaitForWhatIsCopied: the memory of a part's activation is not given to the next part before it has arrived elsewhere.
func TestPartsWaitForWhatIsCopied(t *testing.T) {
	atEveryPace(t, func(t *testing.T, pace far.Pace) {
		c := cpu.New(1)
		defer c.Close()
		machine := machineAt(t, pace, c)
		devices := []cuda.Device{machine.CPU(), machine.Device("far", 0, 0, 0)}
		s := cuda.NewStep(devices, []*cuda.Module{{ID: "layers.0"}}, nil)
		defer s.Close()
		for d := range devices {
			must(t, s.Reserve(d, cuda.Sizes{Step: 1 << 10, Even: 1 << 10, Part: 1 << 10}))
			defer s.Release(d)
		}
		s.Begin()
		one := s.InputF32([]float32{1, 2, 3}, 1, 3)
		s.EnterLayer(0)
		s.StartPart()
		x := s.Add(one, one)
		s.EndPart()
		s.EnterModule(on(1))
		y := s.Add(x, x)
		s.EnterModule(on(0))
		s.StartPart()
		z := s.InputF32([]float32{10, 20, 30}, 1, 3)
		s.EndPart()
		y = s.ToHost(y)
		must(t, s.End())
		if !slices.Equal(y.F32(), []float32{4, 8, 12}) || z.F32()[0] != 10 {
			t.Errorf("%v and %v", y.F32(), z.F32())
		}
	})
}
