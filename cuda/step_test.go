package cuda_test

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
)

// TestTwoLayersRun is the smallest forward pass: embed, one linear map in each layer, the head.
func TestTwoLayersRun(t *testing.T) {
	dev := cuda.NewCPU(2)
	defer dev.Close()
	host, _ := cuda.FromF32([]float32{1, 2, 3, 4}, 2, 2)
	layers := []*cuda.Module{{ID: "layers.0"}, {ID: "layers.1", Layer: 1}}
	var ws []*cuda.Weight
	for _, m := range layers {
		w := cuda.NewWeight(2, 2)
		w.Bind(m.ID+".w", m, host)
		ws = append(ws, w)
	}
	s := cuda.NewStep([]cuda.Device{dev}, layers, nil)
	var out cuda.Tensor
	forward := func(s *cuda.Step) {
		x := s.Embed(s.Input([]int32{1, 0}), ws[0])
		for i := range layers {
			s.EnterLayer(i)
			x = s.MatMul(x, ws[i])
		}
		out = x
	}
	sizes, err := s.Measure(forward)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve(0, sizes); err != nil {
		t.Fatal(err)
	}
	s.Begin()
	forward(s)
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if got := s.Peak(0); got != sizes {
		t.Errorf("measured %v, used %v", sizes, got)
	}
	want := []float32{61, 133, 27, 59}
	for i, v := range out.F32() {
		if v != want[i] {
			t.Fatalf("got %v, want %v", out.F32(), want)
		}
	}
}
