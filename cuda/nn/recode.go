// Codes that q8 or q4 can have as they are: nothing is made of them but another order.

package nn

import (
	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/weights"
)

// fits says that a form has codes for the whole numbers that codes are. In q8 there is none for -128, which becomes -127: it is the end of a
// range whose other end is 127, and no further off than what rounding all to other levels would cost.
func fits(c weights.Coded, form string) bool {
	w, whole := c.(weights.Whole)
	if !whole {
		return false
	}
	least, most := w.Range()
	return form == cuda.Q8 && least >= -128 && most <= 127 || form == cuda.Q4 && least >= -8 && most <= 7
}

// together is how many rows become codes at once: codes that lie by input are read by whole lines of memory, in all that they have.
const together = 64

// recode makes some rows of a weight. from is a multiple of 16.
func (z *Quantiser) recode(dst cuda.Matrix, w weights.Whole, from, to int) error {
	per := cuda.CodeBlocks(dst.Cols)
	least, _ := w.Range()
	inParallel((to-from+together-1)/together, func(a, b int) {
		codes, factors := make([]int8, together*dst.Cols), make([]float32, together*per)
		for row := from + a*together; row < min(to, from+b*together); row += together {
			n := min(together, to-row)
			codes, factors := codes[:n*dst.Cols], factors[:n*per]
			w.Codes(codes, factors, row)
			if least < -127 {
				for i, c := range codes {
					codes[i] = max(c, -127)
				}
			}
			putCodes(dst, row, codes, factors)
		}
	})
	if z.Read != nil {
		z.Read(w.File(from, to))
	}
	return nil
}
