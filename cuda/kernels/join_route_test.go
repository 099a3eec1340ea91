package kernels_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// join_route_test.go holds a router that is joined with what gives its logits to what both are by themselves.

// chosen is a router's op behind a product.
func chosen(product *cuda.Op, c spec.Routing) *cuda.Op {
	rows := product.Out[0].Rows()
	c.Experts = product.Out[0].Dim(1)
	op := routeOp(make([]int32, rows*c.TopK), filled(rows*c.TopK), product.Out[0].F32(), c)
	op.In[0] = product.Out[0]
	return op
}

func TestJoinedRoutersAreTheirParts(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(81)
		for i, s := range [][4]int{{1, 272, 128, 8}, {3, 128, 40, 3}, {16, 144, 24, 5}, {2, 528, 512, 10}, {1, 1056, 9, 1}, {11, 64, 36, 4}} {
			rows, cols, experts := s[0], s[1], s[2]
			x := F32(Random(rng, rows*cols), cols)
			how := spec.Routing{TopK: s[3], Sigmoid: i%2 == 1, Normalize: i%3 > 0, Epsilon: 1e-20, Scale: 1 + rng.Float32()}
			for _, normed := range []bool{false, true} {
				var first []*cuda.Op
				from := x
				if normed {
					first = []*cuda.Op{cuda.NewOp(cuda.OpRMSNorm).Gives(give(rows, cols)).Takes(x).By(Plain(rng, PlainTypes[rng.IntN(3)], 1, cols)).With(1e-6, 1)}
					from = first[0].Out[0]
				}
				product := func(outs int) *cuda.Op { return matmul(give(rows, outs), from, Plain(rng, cuda.BF16, outs, cols)) }
				router, gate := product(experts), product(1)
				allJoined(t, m, fmt.Sprint(s, normed), append(slices.Clone(first), router, chosen(router, how))...)
				allJoined(t, m, fmt.Sprint(s, normed, ", beside another"), append(slices.Clone(first), router, gate, chosen(router, how))...)
				allJoined(t, m, fmt.Sprint(s, normed, ", and its sigmoid"), append(slices.Clone(first), router, gate, sigmoid(give(rows, 1), gate.Out[0]), chosen(router, how))...)
				biased := how
				biased.Bias = Plain(rng, PlainTypes[i%3], 1, experts)
				allJoined(t, m, fmt.Sprint(s, normed, ", with a bias"), append(slices.Clone(first), router, chosen(router, biased))...)
				if experts%4 == 0 {
					biased.Groups, biased.TopGroups, biased.TopK = 4, 2, min(how.TopK, experts/4)
					allJoined(t, m, fmt.Sprint(s, normed, ", of groups"), append(slices.Clone(first), router, gate, chosen(router, biased))...)
				}
			}
		}
	})
}

func TestRoutersThatAreNotJoined(t *testing.T) {
	m := kerneltest.New(t, true, 132)
	rng := newRand(82)
	const cols, experts = 32, 16
	x := F32(Random(rng, cols), cols)
	product := func(outs int) *cuda.Op { return matmul(give(1, outs), x, Plain(rng, cuda.BF16, outs, cols)) }
	must := func(parts ...*cuda.Op) *cuda.Op { t.Helper(); return mustJoin(t, m, parts...) }
	router, gate, other := product(experts), product(1), product(experts)
	how := spec.Routing{TopK: 2, Scale: 1}
	choose := func(of *cuda.Op, index, weights cuda.Tensor) *cuda.Op {
		op := chosen(of, how)
		if !index.IsZero() {
			op.Out[0] = index
		}
		if !weights.IsZero() {
			op.Out[1] = weights
		}
		return op
	}
	eight := matmul(give(1, experts), x, codes(rng, cuda.Q8, experts, cols))
	many := matmul(give(17, experts), F32(Random(rng, 17*cols), cols), Plain(rng, cuda.BF16, experts, cols))
	wide, none := product(30_000), cuda.Tensor{}
	both := give(1, 3)
	whole := must(router, gate, chosen(router, how))
	for name, ops := range map[string][2]*cuda.Op{
		"by the second product":      {must(router, other), chosen(other, how)},
		"by a third's logits":        {must(router, gate), chosen(other, how)},
		"of three products":          {must(router, gate, other), chosen(router, how)},
		"of one that is added to":    {must(router, cuda.NewOp(cuda.OpAdd).Gives(give(1, experts)).Takes(give(1, experts), router.Out[0])), chosen(router, how)},
		"in codes":                   {eight, chosen(eight, how)},
		"of many rows":               {many, chosen(many, how)},
		"of more than there is room": {wide, chosen(wide, how)},
		"weights over the rows":      {router, choose(router, none, F32(x.F32()[:2], 2))},
		"weights over the logits":    {router, choose(router, none, F32(router.Out[0].F32()[4:6], 2))},
		"weights over the index":     {router, choose(router, View(BytesOf(both.F32()[:2]), cuda.I32, []int{2}), F32(both.F32()[1:], 2))},
		"chosen twice":               {whole, chosen(router, how)},
		"chosen, and more":           {whole, product(8)},
	} {
		var joined cuda.Op
		if m.Joins(ops[0]) && m.Join(&joined, ops[0], ops[1]) {
			t.Errorf("%s: joined", name)
		}
	}
}
