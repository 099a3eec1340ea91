package cuda_test

import (
	"fmt"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// The smallest forward pass: an embedding of two tokens and one linear map, which doubles and swaps.
func Example() {
	dev := cpu.New(1)
	defer dev.Close()

	layer := &cuda.Module{ID: "layers.0"}
	table, _ := cuda.FromF32([]float32{1, 2, 3, 4}, 2, 2)
	swap, _ := cuda.FromF32([]float32{0, 2, 2, 0}, 2, 2)
	embed, linear := cuda.NewWeight(2, 2), cuda.NewWeight(2, 2)
	rows, _ := cuda.MatrixOf(table)
	embed.Bind("embed_tokens.weight", &cuda.Module{ID: "embed_tokens", Layer: -1}, rows)
	rows, _ = cuda.MatrixOf(swap)
	linear.Bind("layers.0.weight", layer, rows)

	var y cuda.Tensor
	forward := func(s *cuda.Step) {
		x := s.Embed(s.Input([]int32{1, 0}), embed) // (2, 2)
		s.EnterLayer(0)
		y = s.MatMul(x, linear) // (2, 2)
	}
	s := cuda.NewStep([]cuda.Device{dev}, []*cuda.Module{layer}, nil)
	sizes, err := s.Measure(forward)
	if err == nil {
		err = s.Reserve(0, sizes)
	}
	if err == nil {
		s.Begin()
		forward(s)
		err = s.End()
	}
	fmt.Println(y, y.F32(), err)
	// Output: f32 (2, 2) on cpu [8 6 4 2] <nil>
}
