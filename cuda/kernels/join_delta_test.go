package kernels_test

import (
	"fmt"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// join_delta_test.go holds what is joined around the delta rule, and of latents before their cache, to what it is by itself.

func allJoined(t *testing.T, m *kerneltest.Machine, what string, parts ...*cuda.Op) {
	t.Helper()
	if n := joined(t, m, what, parts...); n != len(parts) {
		t.Fatalf("%s: %d ops of %d are joined", what, n, len(parts))
	}
}

// mustJoin gives what ops are as one.
func mustJoin(t *testing.T, m *kerneltest.Machine, parts ...*cuda.Op) *cuda.Op {
	t.Helper()
	all := *parts[0]
	for _, op := range parts[1:] {
		var next cuda.Op
		if !m.Joins(&all) || !m.Join(&next, &all, op) {
			t.Fatalf("%s and %s were not joined", all.Code, op.Code)
		}
		all = next
	}
	return &all
}

// flat is a tensor's rows with all that is in them side by side.
func flat(x cuda.Tensor, rows int) cuda.Tensor { return F32(x.F32(), x.Len()/rows) }

func sigmoid(to, x cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpSigmoid).Gives(to).Takes(x) }

// What is cut out of a product and put side by side; what is cut out of a convolution.
func TestJoinedCutsAreTheirParts(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(71)
		for _, s := range [][4]int{{1, 3, 8, 12}, {3, 2, 5, 7}, {70, 1, 16, 4}, {2, 4, 4, 6}} {
			rows, heads, k, v := s[0], s[1], s[2], s[3]
			u := F32(Random(rng, rows*heads*(2*k+2*v)), heads, 2*k+2*v)
			part := func(n int) cuda.Tensor { return F32(filled(rows*heads*n), heads, n) }
			parts := []*cuda.Op{columns(part(k), u, 0), columns(part(k), u, k), columns(part(v), u, 2*k), columns(part(v), u, 2*k+v)}
			y, at := give(rows, heads*(2*k+v)), 0
			for _, c := range parts[:3] {
				x := flat(c.Out[0], rows)
				parts = append(parts, putColumns(y, x, at))
				at += x.Dim(1)
			}
			allJoined(t, m, fmt.Sprint(s, ", put side by side"), parts...)

			channels, slots := heads*(2*k+v), rows+1
			ids, positions := make([]int32, rows), make([]int32, rows)
			for r := range rows { // two sequences, of which the second begins
				ids[r] = int32(r % 2)
				positions[r] = int32(r/2 + 3*(1-r%2))
			}
			conv := cuda.NewOp(cuda.OpCausalConv).Gives(give(rows, channels), F32(Random(rng, slots*3*channels), 3, channels)).Takes(y, I32(positions), I32(ids)).
				By(Plain(rng, PlainTypes[rng.IntN(3)], channels, 4))
			cut := func(from, to int) *cuda.Op { return columns(give(rows, to-from), conv.Out[0], from) }
			allJoined(t, m, fmt.Sprint(s, ", a convolution"), conv, cut(0, heads*k), cut(heads*k, 2*heads*k), cut(2*heads*k, channels), cut(1, 2))
		}
	})
}

// A row's gates and lengths; heads that are normed and gated.
func TestJoinedGatesAreTheirParts(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(72)
		for _, s := range [][4]int{{1, 4, 2, 64}, {3, 2, 3, 37}, {70, 1, 1, 512}} {
			rows, heads, n, dim := s[0], s[1], s[2], s[3]
			u := F32(Random(rng, rows*heads*2*n), heads, 2*n)
			b, a := columns(F32(filled(rows*heads*n), heads, n), u, 0), columns(F32(filled(rows*heads*n), heads, n), u, n)
			vector := func() cuda.Matrix { return Plain(rng, PlainTypes[rng.IntN(3)], 1, heads*n) }
			decay := cuda.NewOp(cuda.OpDecay).Gives(give(rows, heads*n)).Takes(flat(a.Out[0], rows)).By(vector(), vector())
			beta := sigmoid(give(rows, heads*n), flat(b.Out[0], rows))
			length := func() *cuda.Op {
				return l2norm(F32(filled(rows*heads*dim), heads, dim), F32(Random(rng, rows*heads*dim), heads, dim))
			}
			allJoined(t, m, fmt.Sprint(s, ", gates"), b, a, decay, beta, length(), length())
			allJoined(t, m, fmt.Sprint(s, ", without beta"), b, a, decay, length())

			x, z := F32(Random(rng, rows*heads*dim), heads, dim), F32(Random(rng, rows*heads*dim), heads, dim)
			norm := cuda.NewOp(cuda.OpRMSNorm).Gives(F32(filled(x.Len()), heads, dim)).Takes(x).By(Plain(rng, PlainTypes[rng.IntN(3)], 1, dim)).With(1e-6, 0)
			gate := func(to cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpSwiGLU).Gives(to).Takes(z, norm.Out[0]) }
			allJoined(t, m, fmt.Sprint(s, ", normed and gated"), norm, gate(F32(filled(x.Len()), heads, dim)))
			allJoined(t, m, fmt.Sprint(s, ", gated in place"), norm, gate(z))
		}
	})
}

// A latent and its key, from the product that gives them to the cache.
func TestJoinedLatentsAreTheirParts(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(73)
		for i, s := range []struct {
			lengths           []int
			rank, key, before int
		}{{[]int{1}, 512, 64, 0}, {[]int{3, 2}, 12, 6, 0}, {[]int{5}, 64, 4, 3}, {[]int{1, 1, 1, 1, 1}, 500, 24, 0}} {
			for _, typ := range cacheTypes {
				g := pagesOf(rng, s.lengths, 1, 16)
				rows, width := len(g.Positions), s.rank+s.key
				both := F32(Random(rng, rows*(s.before+width)), s.before+width)
				latent, key := columns(give(rows, s.rank), both, s.before), columns(give(rows, s.key), both, s.before+s.rank)
				norm := cuda.NewOp(cuda.OpRMSNorm).Gives(give(rows, s.rank)).Takes(latent.Out[0]).By(Plain(rng, PlainTypes[rng.IntN(3)], 1, s.rank)).With(1e-6, 0)
				angles := filled(rows * s.key)
				spec.Angles(angles, g.Positions, spec.Axes{Count: 1}, Random(rng, s.key/2), 1)
				turned := F32(filled(rows*s.key), 1, s.key)
				turn := cuda.NewOp(cuda.OpRotate).Gives(turned).Takes(F32(key.Out[0].F32(), 1, s.key), F32(angles, s.key/2, 2)).At(0, int32(i%2))
				row := give(rows, width)
				cache, _ := cached(filled(g.Blocks*16*width), typ, 1, 16, width)
				write := cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(append([]cuda.Tensor{F32(row.F32(), 1, width)}, Pages(g)...)...)
				allJoined(t, m, fmt.Sprint(s, typ), latent, key, norm, turn, putColumns(row, norm.Out[0], 0), putColumns(row, flat(turned, rows), s.rank), write)
			}
		}
	})
}

func TestWhatIsNotJoinedAroundThem(t *testing.T) {
	m := kerneltest.New(t, true, 132)
	rng := newRand(74)
	must := func(parts ...*cuda.Op) *cuda.Op { t.Helper(); return mustJoin(t, m, parts...) }
	u, other := F32(Random(rng, 32), 32), F32(Random(rng, 32), 32)
	a, b := columns(give(1, 8), u, 0), columns(give(1, 8), u, 8)
	y := give(1, 16)
	first := must(a, b, putColumns(y, a.Out[0], 0))
	vector := Plain(rng, cuda.F32, 1, 8)
	decay := func(to, x cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpDecay).Gives(to).Takes(x).By(vector, vector)
	}
	gates := must(a, b, decay(give(1, 8), b.Out[0]))
	whole := must(a, b, decay(give(1, 8), b.Out[0]), sigmoid(give(1, 8), a.Out[0]), l2norm(give(1, 8), other), l2norm(give(1, 8), u))
	norm := func(to, x cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpRMSNorm).Gives(to).Takes(x).By(vector).With(1e-6, 0)
	}
	normed := norm(give(1, 8), a.Out[0])
	latent := must(a, b, normed)
	turned := F32(filled(8), 1, 8)
	turn := func(to, x cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpRotate).Gives(to).Takes(x, F32(Random(rng, 8), 4, 2)).At(0, 0)
	}
	key := F32(b.Out[0].F32(), 1, 8)
	half := must(a, b, normed, turn(turned, key))
	x, z := F32(Random(rng, 16), 2, 8), F32(Random(rng, 16), 2, 8)
	heads := norm(F32(filled(16), 2, 8), x)
	gate := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpSwiGLU).Gives(to).Takes(a, b) }
	conv := cuda.NewOp(cuda.OpCausalConv).Gives(give(1, 32), F32(filled(64), 2, 32)).Takes(u, I32([]int32{0}), I32([]int32{0})).By(Plain(rng, cuda.F32, 32, 3))
	w := func() cuda.Matrix { return Plain(rng, cuda.BF16, 8, 32) }
	one, two := matmul(give(1, 8), u, w()), matmul(give(1, 8), u, w())
	scale := func(to, a, b cuda.Tensor) *cuda.Op { return cuda.NewOp(cuda.OpMul).Gives(to).Takes(a, b) }
	for name, ops := range map[string][2]*cuda.Op{
		"put at another place":           {must(a, b), putColumns(give(1, 16), a.Out[0], 1)},
		"the second put first":           {must(a, b), putColumns(give(1, 16), b.Out[0], 0)},
		"put over what it is cut out of": {must(a, b), putColumns(u, a.Out[0], 0)},
		"put into a third":               {first, putColumns(give(1, 16), b.Out[0], 8)},
		"put twice":                      {first, putColumns(y, a.Out[0], 8)},
		"cut behind what was put":        {first, columns(give(1, 8), u, 16)},
		"decay of the first":             {must(a, b), decay(give(1, 8), a.Out[0])},
		"decay of one part":              {b, decay(give(1, 8), b.Out[0])},
		"decay over its part":            {must(a, b), decay(b.Out[0], b.Out[0])},
		"a sigmoid of the second":        {gates, sigmoid(give(1, 8), b.Out[0])},
		"a sigmoid over a part":          {gates, sigmoid(a.Out[0], a.Out[0])},
		"a length of the decay":          {gates, l2norm(give(1, 8), gates.Out[0])},
		"a long row's length":            {gates, l2norm(give(1, 600), F32(Random(rng, 600), 600))},
		"a third length":                 {whole, l2norm(give(1, 8), other)},
		"the second part normed":         {must(a, b), norm(give(1, 8), b.Out[0])},
		"one part normed":                {a, norm(give(1, 8), a.Out[0])},
		"normed over what it is cut of":  {must(a, b), norm(F32(u.F32()[:8], 8), a.Out[0])},
		"the first turned":               {latent, turn(turned, F32(a.Out[0].F32(), 1, 8))},
		"turned over the other":          {latent, turn(F32(normed.Out[0].F32(), 1, 8), key)},
		"put before it is turned":        {must(a, b, normed, putColumns(y, normed.Out[0], 0)), putColumns(y, b.Out[0], 8)},
		"put before it is normed":        {half, putColumns(y, a.Out[0], 0)},
		"put into another row":           {half, putColumns(give(1, 17), normed.Out[0], 0)},
		"normed by another's gate":       {heads, gate(F32(filled(16), 2, 8), heads.Out[0], z)},
		"gated over what is normed":      {heads, gate(x, z, heads.Out[0])},
		"columns of another":             {conv, columns(give(1, 8), u, 0)},
		"columns over the rows":          {conv, columns(F32(u.F32()[:8], 8), conv.Out[0], 0)},
		"a fifth part":                   {must(conv, columns(give(1, 8), conv.Out[0], 0), columns(give(1, 8), conv.Out[0], 0), columns(give(1, 8), conv.Out[0], 0), columns(give(1, 8), conv.Out[0], 0)), columns(give(1, 8), conv.Out[0], 0)},
		"the sigmoid of one product":     {one, sigmoid(give(1, 8), one.Out[0])},
		"the sigmoid of the first":       {must(one, two), sigmoid(give(1, 8), one.Out[0])},
		"a sigmoid over the rows":        {must(one, two), sigmoid(F32(u.F32()[:8], 8), two.Out[0])},
		"a sigmoid, and more":            {must(one, two, sigmoid(give(1, 8), two.Out[0])), matmul(give(1, 8), u, w())},
		"scaled by more than a number":   {one, scale(give(1, 8), one.Out[0], F32(Random(rng, 8), 8))},
		"two products scaled":            {must(one, two), scale(give(1, 8), two.Out[0], F32(Random(rng, 1), 1))},
		"scaled by what is scaled":       {one, scale(give(1, 8), one.Out[0], F32(one.Out[0].F32()[:1], 1))},
	} {
		var joined cuda.Op
		if m.Joins(ops[0]) && m.Join(&joined, ops[0], ops[1]) {
			t.Errorf("%s: joined", name)
		}
	}
}
