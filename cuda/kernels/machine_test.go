package kernels_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
)

// machine_test.go is what tests of kernels need: machines that use a GPU's freedom in different ways.

// eachMachine runs a test with copies late and at once, warps in turn and in any order, operands aligned and not, for exact numerics.
func eachMachine(t *testing.T, f func(t *testing.T, m *kerneltest.Machine)) {
	everyMachine(t, false, f)
}

// eachFast is eachMachine for fast numerics.
func eachFast(t *testing.T, f func(t *testing.T, m *kerneltest.Machine)) { everyMachine(t, true, f) }

func everyMachine(t *testing.T, fast bool, f func(t *testing.T, m *kerneltest.Machine)) {
	late, eager := kerneltest.New(t, fast, 132), kerneltest.New(t, fast, 1)
	eager.Shift, eager.Eager, eager.Order = 4, true, 9
	t.Run("late", func(t *testing.T) { f(t, late) })
	t.Run("eager", func(t *testing.T) { f(t, eager) })
}

// inHalves runs an op whose activations are bf16: it is the op on the same numbers in f32, rounded once.
func inHalves(t *testing.T, m *kerneltest.Machine, op *cuda.Op, takes ...int) {
	t.Helper()
	wide, narrow := *op, *op
	for _, i := range takes {
		narrow.In[i] = Narrow(op.In[i])
		wide.In[i] = Wide(narrow.In[i])
	}
	wide.Out[0] = F32(make([]float32, op.Out[0].Len()), Dims(op.Out[0])[1:]...)
	narrow.Out[0] = BF16(make([]uint16, op.Out[0].Len()), Dims(op.Out[0])[1:]...)
	copy(wide.Out[0].F32(), op.Out[0].F32())
	if put := Narrow(op.Out[0]); op.Code == cuda.OpPutColumns {
		copy(narrow.Out[0].Raw(), put.Raw())
	}
	m.Run(t, &wide)
	m.Run(t, &narrow)
	SameBits(t, fmt.Sprint(op.Code, " in bf16"), Wide(narrow.Out[0]).F32(), Wide(Narrow(wide.Out[0])).F32())
}

func newRand(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 1)) }

func filled(n int) []float32 { return make([]float32, n) }
