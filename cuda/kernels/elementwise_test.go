package kernels_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// hard are numbers where functions of e^x go wrong.
var hard = []float32{0, 1, -1, 1e-30, 20, -20, 87, -87, 89, -89, 104, -104, 1000, -1000, 3e38, -3e38, 5, -5, -13, -13.9, -14.1, 14.1, float32(math.Copysign(0, -1))}

func TestElementsMatchTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(1)
		for _, n := range []int{1, 3, 4, 37, 1024, 1025, 4100} {
			a, b := Random(rng, n), Random(rng, n)
			copy(a, hard)
			y, want := filled(n), filled(n)
			one := func(code cuda.OpCode, numbers ...int32) *cuda.Op {
				return cuda.NewOp(code).Gives(F32(y, n)).Takes(F32(a, n)).At(numbers...)
			}
			two := func(code cuda.OpCode) *cuda.Op { return cuda.NewOp(code).Gives(F32(y, n)).Takes(F32(a, n), F32(b, n)) }
			check := func(op *cuda.Op, bound func(int) float64) {
				t.Helper()
				m.Run(t, op)
				Within(t, fmt.Sprint(op.Code, " of ", n), y, want, bound)
				inHalves(t, m, op, 0)
			}
			spec.Add(want, a, b)
			check(two(cuda.OpAdd), Relative(want, 0))
			spec.Mul(want, a, b)
			check(two(cuda.OpMul), Relative(want, 0))
			// e^x has an error of some 3 units in the last place; silu of what is beyond e^88 is a number below the normal ones, or 0
			small := func(roundings float64) func(int) float64 {
				return func(i int) float64 { return Relative(want, roundings)(i) + 0x1p-117 }
			}
			spec.SwiGLU(want, a, b)
			check(two(cuda.OpSwiGLU), small(12))
			spec.Sigmoid(want, a)
			check(one(cuda.OpSigmoid), small(10))
			// the error of u is that of e^u; the specification itself takes a number near 1 from 1, in double
			spec.GELU(want, a, true)
			check(one(cuda.OpGELU, int32(cuda.GELUTanh)), func(i int) float64 {
				x := math.Abs(float64(a[i]))
				return 8*Eps*math.Abs(float64(want[i]))*(1+1.6*(x+0.0447*x*x*x)) + 0x1p-52*x + 0x1p-117
			})
			spec.GELU(want, a, false)
			check(one(cuda.OpGELU, int32(cuda.GELUErf)), func(i int) float64 { // the polynomial is 3e-8 off
				return 16*Eps*math.Abs(float64(want[i])) + 0x1p-117
			})
		}
	})
}

func TestRowsTimesFactorsAndPlusARow(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(2)
		for _, s := range [][2]int{{1, 1}, {3, 5}, {7, 64}, {33, 100}} {
			x, y := Random(rng, s[0]*s[1]), Random(rng, s[0])
			z, want := filled(len(x)), filled(len(x))
			op := cuda.NewOp(cuda.OpMul).Gives(F32(z, s[1])).Takes(F32(x, s[1]), F32(y, 1))
			m.Run(t, op)
			spec.Mul(want, x, y)
			SameBits(t, fmt.Sprint("mul ", s), z, want)
			inHalves(t, m, op, 0, 1)
			for _, typ := range PlainTypes {
				w := Plain(rng, typ, 1, s[1])
				op := cuda.NewOp(cuda.OpAddRow).Gives(F32(z, s[1])).Takes(F32(x, s[1])).By(w)
				m.Run(t, op)
				spec.AddRow(want, x, w)
				SameBits(t, fmt.Sprint("add_row ", s, typ), z, want)
				inHalves(t, m, op, 0)
			}
		}
	})
}
