package cpu_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// sample_test.go has one op of each kind, for what must be true of all of them.

// The sizes of samples: no multiples of a vector.
const (
	sampleWidth = 37
	sampleHeads = 6
	sampleDim   = 20
)

// sample is an op on some rows of numbers like those of a model.
func sample(rng *rand.Rand, code cuda.OpCode, rows int) *cuda.Op {
	const n, heads, dim = sampleWidth, sampleHeads, sampleDim
	floats := func(dims ...int) cuda.Tensor { // rows of them
		each := 1
		for _, d := range dims {
			each *= d
		}
		return f32(random(rng, rows*each), dims...)
	}
	upTo := func(most int) []int32 {
		list := make([]int32, rows)
		for i := range list {
			list[i] = int32(rng.IntN(most))
		}
		return list
	}
	weights := func(rows, cols int) cuda.Matrix { return randomMatrix(rng, "bf16", rows, cols) }
	heads3 := func() cuda.Tensor { return floats(heads, dim) }
	op, none := cuda.NewOp(code), cuda.Tensor{}
	switch code {
	case cuda.OpEmbed:
		return op.Gives(floats(n)).Takes(i32(upTo(50))).By(weights(50, n))
	case cuda.OpMatMul:
		return op.Gives(floats(11)).Takes(floats(n)).By(weights(11, n))
	case cuda.OpCopy, cuda.OpSigmoid:
		return op.Gives(floats(n)).Takes(floats(n))
	case cuda.OpGather:
		return op.Gives(floats(n)).Takes(floats(n), i32(upTo(rows)))
	case cuda.OpColumns:
		return op.Gives(floats(9)).Takes(floats(n)).At(5)
	case cuda.OpPutColumns:
		return op.Gives(floats(n)).Takes(floats(9)).At(5)
	case cuda.OpIndexCopy, cuda.OpIndexAdd:
		return op.Gives(floats(n)).Takes(floats(n), i32(upTo(rows)), floats(n))
	case cuda.OpAdd, cuda.OpMul, cuda.OpSwiGLU:
		return op.Gives(floats(n)).Takes(floats(n), floats(n))
	case cuda.OpGELU:
		return op.Gives(floats(n)).Takes(floats(n)).At(1)
	case cuda.OpAddRow:
		return op.Gives(floats(n)).Takes(floats(n)).By(weights(1, n))
	case cuda.OpRMSNorm:
		return op.Gives(floats(n)).Takes(floats(n)).By(weights(1, n)).With(1e-6, 1)
	case cuda.OpLayerNorm:
		return op.Gives(floats(n)).Takes(floats(n)).By(weights(1, n), weights(1, n)).With(1e-6)
	case cuda.OpL2Norm:
		return op.Gives(floats(n)).Takes(floats(n)).With(1e-6)
	case cuda.OpAngles:
		return op.Gives(floats(5, 2)).Takes(i32(upTo(1000)), f32(random(rng, 5)), none).With(1)
	case cuda.OpRotate:
		return op.Gives(heads3()).Takes(heads3(), floats(5, 2)).At(3, 1)
	case cuda.OpLatentQuery:
		return op.Gives(floats(heads, 30+5)).Takes(heads3()).By(weights(heads*22, 30)).At(15)
	case cuda.OpLatentValue:
		return op.Gives(floats(heads, 7)).Takes(floats(heads, 30)).By(weights(heads*22, 30))
	case cuda.OpHeadsFirst:
		return op.Gives(f32(random(rng, heads*rows*(12+9)), rows, 12+9)).Takes(heads3(), floats(1, 9)).At(8)
	case cuda.OpAttendStart:
		return op.Gives(floats(heads, dim+2))
	case cuda.OpAttendTile:
		acc := floats(heads, dim+2)
		for i := dim + 1; i < acc.Len(); i += dim + 2 {
			acc.F32()[i] = 3 // the sum of weights
		}
		k, v := f32(random(rng, 2*70*dim), 70, dim), f32(random(rng, 2*70*dim), 70, dim)
		return op.Gives(acc).Takes(heads3(), k, v, i32(upTo(140))).With(0.3).At(64)
	case cuda.OpAttendDone:
		acc := floats(heads, dim+2)
		for i := range acc.F32() {
			acc.F32()[i] += 7
		}
		return op.Gives(heads3()).Takes(acc)
	case cuda.OpCausalConv, cuda.OpDeltaRule:
		return sampleState(rng, code, rows)
	case cuda.OpDecay:
		return op.Gives(floats(n)).Takes(floats(n)).By(weights(1, n), weights(1, n))
	case cuda.OpRoute:
		return op.Gives(i32(upTo(1)), floats(1)).Takes(floats(n), none).By(weights(1, n)).With(1e-20, 2).At(1, 1, 0, 0, 1)
	case cuda.OpExperts:
		m := newMixture(rng, "bf16", rows, 9, 3, n, 13)
		return m.op(make([]float32, rows*n), make([]float32, rows*3*n))
	case cuda.OpExpertSum:
		m := newMixture(rng, "bf16", rows, 9, 3, n, 13)
		return expertSum(make([]float32, rows*n), random(rng, rows*3*n), m)
	case cuda.OpArgmax:
		return op.Gives(i32(upTo(1)), floats()).Takes(floats(n))
	case cuda.OpTopK:
		return op.Gives(i32(slices.Repeat(upTo(1), 4), 4), floats(4)).Takes(floats(n))
	}
	return sampleCache(rng, code, rows)
}

// sampleCache is an op on a paged cache.
func sampleCache(rng *rand.Rand, code cuda.OpCode, rows int) *cuda.Op {
	kvHeads := sampleHeads / 2
	if code == cuda.OpLatentAttention {
		kvHeads = 1
	}
	s := newScene(rng, []int{rows}, kvHeads, sampleHeads/kvHeads, sampleDim, sampleDim, 64)
	for i := range s.k {
		if s.k[i] != s.k[i] {
			s.k[i], s.v[i] = 0, 0
		}
	}
	cache := f32(s.k, kvHeads, 64, sampleDim)
	switch code {
	case cuda.OpCacheWrite:
		return cacheWrite(cache, f32(random(rng, rows*kvHeads*sampleDim), kvHeads, sampleDim), s.g)
	case cuda.OpCacheRead:
		return cacheRead(make([]float32, rows*kvHeads*sampleDim), s.k, s.g, 0, 0, sampleDim)
	case cuda.OpAttention:
		return s.attention(make([]float32, len(s.q)), s.q, s.g)
	case cuda.OpLatentAttention:
		s.vdim = 13
		return s.latentAttention(make([]float32, rows*s.heads*s.vdim), s.q, s.g)
	}
	panic(fmt.Sprint("sample_test.go does not say what operands ", code, " takes"))
}

// sampleState is an op on a recurrent state.
func sampleState(rng *rand.Rand, code cuda.OpCode, rows int) *cuda.Op {
	if code == cuda.OpCausalConv {
		c := newConvolution(rng, "bf16", sampleWidth, 4, rows)
		return causalConv(make([]float32, len(c.x)), c.x, c.w, c.state, c.rows)
	}
	j := newJourney(rng, deltaShape{2, 4, 24, 20}, 2, 1, rows, rows/2)
	return deltaRule(make([]float32, len(j.V)), j.state, j.Delta)
}

// again is the op once more, with results of its own that hold what those of the first do.
func again(op *cuda.Op) *cuda.Op {
	copied := *op
	out, _, _ := op.Operands()
	for i, t := range out {
		copied.Out[i] = clone(t)
	}
	return &copied
}

func clone(t cuda.Tensor) cuda.Tensor {
	if t.IsZero() {
		return t
	}
	return view(slices.Clone(t.Raw()), t.DType(), dimsOf(t)[1:])
}

func dimsOf(t cuda.Tensor) []int {
	dims := make([]int, t.NDim())
	for i := range dims {
		dims[i] = t.Dim(i)
	}
	return dims
}

// narrow is a tensor of f32 in bf16, and wide the other way round.
func narrow(t cuda.Tensor) cuda.Tensor { return bf16(spec.Round(t.F32()), dimsOf(t)[1:]...) }

func wide(t cuda.Tensor) cuda.Tensor {
	halves := make([]uint16, t.Len())
	copy(bytesOf(halves), t.Raw())
	return f32(spec.Widen(halves), dimsOf(t)[1:]...)
}

// fixed are the operands of an op that are f32 whatever its activations are: states and running sums, angles, weights of experts, and
// the room that experts work in. The first number is of results, the second of what it takes.
var fixed = map[cuda.OpCode][2][]int{
	cuda.OpAngles:      {nil, {1}},
	cuda.OpRotate:      {nil, {1}},
	cuda.OpAttendStart: {{0}, nil},
	cuda.OpAttendTile:  {{0}, nil},
	cuda.OpAttendDone:  {nil, {0}},
	cuda.OpCausalConv:  {{1}, nil},
	cuda.OpDeltaRule:   {{1}, nil},
	cuda.OpRoute:       {{1}, nil},
	cuda.OpExperts:     {{1, 2}, {2}},
	cuda.OpExpertSum:   {nil, {2}},
}

// half makes activations of an op bf16: what it takes, what it gives, or both. Beside it is the same in f32: what bf16 can hold, widened.
func half(op *cuda.Op, takes, gives bool) (narrowed, widened *cuda.Op) {
	a, b := again(op), again(op)
	out, in, _ := op.Operands()
	for i, t := range out {
		if gives && t.DType() == cuda.F32 && !t.IsZero() && !slices.Contains(fixed[op.Code][0], i) {
			a.Out[i] = narrow(t)
			b.Out[i] = wide(a.Out[i])
		}
	}
	for i, t := range in {
		if takes && t.DType() == cuda.F32 && !t.IsZero() && !slices.Contains(fixed[op.Code][1], i) {
			a.In[i] = narrow(t)
			b.In[i] = wide(a.In[i])
		}
	}
	return a, b
}

// numbers are a tensor's elements as f32.
func numbers(t cuda.Tensor) []float32 {
	switch t.DType() {
	case cuda.BF16:
		return wide(t).F32()
	case cuda.I32:
		x := make([]float32, t.Len())
		for i, n := range t.I32() {
			x[i] = math.Float32frombits(uint32(n))
		}
		return x
	}
	return t.F32()
}
