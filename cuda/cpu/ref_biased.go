package cpu

import "math"

// ref_biased.go specifies the ops of layers with biases.

// RefAddRow is cuda.Step.AddRow.
func RefAddRow(y, x []float32, row Matrix) {
	for i, v := range x {
		y[i] = v + row.Widen(i%row.Cols)
	}
}

// RefLayerNorm is cuda.Step.LayerNorm.
func RefLayerNorm(y, x []float32, w, b Matrix, eps float32) {
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
			y[r*n+i] = float32((float64(v)-mean)*inv*float64(w.Widen(i)) + float64(b.Widen(i)))
		}
	}
}

// RefGELU is cuda.Step.GELU.
func RefGELU(y, x []float32, tanh bool) {
	for i, v := range x {
		f, u := float64(v), float64(v)/math.Sqrt2
		if tanh {
			y[i] = float32(f / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(f+0.044715*f*f*f))))
		} else {
			y[i] = float32(f / 2 * math.Erfc(-u)) // 1 + erf(u), exact also where it is near 0
		}
	}
}
