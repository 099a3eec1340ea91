package cuda_test

// room_test.go takes parts of activations over a border, forgets copies with what was rewound, and counts the memory that a step
// reserves.

import (
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
	"github.com/inference-pio/inference-pio/cuda/far"
)

// border is a step of one layer over the CPU and a far device, with room on both.
func border(t *testing.T) *cuda.Step {
	t.Helper()
	c := cpu.New(1)
	s := cuda.NewStep([]cuda.Device{c, far.New("far", 0, 0, 0, c)}, []*cuda.Module{{ID: "layers.0"}}, nil)
	for dev := range 2 {
		must(t, s.Reserve(dev, cuda.Sizes{Step: 1 << 12, Even: 1 << 12, Odd: 1 << 12}))
	}
	t.Cleanup(func() {
		s.Release(0)
		s.Release(1)
		c.Close()
	})
	s.Begin()
	return s
}

// on is a module outside the layers that is computed on a device.
func on(dev int) *cuda.Module {
	m := &cuda.Module{ID: "visual", Layer: -1}
	m.Settle(dev)
	return m
}

// A part of an activation is the same part on another device, whether the whole went there before or not.
func TestAPartOfAnActivationCrossesTheBorder(t *testing.T) {
	for _, before := range []bool{false, true} {
		s := border(t)
		s.EnterLayer(0)
		x := s.InputF32([]float32{1, 2, 3, 4, 5, 6}, 3, 2)
		if before {
			s.EnterModule(on(1))
			s.Here(x)
		}
		s.EnterModule(on(1))
		second, third := x.Slice(1, 2), x.Slice(2, 3)
		y := s.ToHost(s.Add(second, third))
		must(t, s.End())
		if !slices.Equal(y.F32(), []float32{8, 10}) {
			t.Errorf("the second and third row add up to %v", y.F32())
		}
	}
}

// What a device was lent in a part of a layer is forgotten with it: later parts use its memory again, and what was lent is brought
// there anew.
func TestRewoundCopiesAreBroughtAnew(t *testing.T) {
	s := border(t)
	s.EnterLayer(0)
	x, y := s.InputF32([]float32{1, 2}, 1, 2), s.InputF32([]float32{10, 20}, 1, 2)
	var sums [][]float32
	for _, part := range []cuda.Tensor{x, y, x, y} {
		mark := s.Mark()
		s.EnterModule(on(1))
		sum := s.ToHost(s.Add(part, part))
		sums = append(sums, slices.Clone(sum.F32()))
		s.EnterModule(on(0))
		s.Rewind(mark)
	}
	must(t, s.End())
	for i, want := range [][]float32{{2, 4}, {20, 40}, {2, 4}, {20, 40}} {
		if !slices.Equal(sums[i], want) {
			t.Errorf("part %d is %v, want %v", i, sums[i], want)
		}
	}
}

// Memory for activations is taken once however often it is reserved, all of it or nothing.
func TestReservedMemoryIsCounted(t *testing.T) {
	c := cpu.New(1)
	defer c.Close()
	there := far.New("far", 0, 0, 0, c)
	s := cuda.NewStep([]cuda.Device{c, there}, nil, nil)
	z := cuda.Sizes{Step: 1000, Even: 2000, Odd: 3000}
	for range 3 {
		must(t, s.Reserve(1, z))
		if used := there.Usage().Used; used != z.Total() {
			t.Errorf("%d bytes are used, reserved are %d", used, z.Total())
		}
	}
	for _, budget := range []int64{999, 1000, 3000, 5999} { // room for none of the three, for one, for two, and almost for all
		there.SetBudget(budget)
		if err := s.Reserve(1, z); err == nil {
			t.Errorf("%d bytes were reserved of %d", z.Total(), budget)
		}
		if used := there.Usage().Used; used != 0 {
			t.Errorf("with a budget of %d, %d bytes stay of what could not be reserved whole", budget, used)
		}
	}
	there.SetBudget(z.Total())
	must(t, s.Reserve(1, z))
	s.Release(1)
	s.Release(1)
	if used := there.Usage().Used; used != 0 {
		t.Errorf("%d bytes stay", used)
	}
}
