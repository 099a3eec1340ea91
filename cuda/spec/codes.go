package spec

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// codes.go is the product with a matrix of codes under fast numerics. It is told to the bit: each step is rounded to f32 as written, and
// sums of codes are whole numbers.

// MatMulCoded gives y[r][o] = sum over blocks of 128 columns of (sum of codes of x[r] times codes of w[o]) (factor of w[o] · factor of
// x[r]). The codes of a row's block are its numbers times 127 / the largest magnitude, to the nearest whole number, of two the even one; zeros
// if that is below 2^-120.
func MatMulCoded(y, x []float32, w cuda.Matrix) {
	for r := range len(y) / max(w.Rows, 1) {
		row := x[r*w.Cols:][:w.Cols]
		for o := range w.Rows {
			sum := float32(0)
			for at := 0; at < w.Cols; at += codeCols {
				codes, factor := codesOf(row[at:min(at+codeCols, w.Cols)])
				if w.Layout.Name == cuda.Q4K || w.Layout.Name == cuda.Q6K {
					sum = addK(sum, w, o, at, codes, factor)
					continue
				}
				whole := 0
				for i, c := range codes {
					whole += c * Code(w, o, at+i)
				}
				both := CodeFactor(w, o, at/codeCols) * factor
				sum += float32(float32(whole) * both) // the conversion keeps a compiler from fusing product and sum
			}
			y[r*w.Rows+o] = sum
		}
	}
}

// codesOf gives the codes of some numbers and what they are multiplied by.
func codesOf(x []float32) (codes []int, factor float32) {
	most := float32(0)
	for _, v := range x {
		if m := float32(math.Abs(float64(v))); m > most || m != m {
			most = m
		}
	}
	factor, codes = most*float32(1.0/127), make([]int, len(x))
	if most < 0x1p-120 { // 127 / most could be infinite
		return codes, factor
	}
	inverse := 127 / most
	for i, v := range x {
		codes[i] = int(math.RoundToEven(float64(v * inverse)))
	}
	return codes, factor
}
