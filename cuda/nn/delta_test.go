package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// What the parts keep of a sequence is what their ops are given.
func TestDeltaStates(t *testing.T) {
	conv := NewCausalConv(10, 4)
	if got := conv.State("conv"); got.Name != "conv" || !slices.Equal(got.Shape, []int{3, 10}) {
		t.Errorf("%+v", got)
	}
	if got := DeltaState("delta", 4, 3, 5); got.Name != "delta" || !slices.Equal(got.Shape, []int{4, 3, 5}) {
		t.Errorf("%+v", got)
	}
}

// What is written under a key is read with it: of any length, since keys and queries are brought to length 1, and divided by the
// root of the key's dim. A second value under the same key corrects the first; one under a key at right angles leaves it.
func TestDeltaRuleWritesAndReads(t *testing.T) {
	dev := cpu.New(1)
	defer dev.Close()
	m := &cuda.Module{ID: "layers.0"}
	s := cuda.NewStep([]cuda.Device{dev}, []*cuda.Module{m}, nil)
	if err := s.Reserve(0, cuda.Sizes{Step: 1 << 12}); err != nil {
		t.Fatal(err)
	}
	defer s.Release(0)
	tensor := func(data []float32, shape ...int) cuda.Tensor {
		x, err := cuda.FromF32(data, shape...)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	state := cuda.NewState("delta", m, tensor(make([]float32, 2*4*3), 2, 1, 4, 3))
	keys := tensor([]float32{2, 0, 0, 0, 0, 7, 0, 0, 0.5, 0, 0, 0}, 3, 1, 4)
	read := tensor([]float32{3, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0}, 3, 1, 4)
	values := tensor([]float32{1, 2, 3, 9, 9, 9, 4, 5, 6}, 3, 1, 3)
	for _, form := range []int32{int32(Prefill), int32(Decode)} {
		s.Begin()
		b := &Batch{Pages: cuda.Pages{Positions: s.Input([]int32{0, 1, 2})}, Slots: s.Input([]int32{1, 1, 1}), Forms: s.Input([]int32{form, form, form})}
		y := DeltaRule(s, read, keys, values, tensor([]float32{0, 0, 0}, 3, 1), tensor([]float32{1, 1, 1}, 3, 1), b, state)
		if err := s.End(); err != nil {
			t.Fatal(err)
		}
		for i, want := range []float64{1, 2, 3, 1, 2, 3, 4, 5, 6} {
			if got := float64(y.F32()[i]); math.Abs(got-want/2) > 1e-5 {
				t.Fatalf("form %d: element %d is %v, not %v", form, i, got, want/2)
			}
		}
	}
}
