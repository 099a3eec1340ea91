package cpu_test

// formed_test.go is the rows of products that follow each other, which kernels bring into their form once.

import (
	"math/rand/v2"
	"testing"
)

// TestProductsOfTheSameRows are what each is alone, whatever form the layouts of those before want, and whatever was at the same place before.
func TestProductsOfTheSameRows(t *testing.T) {
	eachNumerics(t, func(t *testing.T, d *device) {
		rng, alone := rand.New(rand.NewPCG(5, 5)), newDevice(t, 1, lastName(t))
		const in, out = 300, 50
		for _, rows := range []int{1, 7, 40} {
			x := make([]float32, rows*in)
			for range 3 {
				copy(x, random(rng, len(x)))
				for i, at := range rng.Perm(2 * len(layouts)) {
					w := randomMatrix(rng, layouts[at/2], out, in)
					got, want := make([]float32, rows*out), make([]float32, rows*out)
					op := matmul(got, x, w)
					if i > 0 {
						op.At(1)
					}
					d.run(t, op)
					alone.run(t, matmul(want, x, w))
					sameBits(t, layouts[at/2]+shape(rows, i), got, want)
				}
			}
		}
	})
}
