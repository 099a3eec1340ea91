package kernels_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

func routeOp(index []int32, weights, logits []float32, c spec.Routing) *cuda.Op {
	flag := func(b bool) int32 {
		if b {
			return 1
		}
		return 0
	}
	return cuda.NewOp(cuda.OpRoute).Gives(I32(index, c.TopK), F32(weights, c.TopK)).Takes(F32(logits, c.Experts)).By(c.Bias).With(c.Epsilon, c.Scale).
		At(flag(c.Sigmoid), int32(c.TopK), int32(c.Groups), int32(c.TopGroups), flag(c.Normalize))
}

// checkRoute holds a router to the specification. A score is an exponential, a sum of n and a division; a weight has a sum of k and a
// division more.
func checkRoute(t *testing.T, m *kerneltest.Machine, logits []float32, c spec.Routing) {
	t.Helper()
	rows := len(logits) / c.Experts
	index, want := make([]int32, rows*c.TopK), make([]int32, rows*c.TopK)
	weights, exact := filled(rows*c.TopK), filled(rows*c.TopK)
	m.Run(t, routeOp(index, weights, logits, c))
	spec.Route(want, exact, logits, c)
	if !slices.Equal(index, want) {
		t.Fatalf("%+v: chose %v, not %v", c, index, want)
	}
	Within(t, fmt.Sprintf("%+v", c), weights, exact, Relative(exact, float64(c.Experts/16+c.TopK+20)))
}

func TestRouteMatchesTheSpecification(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(31)
		for i := range 100 {
			c := spec.Routing{Sigmoid: i%2 == 1, Normalize: i%3 > 0, Epsilon: 1e-20, Scale: 1 + rng.Float32(), Experts: 2 + rng.IntN(90)}
			if i%5 == 4 {
				c.Groups = 1 + rng.IntN(40)
				c.Experts = c.Groups * (2 + rng.IntN(12))
				c.TopGroups = 1 + rng.IntN(c.Groups)
			}
			c.TopK = 1 + rng.IntN(c.Experts/max(c.Groups, 1))
			if i%7 > 3 {
				c.Bias = Plain(rng, PlainTypes[i%len(PlainTypes)], 1, c.Experts)
			}
			checkRoute(t, m, Random(rng, (1+rng.IntN(9))*c.Experts), c)
		}
		for _, experts := range []int{512, 4096, 10_000} {
			checkRoute(t, m, Random(rng, 3*experts), spec.Routing{Experts: experts, TopK: 22, Scale: 1, Normalize: true})
		}
	})
}

// What is equal, no number or infinite; a bias that is none.
func TestRouteOfWhatIsOdd(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		for _, c := range []struct {
			how    spec.Routing
			logits []float32
			index  []int32
		}{
			{spec.Routing{TopK: 3}, []float32{1, 1, 1, 1, 1}, []int32{0, 1, 2}},
			{spec.Routing{TopK: 2}, []float32{-200, -199, 100}, []int32{2, 1}},
			{spec.Routing{TopK: 2, Sigmoid: true}, []float32{nan, -50, 0}, []int32{2, 1}},
			{spec.Routing{TopK: 2, Sigmoid: true}, []float32{nan, nan, nan}, []int32{0, 1}},
			{spec.Routing{TopK: 1, Sigmoid: true}, []float32{0, inf}, []int32{1}},
			{spec.Routing{TopK: 1, Sigmoid: true, Groups: 2, TopGroups: 1}, []float32{0, 0, 0, 0}, []int32{0}},
			{spec.Routing{TopK: 1, Sigmoid: true, Bias: Matrix([]float32{nan, 0, 0}, cuda.F32, 1, 3)}, []float32{0, -1, -2}, []int32{1}},
		} {
			c.how.Experts, c.how.Scale = len(c.logits), 1
			index := make([]int32, c.how.TopK)
			m.Run(t, routeOp(index, filled(c.how.TopK), c.logits, c.how))
			if !slices.Equal(index, c.index) {
				t.Errorf("%+v of %v: chose %v, not %v", c.how, c.logits, index, c.index)
			}
		}
	})
}
