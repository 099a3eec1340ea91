package hfquant

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// BenchmarkCodes widens 16 rows at a time of a matrix of 2048 x 4096 on one core, and takes them as whole numbers where they are, in bytes of numbers in
// bf16:
//
//	go test ./cuda/hfquant -run '^$' -bench Codes
func BenchmarkCodes(b *testing.B) {
	const out, in = 2048, 4096
	zeros := func(format string, shape ...int) weights.View {
		v := weights.View{Format: format, Shape: shape, Data: make([]byte, 4*elements(shape))}
		if format == "BF16" {
			v.DType, v.Known, v.Data = cuda.BF16, true, v.Data[:2*elements(shape)]
		}
		return v
	}
	shape := zeros("I64", 2)
	shape.Data = []byte{out & 255, out >> 8, 0, 0, 0, 0, 0, 0, in & 255, in >> 8, 0, 0, 0, 0, 0, 0}
	for name, tt := range map[string]struct {
		config  string
		tensors map[string]weights.View
	}{
		"awq": {`{"quant_method": "awq"}`, map[string]weights.View{"m.qweight": zeros("I32", in, out/8), "m.qzeros": zeros("I32", in/128, out/8), "m.scales": zeros("BF16", in/128, out)}},
		"gptq": {`{"quant_method": "gptq", "bits": 4}`, map[string]weights.View{"m.qweight": zeros("I32", in/8, out), "m.qzeros": zeros("I32", in/128, out/8),
			"m.scales": zeros("BF16", in/128, out)}},
		"compressed": {`{"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4}}}}`, map[string]weights.View{
			"m.weight_packed": zeros("I32", out, in/8), "m.weight_scale": zeros("BF16", out, in/128), "m.weight_shape": shape}},
		"mlx": {`{"group_size": 64, "bits": 4}`, map[string]weights.View{"m.weight": zeros("U32", out, in/8), "m.scales": zeros("BF16", out, in/64), "m.biases": zeros("BF16", out, in/64)}},
	} {
		src, err := Open([]byte(fmt.Sprintf(`{"quantization_config": %s}`, tt.config)), named{tt.tensors})
		if err != nil {
			b.Fatal(err)
		}
		v, _ := src.Get("m.weight", nil)
		b.Run(name+"/widened", func(b *testing.B) {
			b.SetBytes(2 * 16 * in)
			to := make([]float32, 16*in)
			for i := range b.N {
				v.Coded.Widen(to, i%(out/16)*16)
			}
		})
		if w, whole := v.Coded.(weights.Whole); whole {
			b.Run(name+"/whole", func(b *testing.B) {
				b.SetBytes(2 * 16 * in)
				to, factors := make([]int8, 16*in), make([]float32, 16*in/128)
				for i := range b.N {
					w.Codes(to, factors, i%(out/16)*16)
				}
			})
		}
	}
}
