package spec

import (
	"slices"
)

// sample.go has the ops on logits that let a device choose, for rows of n elements.

// Argmax is cuda.Step.Argmax; 0 for a row without a number.
func Argmax(index []int32, values, x []float32, n int) {
	for r := range index {
		best, odd := -1, float32(0)
		for i, v := range x[r*n : (r+1)*n] {
			switch {
			case v != v:
				odd = v
			case best < 0 || v > x[r*n+best]:
				best = i
			}
		}
		best = max(best, 0)
		if index[r], values[r] = int32(best), x[r*n+best]; odd != 0 {
			values[r] = odd
		}
	}
}

// TopK is cuda.Step.TopK: the largest first, of equals the first, then what is not a number in the order it stands.
func TopK(index []int32, values, x []float32, n, k int) {
	for r := range len(x) / n {
		row, order := x[r*n:(r+1)*n], make([]int32, n)
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			switch va, vb := row[a], row[b]; {
			case va > vb, va == va && vb != vb:
				return -1
			case va < vb, va != va && vb == vb:
				return 1
			}
			return 0
		})
		for j, i := range order[:k] {
			index[r*k+j], values[r*k+j] = i, row[i]
		}
	}
}
