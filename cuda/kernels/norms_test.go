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

// normBound: a thread sums at most n/32 squares or so one after the other, halves come after that, and the sum's relative error is halved by
// the root; what is left are six roundings.
func normBound(n int, want []float32, more float64) func(int) float64 {
	return func(i int) float64 {
		return Eps * (float64(min(n, 512)/64+n/1024) + 20) * (math.Abs(float64(want[i])) + more)
	}
}

func TestNormsMatchTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(3)
		for _, s := range [][2]int{{1, 1}, {5, 3}, {9, 37}, {6, 128}, {3, 512}, {2, 513}, {3, 1024}, {2, 2560}, {1, 4099}, {1, 8192}} {
			n := s[1]
			x := Random(rng, s[0]*n)
			y, want := filled(len(x)), filled(len(x))
			for _, typ := range PlainTypes {
				w, b := Plain(rng, typ, 1, n), Plain(rng, typ, 1, n)
				what := fmt.Sprint(s, typ)
				op := cuda.NewOp(cuda.OpRMSNorm).Gives(F32(y, n)).Takes(F32(x, n)).By(w).With(1e-6, 1)
				m.Run(t, op)
				spec.RMSNorm(want, x, w, 1e-6, 1)
				Within(t, "rmsnorm "+what, y, want, normBound(n, want, 0))
				rowsAlone(t, m, op, n)
				inHalves(t, m, op, 0)
				op = cuda.NewOp(cuda.OpLayerNorm).Gives(F32(y, n)).Takes(F32(x, n)).By(w, b).With(1e-3)
				m.Run(t, op)
				spec.LayerNorm(want, x, w, b, 1e-3)
				Within(t, "layernorm "+what, y, want, normBound(n, want, 10))
				rowsAlone(t, m, op, n)
			}
			op := cuda.NewOp(cuda.OpL2Norm).Gives(F32(y, n)).Takes(F32(x, n)).With(1e-6)
			m.Run(t, op)
			spec.L2Norm(want, x, n, 1e-6)
			Within(t, fmt.Sprint("l2norm ", s), y, want, normBound(n, want, 0))
			rowsAlone(t, m, op, n)
			inHalves(t, m, op, 0)
		}
	})
}

// rowsAlone computes each row of n elements of an op's first operand by itself: nothing else changes.
func rowsAlone(t *testing.T, m *kerneltest.Machine, op *cuda.Op, n int) {
	t.Helper()
	all, x := op.Out[0].F32(), op.In[0].F32()
	for r := range len(x) / n {
		one, y := *op, filled(n)
		one.In[0], one.Out[0] = F32(x[r*n:(r+1)*n], n), F32(y, n)
		m.Run(t, &one)
		SameBits(t, fmt.Sprint(op.Code, ": row ", r, " alone"), y, all[r*n:(r+1)*n])
	}
}
