package spec

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// biased.go has the ops of layers with biases.

// AddRow is cuda.Step.AddRow.
func AddRow(y, x []float32, row cuda.Matrix) {
	for i, v := range x {
		y[i] = v + Element(row, i%row.Cols)
	}
}

// LayerNorm is cuda.Step.LayerNorm.
func LayerNorm(y, x []float32, w, b cuda.Matrix, eps float32) {
	n := w.Cols
	for r := range len(x) / n {
		row, mean, variance := x[r*n:(r+1)*n], 0.0, 0.0
		for _, v := range row {
			mean += float64(v) / float64(n)
		}
		for _, v := range row {
			variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
		}
		inv := 1 / math.Sqrt(variance+float64(eps))
		for i, v := range row {
			y[r*n+i] = float32((float64(v)-mean)*inv*float64(Element(w, i)) + float64(Element(b, i)))
		}
	}
}

// GELU is cuda.Step.GELU.
func GELU(y, x []float32, tanh bool) {
	for i, v := range x {
		f, u := float64(v), float64(v)/math.Sqrt2
		if tanh {
			y[i] = float32(f / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(f+0.044715*f*f*f))))
		} else {
			y[i] = float32(f / 2 * math.Erfc(-u)) // 1 + erf(u), exact also where it is near 0
		}
	}
}
