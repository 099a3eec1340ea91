package kernels_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// join_test.go holds joined ops to the ops that they are made of, bit by bit.

// joined runs ops one by one, and then, joined one after the other, as one: after each all results are those that the ops had by themselves. It says
// how many could be joined.
func joined(t *testing.T, m *kerneltest.Machine, what string, parts ...*cuda.Op) int {
	t.Helper()
	var results []cuda.Tensor
	for _, op := range parts {
		out, _, _ := op.Operands()
		results = append(results, out...)
	}
	before := make([][]byte, len(results))
	for i, y := range results {
		before[i] = slices.Clone(y.Raw())
	}
	want := make([][][]byte, len(parts)) // after each op
	for i, op := range parts {
		m.Run(t, op)
		for _, y := range results {
			want[i] = append(want[i], slices.Clone(y.Raw()))
		}
	}
	all := *parts[0]
	for i, op := range parts[1:] {
		var next cuda.Op
		if !m.Joins(&all) || !m.Join(&next, &all, op) {
			return i + 1
		}
		all = next
		for j, y := range results {
			copy(y.Raw(), before[j])
		}
		m.Run(t, &all)
		for j, y := range results {
			if !bytes.Equal(y.Raw(), want[i+1][j]) {
				t.Fatalf("%s: result %d of %d ops is another than by themselves", what, j, i+2)
			}
		}
	}
	return len(parts)
}

func give(rows, n int) cuda.Tensor { return F32(filled(rows*n), n) }

func matmul(to, x cuda.Tensor, w cuda.Matrix) *cuda.Op {
	return cuda.NewOp(cuda.OpMatMul).Gives(to).Takes(x).By(w)
}

// TestJoinedProductsAreTheirParts: a norm, products, and what becomes of them.
func TestJoinedProductsAreTheirParts(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(51)
				for _, s := range [][3]int{{1, 272, 40}, {3, 16, 9}, {16, 144, 33}, {2, 528, 24}, {1, 1056, 70}, {17, 144, 8}} {
					rows, cols, outs := s[0], s[1], s[2]
					x := F32(Random(rng, rows*cols), cols)
					norm := func() *cuda.Op {
						return cuda.NewOp(cuda.OpRMSNorm).Gives(give(rows, cols)).Takes(x).By(Plain(rng, PlainTypes[rng.IntN(3)], 1, cols)).With(1e-6, 1)
					}
					product := func(x cuda.Tensor, outs int) *cuda.Op { return matmul(give(rows, outs), x, make(rng, outs, cols)) }
					fits := name != "f32" && name != "f8/odd" && (name[:2] != "f8" || cols%16 == 0) && rows <= 16
					expect := func(what string, n int, parts ...*cuda.Op) {
						t.Helper()
						if !fits {
							n = 1
						}
						if got := joined(t, m, fmt.Sprint(s, ", ", what), parts...); got != n {
							t.Fatalf("%v, %s: %d ops are joined, not %d", s, what, got, n)
						}
					}
					beside := func(n int) int { // tiles that have factors for each out stay by themselves if there are not as many
						if name == "f8/bf16" || name == "f8/by row" {
							return min(n, 1)
						}
						return n
					}
					for _, normed := range []bool{false, true} {
						var first []*cuda.Op
						from := x
						if normed {
							first = []*cuda.Op{norm()}
							from = first[0].Out[0]
						}
						before := len(first)
						parts := append(slices.Clone(first), product(from, outs), product(from, outs))
						expect("gated", before+3, append(parts, cuda.NewOp(cuda.OpSwiGLU).Gives(give(rows, outs)).Takes(parts[before].Out[0], parts[before+1].Out[0]))...)
						expect("beside each other", before+beside(3), append(slices.Clone(first), product(from, outs), product(from, outs+11), product(from, 5))...)
						several := append(slices.Clone(first), product(from, outs), product(from, outs))
						expect("the sigmoid of the last", before+3, append(several, sigmoid(give(rows, outs), several[before+1].Out[0]))...)
						one := product(from, outs)
						expect("scaled", before+2, append(slices.Clone(first), one, cuda.NewOp(cuda.OpMul).Gives(give(rows, outs)).Takes(one.Out[0], F32(Random(rng, rows), 1)))...)
						r := F32(Random(rng, rows*outs), outs)
						expect("added", before+2, append(slices.Clone(first), one, cuda.NewOp(cuda.OpAdd).Gives(give(rows, outs)).Takes(r, one.Out[0]))...)
						expect("added in place", before+2, append(slices.Clone(first), one, cuda.NewOp(cuda.OpAdd).Gives(r).Takes(one.Out[0], r))...)
					}
				}
			})
		})
	}
}

// Slices that blocks share, which meet in a launch of their own, have something added there, too.
func TestSlicesOfNormedRowsHaveSomethingAdded(t *testing.T) {
	rng := newRand(53)
	const rows, cols, outs = 2, 6144, 24
	for _, fast := range []bool{false, true} {
		m := kerneltest.New(t, fast, 132)
		m.Shared = 20 << 10 // of a block, which has some of the slices
		norm := cuda.NewOp(cuda.OpRMSNorm).Gives(give(rows, cols)).Takes(F32(Random(rng, rows*cols), cols)).By(Plain(rng, cuda.BF16, 1, cols)).With(1e-6, 0)
		one := matmul(give(rows, outs), norm.Out[0], Plain(rng, cuda.BF16, outs, cols))
		if n := joined(t, m, "slices", norm, one, cuda.NewOp(cuda.OpAdd).Gives(give(rows, outs)).Takes(F32(Random(rng, rows*outs), outs), one.Out[0])); n != 3 {
			t.Errorf("%d ops of 3 are joined", n)
		}
		if n := joined(t, m, "slices that are scaled", one, cuda.NewOp(cuda.OpMul).Gives(give(rows, outs)).Takes(one.Out[0], F32(Random(rng, rows), 1))); n != 2 {
			t.Errorf("%d ops of 2 are joined", n)
		}
	}
}

// TestJoinedHeadsAreTheirParts: norms of queries and keys, their turn, and what is written to caches.
func TestJoinedHeadsAreTheirParts(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(54)
		for _, c := range []struct {
			lengths                         []int
			queries, keys, dim, pairs, from int
			value                           int
		}{{[]int{1}, 4, 2, 128, 64, 0, 128}, {[]int{3, 2}, 2, 1, 64, 32, 0, 96}, {[]int{2}, 2, 2, 13, 4, 3, 5}, {[]int{5}, 1, 1, 512, 64, 0, 512}, {[]int{1, 1}, 6, 3, 256, 32, 0, 256}} {
			g := pagesOf(rng, c.lengths, c.keys, 16)
			rows := len(g.Positions)
			angles := filled(rows * c.pairs * 2)
			spec.Angles(angles, g.Positions, spec.Axes{Count: 1}, Random(rng, c.pairs), 1)
			heads := func(n, dim int) cuda.Tensor { return F32(Random(rng, rows*n*dim), n, dim) }
			norm := func(x cuda.Tensor) *cuda.Op {
				return cuda.NewOp(cuda.OpRMSNorm).Gives(F32(filled(x.Len()), Dims(x)[1:]...)).Takes(x).By(Plain(rng, PlainTypes[rng.IntN(3)], 1, x.Dim(2))).With(1e-6, 1)
			}
			turn := func(x cuda.Tensor, style cuda.RotaryStyle) *cuda.Op {
				return cuda.NewOp(cuda.OpRotate).Gives(F32(filled(x.Len()), Dims(x)[1:]...)).Takes(x, F32(angles, c.pairs, 2)).At(int32(c.from), int32(style))
			}
			for i, typ := range cacheTypes {
				style := []cuda.RotaryStyle{cuda.Half, cuda.Interleaved}[i%2]
				turns := F32(angles, c.pairs, 2)
				pages := Pages(g)
				write := func(x cuda.Tensor) *cuda.Op {
					cache, _ := cached(filled(g.Blocks*c.keys*16*x.Dim(2)), typ, c.keys, 16, x.Dim(2))
					return cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(append([]cuda.Tensor{x}, pages...)...)
				}
				q, k, v := heads(c.queries, c.dim), heads(c.keys, c.dim), heads(c.keys, c.value)
				qn, kn := norm(q), norm(k)
				qr, kr := turn(qn.Out[0], style), turn(kn.Out[0], style)
				qr.In[1], kr.In[1] = turns, turns
				what := fmt.Sprint(c, typ)
				if n := joined(t, m, what, qn, kn, qr, kr, write(kr.Out[0]), write(v)); n != 6 {
					t.Fatalf("%s: %d ops of 6 are joined", what, n)
				}
				qr, kr = turn(q, style), turn(k, style)
				qr.In[1], kr.In[1] = turns, turns
				if n := joined(t, m, what+" without norms", qr, kr, write(kr.Out[0]), write(v)); n != 4 {
					t.Fatalf("%s without norms: %d ops of 4 are joined", what, n)
				}
				if n := joined(t, m, what+" without a turn", qn, kn, write(kn.Out[0]), write(v)); n != 4 {
					t.Fatalf("%s without a turn: %d ops of 4 are joined", what, n)
				}
			}
		}
	})
}

func TestWhatIsNotJoined(t *testing.T) {
	m := kerneltest.New(t, true, 132)
	rng := newRand(52)
	const cols, outs = 32, 32
	v, w, eight := Plain(rng, cuda.BF16, outs, cols), Plain(rng, cuda.BF16, outs, cols), codes(rng, cuda.Q8, outs, cols)
	x, y := F32(Random(rng, cols), cols), F32(Random(rng, cols), cols)
	a := matmul(give(1, outs), x, v)
	to := give(1, outs)
	must := func(a, b *cuda.Op) *cuda.Op { t.Helper(); return mustJoin(t, m, a, b) }
	pair := must(a, matmul(to, x, w))
	gate := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpSwiGLU).Gives(to).Takes(a, b) }
	add := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpAdd).Gives(to).Takes(a, b) }
	norm := func(to, x cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpRMSNorm).Gives(to).Takes(x).By(Plain(rng, cuda.F32, 1, x.Dim(-1))).With(1e-6, 0)
	}
	normed := norm(give(1, cols), x)
	short, _ := x.F32(), y
	overlaps := F32(short[:cols], cols)
	one := make([]float32, outs+4)
	here, there := F32(one[:outs], outs), F32(one[4:], outs)

	g := pagesOf(rng, []int{2}, 1, 16)
	other := pagesOf(rng, []int{2}, 1, 16)
	heads := func() cuda.Tensor { return F32(Random(rng, 2*cols), 1, cols) }
	write := func(cache, x cuda.Tensor, g []cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(append([]cuda.Tensor{x}, g...)...)
	}
	angles, turns := F32(Random(rng, 2*cols), cols/2, 2), F32(Random(rng, 2*cols), cols/2, 2)
	turn := func(to, x, angles cuda.Tensor, from int32) *cuda.Op {
		return cuda.NewOp(cuda.OpRotate).Gives(to).Takes(x, angles).At(from, 0)
	}
	few := F32(Random(rng, cols), cols/4, 2)
	q, k, value := heads(), heads(), heads()
	pages := Pages(g)
	cache := func() cuda.Tensor { c, _ := cached(filled(g.Blocks*16*cols), cuda.BF16, 1, 16, cols); return c }
	qn, kr := norm(heads(), q), heads()
	turned := turn(heads(), q, angles, 0)
	both := must(turned, turn(kr, k, angles, 0))
	keys := cache()
	written := must(both, write(keys, kr, pages))

	for name, ops := range map[string][2]*cuda.Op{
		"other rows":                        {a, matmul(to, y, w)},
		"another number of columns":         {a, matmul(to, F32(Random(rng, 2*cols), 2*cols), Plain(rng, cuda.BF16, outs, 2*cols))},
		"another layout":                    {a, matmul(to, x, eight)},
		"a result over the rows":            {a, matmul(x, x, w)},
		"a result over the first":           {a, matmul(a.Out[0], x, w)},
		"a fourth product":                  {must(pair, matmul(give(1, 8), x, Plain(rng, cuda.BF16, 8, cols))), matmul(give(1, outs), x, w)},
		"another op":                        {a, add(to, x, x)},
		"a product added to itself":         {a, add(to, a.Out[0], a.Out[0])},
		"added over the rows":               {a, add(x, y, a.Out[0])},
		"added over the product":            {a, add(a.Out[0], y, a.Out[0])},
		"added beside what is added":        {a, add(there, here, a.Out[0])},
		"two products added":                {pair, add(give(1, outs), pair.Out[0], pair.Out[1])},
		"a sum, and more":                   {must(a, add(give(1, outs), y, a.Out[0])), matmul(give(1, outs), x, w)},
		"one gated by itself":               {a, gate(to, a.Out[0], a.Out[0])},
		"the second gating":                 {pair, gate(y, pair.Out[1], pair.Out[0])},
		"gated over the rows":               {pair, gate(x, pair.Out[0], pair.Out[1])},
		"gated over a gate":                 {pair, gate(pair.Out[0], pair.Out[0], pair.Out[1])},
		"a norm over its rows":              {norm(x, x), matmul(to, x, w)},
		"rows that are not normed":          {normed, matmul(to, x, w)},
		"a result over what was normed":     {normed, matmul(overlaps, normed.Out[0], w)},
		"a result over what a norm gives":   {normed, matmul(normed.Out[0], normed.Out[0], w)},
		"norms of one and the same":         {qn, norm(heads(), qn.Out[0])},
		"another eps":                       {qn, cuda.NewOp(cuda.OpRMSNorm).Gives(heads()).Takes(k).By(Plain(rng, cuda.F32, 1, cols)).With(1e-5, 0)},
		"a norm over queries":               {qn, norm(q, k)},
		"a norm over the other":             {qn, norm(qn.Out[0], k)},
		"turned by other angles":            {turned, turn(heads(), k, turns, 0)},
		"values turned, too":                {must(turn(heads(), q, few, 0), turn(heads(), k, few, 0)), turn(heads(), value, few, 0)},
		"turned from elsewhere":             {turn(heads(), q, few, 0), turn(heads(), k, few, 4)},
		"turned twice":                      {turned, turn(heads(), turned.Out[0], angles, 0)},
		"turned over queries":               {turned, turn(q, k, angles, 0)},
		"queries to a cache":                {both, write(cache(), turned.Out[0], pages)},
		"keys before their turn":            {both, write(cache(), k, pages)},
		"values of other positions":         {written, write(cache(), value, Pages(other))},
		"keys and values to one cache":      {written, write(keys, value, pages)},
		"values that are keys as they were": {written, write(cache(), kr, pages)},
		"a third write":                     {must(written, write(cache(), value, pages)), write(cache(), heads(), pages)},
	} {
		var joined cuda.Op
		if m.Join(&joined, ops[0], ops[1]) {
			t.Errorf("%s: joined", name)
		}
	}
	long := F32(Random(rng, 2*600), 1, 600)
	for name, op := range map[string]*cuda.Op{
		"many rows":          matmul(give(17, outs), F32(Random(rng, 17*cols), cols), v),
		"weights in f32":     matmul(give(1, outs), x, Plain(rng, cuda.F32, outs, cols)),
		"a long head":        norm(F32(filled(2*600), 1, 600), long),
		"heads in bf16":      norm(BF16(make([]uint16, 2*cols), 1, cols), BF16(make([]uint16, 2*cols), 1, cols)),
		"all that there is":  must(written, write(cache(), value, pages)),
		"what is gated":      must(pair, gate(give(1, outs), pair.Out[0], pair.Out[1])),
		"an op of elements":  add(to, x, x),
		"a write by itself":  write(cache(), value, pages),
		"a norm of one head": norm(F32(filled(2*600), 1, 600), long),
	} {
		if m.Joins(op) {
			t.Errorf("%s may be joined", name)
		}
	}
}
