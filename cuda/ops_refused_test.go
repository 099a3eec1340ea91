package cuda_test

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// ops_refused_test.go holds what keeps kernels within their operands: indices out of range and shapes that do not fit, which a Step
// refuses before any device sees them.

// sizes is a step in which any weight, state and activation can be had.
type sizes struct {
	*cuda.Step
	t *testing.T
	m *cuda.Module
}

func newSizes(t *testing.T) sizes {
	t.Helper()
	c := cpu.New(1)
	m := &cuda.Module{ID: "layers.0"}
	s := cuda.NewStep([]cuda.Device{c}, []*cuda.Module{m}, nil)
	must(t, s.Reserve(0, cuda.Sizes{Step: 1 << 16, Even: 1 << 16}))
	t.Cleanup(func() { s.Release(0); s.Close(); c.Close() })
	return sizes{s, t, m}
}

// x is an activation, w a weight and state a state, all of zeros.
func (s sizes) x(shape ...int) cuda.Tensor {
	return s.InputF32(make([]float32, product(shape)), shape...)
}

func (s sizes) w(shape ...int) *cuda.Weight {
	return bind(s.t, "w", s.m, tensor(s.t, make([]float32, product(shape)), shape...))
}

func (s sizes) state(shape ...int) *cuda.State {
	return cuda.NewState("state", s.m, tensor(s.t, make([]float32, product(shape)), shape...))
}

// in8Bits is a weight in 8-bit floats with one factor.
func (s sizes) in8Bits(rows, cols int) *cuda.Weight {
	l, err := cuda.BlockScaled(128, 128, cuda.F32)
	must(s.t, err)
	m, err := cuda.HostMatrix(l, rows, cols, make([]byte, rows*cols), make([]byte, 4))
	must(s.t, err)
	w := cuda.NewWeight(rows, cols)
	if rows == 1 {
		w = cuda.NewWeight(cols)
	}
	w.Bind("w", s.m, m)
	return w
}

// refuses makes a pass of each call and expects an error with its text, and that nothing goes on after it.
func (s sizes) refuses(calls map[string]func()) {
	s.t.Helper()
	for want, call := range calls {
		want, _, _ = strings.Cut(want, "|") // what is behind it tells cases with one text apart
		s.Begin()
		call()
		if err := s.End(); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			s.t.Errorf("error %v\nwant  ... %s ...", err, want)
		}
	}
}

// TestIndicesOutOfRangeAreRefused, in every op that looks something up.
func TestIndicesOutOfRangeAreRefused(t *testing.T) {
	s := newSizes(t)
	ids := func(list ...int32) cuda.Tensor { return s.Input(list) }
	rows := func(change func(*cuda.DeltaRows)) cuda.DeltaRows {
		r := cuda.DeltaRows{Q: s.x(2, 1, 3), K: s.x(2, 1, 3), V: s.x(2, 2, 4), G: s.x(2, 2), Beta: s.x(2, 2), Positions: ids(0, 1), Slots: ids(0, 1), Forms: ids(0, 1)}
		change(&r)
		return r
	}
	s.refuses(map[string]func(){
		"input: -1 (at 1) | a token":         func() { s.Embed(ids(0, -1), s.w(11, 2)) },
		"embed by w: 11 is not among 11":     func() { s.Embed(ids(3, 11, 0), s.w(11, 2)) },
		"gather: 2 is not among 2":           func() { s.Gather(s.x(2, 3), ids(0, 2)) },
		"input: -2147483648 (at 0) | a row":  func() { s.Gather(s.x(2, 3), ids(math.MinInt32)) },
		"input: 2147483647 (at 0)":           func() { s.Gather(s.x(2, 3), ids(math.MaxInt32)) },
		"index_copy: 3 is not among 3":       func() { s.IndexCopy(s.x(3, 2), ids(1, 3), s.x(2, 2)) },
		"index_add: 4 is not among 3":        func() { s.IndexAdd(s.x(3, 2), ids(4), s.x(1, 2)) },
		"causal_conv by w: 2 is not among 2": func() { s.CausalConv(s.x(2, 3), s.w(3, 1, 4), s.state(2, 3, 3), ids(0, 1), ids(0, 2)) },
		"delta_rule: 2 is not among 2":       func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Slots = ids(2, 0) }), s.state(2, 2, 3, 4), 1) },
		"input: -1 (at 0) | a slot":          func() { s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Slots = ids(-1, 0) }), s.state(2, 2, 3, 4), 1) },
		"input: -1 (at 1) | a position": func() {
			s.DeltaRule(rows(func(r *cuda.DeltaRows) { r.Positions = ids(0, -1) }), s.state(2, 2, 3, 4), 1)
		},
		"angles: shapes do not fit | axis 3 of 3":       func() { s.AnglesByAxis(s.Input(make([]int32, 6), 2, 3), []float32{1, 2}, []int32{0, 3}, 1) },
		"input: -1 (at 0) | an axis":                    func() { s.AnglesByAxis(s.Input(make([]int32, 6), 2, 3), []float32{1}, []int32{-1}, 1) },
		"embed by w: shapes do not fit | by floats":     func() { s.Embed(s.x(3), s.w(11, 2)) },
		"gather: shapes do not fit | by floats":         func() { s.Gather(s.x(3, 2), s.x(2)) },
		"embed by w: shapes do not fit | not looked at": func() { s.Embed(unseen(t, 2), s.w(11, 2)) },
		"gather: shapes do not fit | not looked at":     func() { s.Gather(s.x(3, 2), unseen(t, 2)) },
		"causal_conv by w: shapes do not fit | unseen": func() {
			s.CausalConv(s.x(2, 3), s.w(3, 1, 4), s.state(2, 3, 3), ids(0, 1), unseen(t, 2))
		},
		"for 3 experts": func() { s.Experts(s.x(1, 2), s.Input([]int32{0, 3}, 1, 2), s.x(1, 2), s.mixture(3)) },
	})
}

// unseen is integers that no step has looked at.
func unseen(t *testing.T, n int) cuda.Tensor {
	x, err := cuda.FromI32(make([]int32, n))
	must(t, err)
	return x
}

func (s sizes) mixture(experts int) *cuda.Mixture {
	list := make([]cuda.ExpertWeights, experts)
	for i := range list {
		list[i] = cuda.ExpertWeights{Gate: s.w(4, 2), Up: s.w(4, 2), Down: s.w(2, 4)}
	}
	return cuda.NewMixture(list)
}

// uneven is a mixture whose second expert is another.
func (s sizes) uneven(gate, up, down *cuda.Weight) *cuda.Mixture {
	return cuda.NewMixture([]cuda.ExpertWeights{{Gate: s.w(4, 2), Up: s.w(4, 2), Down: s.w(2, 4)}, {Gate: gate, Up: up, Down: down}})
}

// TestBlocksThatAreNotThereAreRefused: every way a table can point outside a cache, when it comes in or when it meets the cache.
func TestBlocksThatAreNotThereAreRefused(t *testing.T) {
	type batch struct {
		positions, seqs, tables []int32
		width, blocks, size     int
	}
	s := newSizes(t)
	spoiled := func(spoil func(b *batch)) cuda.Pages { // 70 positions of one sequence in blocks 1 and 2 of 4
		b := batch{make([]int32, 70), make([]int32, 70), []int32{1, 2}, 2, 4, 64}
		for i := range b.positions {
			b.positions[i] = int32(i)
		}
		spoil(&b)
		return s.Pages(b.positions, b.seqs, b.tables, b.width, b.blocks, b.size)
	}
	good := func(*batch) {}
	attend := func(heads, blocks, kvHeads, size int, spoil func(b *batch)) {
		p := spoiled(spoil)
		keys, values := s.state(blocks, kvHeads, size, 4), s.state(blocks, kvHeads, size, 5)
		s.Attention(s.x(70, heads, 4), keys, values, p, 1)
	}
	s.Begin()
	attend(2, 4, 1, 64, good)
	must(t, s.End())
	s.refuses(map[string]func(){
		"input: row 64: block 1 of sequence 0 is 4 of 4": func() { attend(2, 4, 1, 64, func(b *batch) { b.tables[1] = 4 }) },
		"input: row 0: block 0 of sequence 0 is -1 of 4": func() { attend(2, 4, 1, 64, func(b *batch) { b.tables[0] = -1 }) },
		"input: row 3: position -1 of sequence 0":        func() { attend(2, 4, 1, 64, func(b *batch) { b.positions[3] = -1 }) },
		"input: row 3: position 128 of sequence 0":       func() { attend(2, 4, 1, 64, func(b *batch) { b.positions[3] = 128 }) },
		"input: row 3: position 3 of sequence 1":         func() { attend(2, 4, 1, 64, func(b *batch) { b.seqs[3] = 1 }) },
		"input: row 3: position 3 of sequence -1":        func() { attend(2, 4, 1, 64, func(b *batch) { b.seqs[3] = -1 }) },
		"input: row 69: block 1 of sequence 1 is 4 of 4": func() {
			attend(2, 4, 1, 64, func(b *batch) { b.tables, b.seqs[69] = []int32{1, 2, 3, 4}, 1 }) // that of the first is looked at, too
		},
		"input: 70 positions, 69 sequences":           func() { attend(2, 4, 1, 64, func(b *batch) { b.seqs = b.seqs[1:] }) },
		"input: 70 positions, 70 sequences, 3 blocks": func() { attend(2, 4, 1, 64, func(b *batch) { b.tables = append(b.tables, 0) }) },
		"tables of 0":             func() { attend(2, 4, 1, 64, func(b *batch) { b.width = 0 }) },
		"blocks of -64 positions": func() { attend(2, 4, 1, 64, func(b *batch) { b.size = -64 }) },
		"attention: shapes do not fit | a smaller cache":        func() { attend(2, 3, 1, 64, good) },
		"attention: shapes do not fit | smaller blocks":         func() { attend(2, 4, 1, 32, good) },
		"attention: shapes do not fit | heads not shared":       func() { attend(3, 4, 2, 64, good) },
		"attention: shapes do not fit | no kv heads":            func() { attend(2, 4, 0, 64, good) },
		"attention: shapes do not fit | fewer rows":             func() { s.Attention(s.x(69, 2, 4), s.state(4, 1, 64, 4), s.state(4, 1, 64, 4), spoiled(good), 1) },
		"attention: shapes do not fit | other keys":             func() { s.Attention(s.x(70, 2, 5), s.state(4, 1, 64, 4), s.state(4, 1, 64, 4), spoiled(good), 1) },
		"attention: shapes do not fit | fewer values":           func() { s.Attention(s.x(70, 2, 4), s.state(4, 1, 64, 4), s.state(3, 1, 64, 4), spoiled(good), 1) },
		"attention: an operand is no tensor":                    func() { s.Attention(s.x(70, 2, 4), s.state(4, 1, 64, 4), s.state(4, 1, 64, 4), cuda.Pages{}, 1) },
		"cache_write: shapes do not fit | other heads":          func() { s.CacheWrite(s.state(4, 2, 64, 4), s.x(70, 1, 4), spoiled(good)) },
		"cache_write: shapes do not fit | other elements":       func() { s.CacheWrite(s.state(4, 1, 64, 4), s.x(70, 1, 5), spoiled(good)) },
		"cache_write: shapes do not fit | a smaller cache":      func() { s.CacheWrite(s.state(3, 1, 64, 4), s.x(70, 1, 4), spoiled(good)) },
		"cache_write: shapes do not fit | more rows":            func() { s.CacheWrite(s.state(4, 1, 64, 4), s.x(71, 1, 4), spoiled(good)) },
		"latent_attention: shapes do not fit | a smaller cache": func() { s.LatentAttention(s.x(70, 2, 4), s.state(3, 1, 64, 4), 3, spoiled(good), 1) },
		"cache_read: positions 60 to 70 of sequence 0":          func() { s.CacheRead(s.state(4, 1, 64, 4), spoiled(good), 0, 60, 11) },
		"cache_read: positions -1 to 0 of sequence 0":           func() { s.CacheRead(s.state(4, 1, 64, 4), spoiled(good), 0, -1, 2) },
		"cache_read: positions 0 to 0 of sequence 1":            func() { s.CacheRead(s.state(4, 1, 64, 4), spoiled(good), 1, 0, 1) },
		"cache_read: positions 0 to 0 of sequence -1":           func() { s.CacheRead(s.state(4, 1, 64, 4), spoiled(good), -1, 0, 1) },
		"cache_read: positions 69 to 2147483715 of sequence 0":  func() { s.CacheRead(s.state(4, 1, 64, 4), spoiled(good), 0, 69, math.MaxInt32) },
		"cache_read: shapes do not fit | a smaller cache":       func() { s.CacheRead(s.state(3, 1, 64, 4), spoiled(good), 0, 0, 1) },
		"cache_read: shapes do not fit | smaller blocks":        func() { s.CacheRead(s.state(4, 1, 32, 4), spoiled(good), 0, 0, 1) },
		"of sequence 0 are outside | pages came in after these": func() {
			first := spoiled(func(b *batch) { b.positions, b.seqs = b.positions[:2], b.seqs[:2] })
			spoiled(good)
			s.CacheRead(s.state(4, 1, 64, 4), first, 0, 0, 3)
		},
	})
}

// TestOperandsOfOtherSizesAreRefused by each op that is not in TestShapesThatDoNotFitAreToldByTheirOp or about deltas and experts.
func TestOperandsOfOtherSizesAreRefused(t *testing.T) {
	s := newSizes(t)
	none, acc := cuda.Tensor{}, func() cuda.Tensor { return s.AttendStart(2, 2, 5) }
	limits := func() cuda.Tensor { return s.Input(make([]int32, 2)) }
	tile := func(acc, q, k, v cuda.Tensor) func() {
		return func() { s.AttendTile(acc, q, k, v, limits(), 0, 1) }
	}
	s.Begin()
	good := [4]cuda.Tensor{acc(), s.x(2, 2, 4), s.x(1, 3, 4), s.x(1, 3, 5)}
	tile(good[0], good[1], good[2], good[3])()
	must(t, s.End())
	s.refuses(map[string]func(){
		"matmul by w: shapes do not fit | rows of another length": func() { s.MatMul(s.x(2, 3), s.w(5, 4)) },
		"matmul by w: shapes do not fit | one dimension":          func() { s.MatMul(s.x(4), s.w(5, 4)) },
		"matmul by w: shapes do not fit | integers":               func() { s.MatMul(s.Input(make([]int32, 4), 1, 4), s.w(5, 4)) },
		"matmul: an operand is no tensor | no weight":             func() { s.MatMul(s.x(2, 3), nil) },
		"matmul by w: an operand is no tensor | no rows":          func() { s.MatMul(none, s.w(5, 4)) },
		"rmsnorm by w: shapes do not fit | another length":        func() { s.RMSNorm(s.x(2, 3), s.w(4), 1, 0) },
		"rmsnorm by w: shapes do not fit | a matrix":              func() { s.RMSNorm(s.x(2, 3), s.w(2, 3), 1, 0) },
		"rmsnorm by w: shapes do not fit | in 8 bits":             func() { s.RMSNorm(s.x(2, 3), s.in8Bits(1, 3), 1, 0) },
		"layernorm by w: shapes do not fit | a shorter shift":     func() { s.LayerNorm(s.x(2, 3), s.w(3), s.w(2), 1) },
		"layernorm by w: an operand is no tensor":                 func() { s.LayerNorm(s.x(2, 3), s.w(3), nil, 1) },
		"add_row by w: shapes do not fit | in 8 bits":             func() { s.AddRow(s.x(2, 3), s.in8Bits(1, 3)) },
		"add: shapes do not fit":                                  func() { s.Add(s.x(2, 3), s.x(3, 2)) },
		"swiglu: shapes do not fit":                               func() { s.SwiGLU(s.x(2, 3), s.x(2, 4)) },
		"mul: shapes do not fit | more factors":                   func() { s.Mul(s.x(2, 3), s.x(2, 4)) },
		"mul: shapes do not fit | factors of other rows":          func() { s.Mul(s.x(2, 3), s.x(3, 1)) },
		"l2norm: shapes do not fit":                               func() { s.L2Norm(s.x(2), 1) },
		"gelu: an operand is no tensor":                           func() { s.GELU(none, cuda.GELUErf) },
		"angles: shapes do not fit | no frequency":                func() { s.Angles(s.Input([]int32{1}), nil, 1) },
		"angles: shapes do not fit | floats":                      func() { s.Angles(s.x(2), []float32{1}, 1) },
		"angles: shapes do not fit | two dimensions":              func() { s.Angles(s.Input([]int32{1, 2}, 1, 2), []float32{1}, 1) },
		"angles: shapes do not fit | fewer axes":                  func() { s.AnglesByAxis(s.Input([]int32{1, 2}, 1, 2), []float32{1, 2}, []int32{1}, 1) },
		"angles: shapes do not fit | one dimension":               func() { s.AnglesByAxis(s.Input([]int32{1, 2}), []float32{1}, []int32{0}, 1) },
		"rotate: shapes do not fit | beyond the head":             func() { s.RotateFrom(s.x(2, 1, 6), 3, s.x(2, 2, 2), cuda.Half) },
		"rotate: shapes do not fit | before the head":             func() { s.RotateFrom(s.x(2, 1, 6), -1, s.x(2, 2, 2), cuda.Half) },
		"rotate: shapes do not fit | angles of other rows":        func() { s.Rotate(s.x(2, 1, 6), s.x(3, 2, 2), cuda.Half) },
		"rotate: shapes do not fit | no pairs":                    func() { s.Rotate(s.x(2, 1, 6), s.x(2, 2, 3), cuda.Half) },
		"columns: 2 to 5 of":                                      func() { s.Columns(s.x(2, 4), 2, 5) },
		"columns: -1 to 2 of":                                     func() { s.Columns(s.x(2, 4), -1, 2) },
		"gather: shapes do not fit | two dimensions":              func() { s.Gather(s.x(2, 3), s.Input([]int32{0, 1}, 1, 2)) },
		"index_copy: shapes do not fit | fewer rows":              func() { s.IndexCopy(s.x(3, 2), s.Input([]int32{0, 1}), s.x(1, 2)) },
		"index_add: shapes do not fit | other columns":            func() { s.IndexAdd(s.x(3, 2), s.Input([]int32{0}), s.x(1, 3)) },
		"latent_query by w: 0 elements of a query":                func() { s.LatentQuery(s.x(2, 2, 8), s.w(10, 4), 0) },
		"latent_query by w: shapes do not fit | no heads":         func() { s.LatentQuery(s.x(2, 0, 8), s.w(10, 4), 1) },
		"latent_value by w: keys of -1 elements":                  func() { s.LatentValue(s.x(2, 2, 4), s.w(10, 4), -1) },
		"attend_start: 2 rows of 2 heads with values of 0":        func() { s.AttendStart(2, 2, 0) },
		"attend_start: -1 rows":                                   func() { s.AttendStart(-1, 2, 3) },
		"attend_tile: shapes do not fit | another state":          func() { tile(s.AttendStart(2, 2, 4), s.x(2, 2, 4), s.x(1, 3, 4), s.x(1, 3, 5))() },
		"attend_tile: shapes do not fit | more rows of state":     func() { tile(s.AttendStart(3, 2, 5), s.x(2, 2, 4), s.x(1, 3, 4), s.x(1, 3, 5))() },
		"attend_tile: shapes do not fit | other queries":          func() { tile(acc(), s.x(2, 2, 5), s.x(1, 3, 4), s.x(1, 3, 5))() },
		"attend_tile: shapes do not fit | fewer values":           func() { tile(acc(), s.x(2, 2, 4), s.x(1, 3, 4), s.x(1, 2, 5))() },
		"attend_tile: shapes do not fit | uneven heads":           func() { tile(acc(), s.x(2, 2, 4), s.x(3, 3, 4), s.x(3, 3, 5))() },
		"attend_tile: shapes do not fit | no kv heads":            func() { tile(acc(), s.x(2, 2, 4), s.x(0, 3, 4), s.x(0, 3, 5))() },
		"attend_tile: a tile begins at position -64":              func() { s.AttendTile(acc(), s.x(2, 2, 4), s.x(1, 3, 4), s.x(1, 3, 5), limits(), -64, 1) },
		"attend_done: shapes do not fit":                          func() { s.AttendDone(s.x(2, 2)) },
		"heads_first: elements 2 to 2 of":                         func() { s.HeadsFirst(s.x(2, 2, 3), 2, 2, none) },
		"heads_first: elements -1 to 2 of":                        func() { s.HeadsFirst(s.x(2, 2, 3), -1, 2, none) },
		"heads_first: shapes do not fit | a tail of heads":        func() { s.HeadsFirst(s.x(2, 2, 3), 0, 2, s.x(2, 2, 1)) },
		"decay by w: shapes do not fit | another bias":            func() { s.Decay(s.x(2, 3), s.w(3), s.w(4)) },
		"argmax: shapes do not fit | no columns":                  func() { s.Argmax(s.x(2, 0)) },
		"argmax: shapes do not fit | one dimension":               func() { s.Argmax(s.x(2)) },
		"top_k: 0 of f32 (2, 3)":                                  func() { s.TopK(s.x(2, 3), 0) },
		"top_k: 4 of f32 (2, 3)":                                  func() { s.TopK(s.x(2, 3), 4) },
		"top_k: shapes do not fit":                                func() { s.TopK(s.Input([]int32{1}, 1, 1), 1) },
		"experts: expert 1 is f32 (5, 2) on cpu": func() {
			s.Experts(s.x(2, 2), s.Input([]int32{0, 0}, 2, 1), s.x(2, 1), s.uneven(s.w(5, 2), s.w(5, 2), s.w(2, 5)))
		},
		"experts: expert 1 is f32 (4, 2) on cpu, f32 (4, 2) on cpu and no matrix": func() {
			s.Experts(s.x(2, 2), s.Input([]int32{0, 0}, 2, 1), s.x(2, 1), s.uneven(s.w(4, 2), s.w(4, 2), cuda.NewWeight(2, 4)))
		},
		"experts: an operand is no tensor | a weight is missing": func() {
			s.Experts(s.x(2, 2), s.Input([]int32{0, 0}, 2, 1), s.x(2, 1), s.uneven(s.w(4, 2), s.w(4, 2), nil))
		},
		"experts: an operand is no tensor | no mixture": func() { s.Experts(s.x(2, 2), s.Input([]int32{0, 0}, 2, 1), s.x(2, 1), nil) },
	})
	if _, err := cuda.MatrixOf(mustTensor(cuda.HostTensor(make([]byte, 4), cuda.F8E4M3, 2, 2))); err == nil {
		t.Error("8-bit floats without their factors are a matrix")
	}
}

func mustTensor(x cuda.Tensor, err error) cuda.Tensor {
	if err != nil {
		panic(err) // a mistake of the test's
	}
	return x
}

// TestDeltaRowsMustAgree, and with the state.
func TestDeltaRowsMustAgree(t *testing.T) {
	s := newSizes(t)
	rule := func(slots, heads int, change func(*cuda.DeltaRows)) func() {
		return func() {
			i := s.Input([]int32{0, 1})
			r := cuda.DeltaRows{Q: s.x(2, 1, 3), K: s.x(2, 1, 3), V: s.x(2, 2, 4), G: s.x(2, 2), Beta: s.x(2, 2), Positions: i, Slots: i, Forms: i}
			change(&r)
			s.DeltaRule(r, s.state(slots, heads, 3, 4), 1)
		}
	}
	s.Begin()
	rule(2, 2, func(*cuda.DeltaRows) {})()
	must(t, s.End())
	const want = "delta_rule: shapes do not fit |"
	s.refuses(map[string]func(){
		want + "fewer slots than rows":      rule(2, 2, func(r *cuda.DeltaRows) { r.Slots = r.Slots.Slice(0, 1) }),
		want + "fewer positions":            rule(2, 2, func(r *cuda.DeltaRows) { r.Positions = r.Positions.Slice(0, 1) }),
		want + "fewer forms":                rule(2, 2, func(r *cuda.DeltaRows) { r.Forms = r.Forms.Slice(0, 1) }),
		want + "forms that are floats":      rule(2, 2, func(r *cuda.DeltaRows) { r.Forms = s.x(2) }),
		want + "another beta":               rule(2, 2, func(r *cuda.DeltaRows) { r.Beta = s.x(2, 3) }),
		want + "another g":                  rule(2, 2, func(r *cuda.DeltaRows) { r.G = s.x(1, 2) }),
		want + "other keys than queries":    rule(2, 2, func(r *cuda.DeltaRows) { r.K = s.x(2, 1, 2) }),
		want + "keys that are not shared":   rule(2, 2, func(r *cuda.DeltaRows) { r.Q, r.K = s.x(2, 3, 3), s.x(2, 3, 3) }),
		want + "no keys":                    rule(2, 2, func(r *cuda.DeltaRows) { r.Q, r.K = s.x(2, 0, 3), s.x(2, 0, 3) }),
		want + "values of another size":     rule(2, 2, func(r *cuda.DeltaRows) { r.V = s.x(2, 2, 5) }),
		want + "a state of other heads":     rule(2, 3, func(*cuda.DeltaRows) {}),
		"delta_rule: 1 is not among 1":      rule(1, 2, func(*cuda.DeltaRows) {}),
		"delta_rule: an operand is no tens": func() { s.DeltaRule(cuda.DeltaRows{}, nil, 1) },
	})
}

// TestRouteRefusesWhatItCannotChoose.
func TestRouteRefusesWhatItCannotChoose(t *testing.T) {
	s := newSizes(t)
	route := func(experts int, bias *cuda.Weight, o cuda.RouteOptions) func() {
		return func() { s.Route(s.x(1, experts), bias, o) }
	}
	s.refuses(map[string]func(){
		"route: 0 of 8 experts":                              route(8, nil, cuda.RouteOptions{}),
		"route: 9 of 8 experts":                              route(8, nil, cuda.RouteOptions{TopK: 9}),
		"route: 8 experts in 3 groups":                       route(8, nil, cuda.RouteOptions{TopK: 1, Groups: 3, TopGroups: 1}),
		"route: 8 experts in 8 groups":                       route(8, nil, cuda.RouteOptions{TopK: 1, Groups: 8, TopGroups: 1}),
		"route: 8 experts in -1 groups":                      route(8, nil, cuda.RouteOptions{TopK: 1, Groups: -1}),
		"route: 1 of 2 groups of 4 for 5 experts":            route(8, nil, cuda.RouteOptions{TopK: 5, Groups: 2, TopGroups: 1}),
		"route: 3 of 2 groups of 4 for 1 experts":            route(8, nil, cuda.RouteOptions{TopK: 1, Groups: 2, TopGroups: 3}),
		"route: 0 of 2 groups":                               route(8, nil, cuda.RouteOptions{TopK: 1, Groups: 2}),
		"route by w: shapes do not fit | a bias of another":  route(8, s.w(2), cuda.RouteOptions{TopK: 1}),
		"route by w: shapes do not fit | a bias in 8 bits":   route(8, s.in8Bits(1, 8), cuda.RouteOptions{TopK: 1}),
		"route: shapes do not fit | logits of one dimension": func() { s.Route(s.x(8), nil, cuda.RouteOptions{TopK: 1}) },
		"route on cpu: more than 4096 experts":               route(4097, nil, cuda.RouteOptions{TopK: 1}),
	})
}

// FuzzRoute: whatever the logits' bits are, a row's experts exist and are different.
func FuzzRoute(f *testing.F) {
	f.Add([]byte{0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0xff, 1, 2, 3, 4, 0, 0, 0x80, 0x7f}, uint8(2), uint8(2), true)
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 255, 255, 255, 255}, uint8(1), uint8(0), false)
	c := cpu.New(1)
	f.Cleanup(func() { c.Close() })
	f.Fuzz(func(t *testing.T, raw []byte, k, groups uint8, sigmoid bool) {
		logits := make([]float32, min(len(raw)/4, 1000))
		for i := range logits {
			logits[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		s := cuda.NewStep([]cuda.Device{c}, nil, nil)
		defer s.Close()
		must(t, s.Reserve(0, cuda.Sizes{Step: 1 << 14}))
		defer s.Release(0)
		o := cuda.RouteOptions{TopK: int(k), Groups: int(groups), TopGroups: int(groups), Normalize: true}
		if sigmoid {
			o.Score = cuda.Sigmoid
		}
		s.Begin()
		index, _ := s.Route(s.InputF32(logits, 1, len(logits)), nil, o)
		if s.End() != nil {
			return
		}
		chosen := slices.Clone(index.I32())
		slices.Sort(chosen)
		if len(chosen) != int(k) || chosen[0] < 0 || int(chosen[k-1]) >= len(logits) || len(slices.Compact(chosen)) != int(k) {
			t.Fatalf("chose %v of %d", index.I32(), len(logits))
		}
	})
}
