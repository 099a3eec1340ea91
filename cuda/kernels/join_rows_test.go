package kernels_test

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
)

// join_rows_test.go holds ops on elements and rows that are joined to what they are by themselves.

func columns(to, x cuda.Tensor, from int) *cuda.Op {
	return cuda.NewOp(cuda.OpColumns).Gives(to).Takes(x).At(int32(from))
}

func putColumns(to, x cuda.Tensor, from int) *cuda.Op {
	return cuda.NewOp(cuda.OpPutColumns).Gives(to).Takes(x).At(int32(from))
}

func l2norm(to, x cuda.Tensor) *cuda.Op {
	return cuda.NewOp(cuda.OpL2Norm).Gives(to).Takes(x).With(1e-6)
}

func TestJoinedRowsAreTheirParts(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(61)
		for _, rows := range []int{1, 3, 70} {
			x := F32(Random(rng, rows*60), 60)
			all := func(what string, parts ...*cuda.Op) {
				t.Helper()
				if n := joined(t, m, fmt.Sprint(rows, " rows, ", what), parts...); n != len(parts) {
					t.Fatalf("%d rows, %s: %d ops of %d are joined", rows, what, n, len(parts))
				}
			}
			all("columns", columns(give(rows, 16), x, 0), columns(give(rows, 7), x, 15), columns(give(rows, 4), x, 40), columns(give(rows, 60), x, 0), columns(give(rows, 1), x, 59))
			y := give(rows, 60)
			all("columns put side by side", putColumns(y, F32(Random(rng, rows*16), 16), 4), putColumns(y, F32(Random(rng, rows*5), 5), 55), putColumns(y, F32(Random(rng, rows*3), 3), 1))
			for _, n := range []int{64, 37, 700} {
				all("lengths", l2norm(F32(filled(rows*2*n), 2, n), F32(Random(rng, rows*2*n), 2, n)), l2norm(F32(filled(rows*3*n), 3, n), F32(Random(rng, rows*3*n), 3, n)))
			}
			for _, n := range []int{1, 60} {
				g := cuda.NewOp(cuda.OpSigmoid).Gives(give(rows, n)).Takes(F32(Random(rng, rows*n), n))
				all("a gate", g, cuda.NewOp(cuda.OpMul).Gives(give(rows, 60)).Takes(x, g.Out[0]))
			}
		}
	})
}

// What experts give is added up with what they are given and with another's result.
func TestJoinedSumsOfExperts(t *testing.T) {
	for _, fast := range []bool{false, true} {
		m := kerneltest.New(t, fast, 132)
		rng := newRand(62)
		for _, s := range mixedSizes {
			x := newMixed(rng, layoutsTested["bf16"], s[0], s[1], s[2], s[3], s[4], false)
			y, rows := give(x.rows, x.hidden), filled(x.rows*x.k*x.hidden)
			r, sum := F32(Random(rng, x.rows*x.hidden), x.hidden), give(x.rows, x.hidden)
			add := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpAdd).Gives(to).Takes(a, b) }
			if n := joined(t, m, fmt.Sprint(s), x.op(y.F32(), rows, 0, x.rows, x.rows*x.k), add(sum, y, F32(Random(rng, x.rows*x.hidden), x.hidden)), add(r, r, sum)); n != 3 {
				t.Fatalf("%v: %d ops of 3 are joined", s, n)
			}
			apart := cuda.NewOp(cuda.OpExpertSum).Gives(y).Takes(F32(rows, x.hidden), I32(x.index, x.k), F32(x.weights, x.k))
			if n := joined(t, m, fmt.Sprint(s, ", the sum"), apart, add(sum, r, y)); n != 2 {
				t.Fatalf("%v: a sum is not joined with what is added to it", s)
			}
		}
	}
}

func TestRowsThatAreNotJoined(t *testing.T) {
	m := kerneltest.New(t, true, 132)
	rng := newRand(63)
	x, other, y := F32(Random(rng, 60), 60), F32(Random(rng, 60), 60), give(1, 60)
	a, put, length := columns(give(1, 8), x, 0), putColumns(y, F32(Random(rng, 8), 8), 4), l2norm(give(1, 60), x)
	gate := cuda.NewOp(cuda.OpSigmoid).Gives(give(1, 60)).Takes(x)
	mul := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpMul).Gives(to).Takes(a, b) }
	add := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpAdd).Gives(to).Takes(a, b) }
	mixed := newMixed(rng, layoutsTested["bf16"], 1, 2, 4, 48, 32, false)
	sums, rows := give(1, 48), filled(2*48)
	experts, r := mixed.op(sums.F32(), rows, 0, 1, 2), F32(Random(rng, 48), 48)
	for name, ops := range map[string][2]*cuda.Op{
		"columns of another":              {a, columns(give(1, 8), other, 8)},
		"columns over what they are of":   {a, columns(F32(x.F32()[8:16], 8), x, 8)},
		"columns over others":             {a, columns(a.Out[0], x, 8)},
		"put into another":                {put, putColumns(give(1, 60), F32(Random(rng, 8), 8), 20)},
		"put over what was put":           {put, putColumns(y, F32(Random(rng, 8), 8), 11)},
		"put of what it is put into":      {put, putColumns(y, F32(y.F32()[30:34], 4), 20)},
		"lengths of other rows":           {length, l2norm(give(1, 30), F32(Random(rng, 30), 30))},
		"a length of a length":            {length, l2norm(give(1, 60), length.Out[0])},
		"a length over another's rows":    {length, l2norm(x, other)},
		"multiplied by something else":    {gate, mul(y, other, x)},
		"a gate multiplied by itself":     {gate, mul(y, gate.Out[0], gate.Out[0])},
		"a gate multiplied over its rows": {gate, mul(x, other, gate.Out[0])},
		"experts and something else":      {experts, add(give(1, 48), r, r)},
		"experts added to themselves":     {experts, add(give(1, 48), sums, sums)},
		"experts added over their rows":   {experts, add(experts.In[0], r, sums)},
		"experts' rows added":             {experts, add(give(1, 48), F32(rows[:48], 48), sums)},
	} {
		var joined cuda.Op
		if m.Join(&joined, ops[0], ops[1]) {
			t.Errorf("%s: joined", name)
		}
	}
}
