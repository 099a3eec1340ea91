package spec

import "math"

// rows.go has the ops on the elements of rows.

// Columns is cuda.Step.Columns: from rows of so many elements, width from one on.
func Columns(y, x []float32, width, of, from int) {
	for r := range len(x) / of {
		copy(y[r*width:(r+1)*width], x[r*of+from:])
	}
}

// PutColumns is Columns the other way round: to rows of so many elements, width from one on.
func PutColumns(y, x []float32, width, of, to int) {
	for r := range len(y) / of {
		copy(y[r*of+to:], x[r*width:(r+1)*width])
	}
}

// Sigmoid is cuda.Step.Sigmoid.
func Sigmoid(y, x []float32) {
	for i, v := range x {
		y[i] = float32(1 / (1 + math.Exp(-float64(v))))
	}
}

// Mul is cuda.Step.Mul: each element of y is a factor for as many elements of x.
func Mul(z, x, y []float32) {
	each := len(x) / max(len(y), 1)
	for i := range x {
		z[i] = x[i] * y[i/each]
	}
}

// L2Norm is cuda.Step.L2Norm, for rows of n elements.
func L2Norm(y, x []float32, n int, eps float32) {
	for r := range len(x) / n {
		var sum float64
		for _, v := range x[r*n : (r+1)*n] {
			sum += float64(v) * float64(v)
		}
		inv := 1 / math.Sqrt(sum+float64(eps))
		for i := r * n; i < (r+1)*n; i++ {
			y[i] = float32(float64(x[i]) * inv)
		}
	}
}
