package kernels_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// join_projected_test.go holds queries, keys and values that are joined with what becomes of their heads to what all of it is by itself.

// projection is a layer's ops from its norm to its caches.
type projection struct {
	norm, q, k, v, qn, kn, qr, kr, wk, wv *cuda.Op
}

func (p *projection) normed() []*cuda.Op { return []*cuda.Op{p.norm, p.q, p.k, p.v} }
func (p *projection) heads() []*cuda.Op  { return []*cuda.Op{p.qn, p.kn, p.qr, p.kr, p.wk, p.wv} }

// sizes are sequences' lengths, columns of x, heads of queries, of keys, their size and how many pairs of it are turned.
type sizes struct {
	lengths                         []int
	cols, queries, keys, dim, pairs int
}

func newProjection(rng *rand.Rand, make func(*rand.Rand, int, int) cuda.Matrix, s sizes, typ cuda.DType, style cuda.RotaryStyle) *projection {
	g := pagesOf(rng, s.lengths, s.keys, 16)
	rows := len(g.Positions)
	turns := filled(rows * s.pairs * 2)
	spec.Angles(turns, g.Positions, spec.Axes{Count: 1}, Random(rng, s.pairs), 1)
	angles, pages := F32(turns, s.pairs, 2), Pages(g)
	vector := func(n int) cuda.Matrix { return Plain(rng, PlainTypes[rng.IntN(3)], 1, n) }
	p := &projection{norm: cuda.NewOp(cuda.OpRMSNorm).Gives(give(rows, s.cols)).Takes(F32(Random(rng, rows*s.cols), s.cols)).By(vector(s.cols)).With(1e-6, 1)}
	product := func(heads int) *cuda.Op {
		return matmul(give(rows, heads*s.dim), p.norm.Out[0], make(rng, heads*s.dim, s.cols))
	}
	heads := func(of *cuda.Op) cuda.Tensor { return F32(of.Out[0].F32(), of.Out[0].Dim(1)/s.dim, s.dim) }
	like := func(x cuda.Tensor) cuda.Tensor { return F32(filled(x.Len()), Dims(x)[1:]...) }
	norm := func(x cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpRMSNorm).Gives(like(x)).Takes(x).By(vector(s.dim)).With(1e-6, 1)
	}
	turn := func(x cuda.Tensor) *cuda.Op {
		return cuda.NewOp(cuda.OpRotate).Gives(like(x)).Takes(x, angles).At(0, int32(style))
	}
	write := func(x cuda.Tensor) *cuda.Op {
		cache, _ := cached(filled(g.Blocks*s.keys*16*s.dim), typ, s.keys, 16, s.dim)
		return cuda.NewOp(cuda.OpCacheWrite).Gives(cache).Takes(append([]cuda.Tensor{x}, pages...)...)
	}
	p.q, p.k, p.v = product(s.queries), product(s.keys), product(s.keys)
	p.qn, p.kn = norm(heads(p.q)), norm(heads(p.k))
	p.qr, p.kr = turn(p.qn.Out[0]), turn(p.kn.Out[0])
	p.wk, p.wv = write(p.kr.Out[0]), write(heads(p.v))
	return p
}

func TestJoinedProjectionsAreTheirParts(t *testing.T) {
	for name, make := range layoutsTested {
		if name == "f32" || name == "f8/odd" {
			continue // not on tensor cores
		}
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(91)
				for i, s := range []sizes{{[]int{1}, 272, 4, 2, 128, 64}, {[]int{3, 2}, 144, 2, 2, 16, 8}, {[]int{2}, 528, 3, 3, 13, 6}, {[]int{16}, 64, 2, 1, 64, 16}} {
					p := newProjection(rng, make, s, cacheTypes[i%len(cacheTypes)], []cuda.RotaryStyle{cuda.Half, cuda.Interleaved}[i%2])
					if name == "f8/bf16" || name == "f8/by row" { // tiles that have factors for each out stay by themselves if there are not as many
						if s.queries != s.keys {
							continue
						}
					}
					for _, multiprocessors := range []int{132, 1} {
						m.Multiprocessors = multiprocessors
						what := fmt.Sprint(s, " ", multiprocessors)
						allJoined(t, m, what, append(p.normed(), p.heads()...)...)
						allJoined(t, m, what+", as they are", append([]*cuda.Op{p.q, p.k, p.v}, p.heads()...)...)
					}
				}
			})
		})
	}
}

// Heads that are not normed, or not turned.
func TestJoinedProjectionsOfOtherModels(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(92)
		for i, typ := range cacheTypes {
			p := newProjection(rng, layoutsTested["bf16"], sizes{[]int{1, 2}, 144, 4, 2, 32, 8}, typ, cuda.Half)
			p.qr.In[0], p.kr.In[0] = p.qn.In[0], p.kn.In[0]
			allJoined(t, m, fmt.Sprint(i, ", without norms"), append(p.normed(), p.qr, p.kr, p.wk, p.wv)...)
			p.wk.In[0] = p.kn.Out[0]
			allJoined(t, m, fmt.Sprint(i, ", without a turn"), append(p.normed(), p.qn, p.kn, p.wk, p.wv)...)
		}
	})
}

func TestProjectionsThatAreNotJoined(t *testing.T) {
	m := kerneltest.New(t, true, 132)
	rng := newRand(93)
	must := func(parts ...*cuda.Op) *cuda.Op { t.Helper(); return mustJoin(t, m, parts...) }
	some := func() *projection {
		return newProjection(rng, layoutsTested["bf16"], sizes{[]int{2}, 64, 2, 2, 16, 8}, cuda.BF16, cuda.Half)
	}
	changed := func(op *cuda.Op, change func(op *cuda.Op)) *cuda.Op {
		other := *op
		change(&other)
		return &other
	}
	p, other := some(), some()
	three := must(p.normed()...)
	for name, ops := range map[string][2]*cuda.Op{
		"of two products":              {must(p.norm, p.q, p.k), p.qn},
		"keys first":                   {three, p.kn},
		"another's heads":              {three, other.qn},
		"with another eps":             {three, changed(p.qn, func(op *cuda.Op) { op.Floats[0] = 1e-5 })},
		"normed over what is read":     {three, changed(p.qn, func(op *cuda.Op) { op.Out[0] = F32(p.norm.In[0].F32()[:64], 2, 16) })},
		"normed over a product":        {three, changed(p.qn, func(op *cuda.Op) { op.Out[0] = p.kn.In[0] })},
		"normed over the normed rows":  {three, changed(p.qn, func(op *cuda.Op) { op.Out[0] = F32(p.norm.Out[0].F32()[:64], 2, 16) })},
		"turned by a product":          {three, changed(p.qr, func(op *cuda.Op) { op.In[0], op.In[1] = p.qn.In[0], F32(p.v.Out[0].F32()[:32], 8, 2) })},
		"values that are keys":         {must(append(p.normed(), p.heads()[:5]...)...), changed(p.wv, func(op *cuda.Op) { op.In[0] = p.kn.In[0] })},
		"another product":              {must(append(p.normed(), p.qn)...), other.q},
		"a sigmoid":                    {must(append(p.normed(), p.qn)...), sigmoid(give(2, 32), p.v.Out[0])},
		"all that there is, and more":  {must(append(p.normed(), p.heads()...)...), other.wv},
		"an experts' choice by values": {three, chosen(p.q, spec.Routing{TopK: 2, Scale: 1})},
	} {
		var joined cuda.Op
		if m.Joins(ops[0]) && m.Join(&joined, ops[0], ops[1]) {
			t.Errorf("%s: joined", name)
		}
	}
	wide := newProjection(rng, layoutsTested["bf16"], sizes{[]int{1}, 64, 700, 200, 4, 2}, cuda.BF16, cuda.Half) // more heads than counters
	if n := joined(t, m, "many heads", append(wide.normed(), wide.heads()...)...); n == 10 || !slices.Contains([]int{5, 6, 7, 8, 9}, n) {
		t.Errorf("%d ops of 10 are joined", n)
	}
}
