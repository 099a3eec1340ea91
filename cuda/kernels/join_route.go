package kernels

import (
	"math"

	"github.com/inference-pio/inference-pio/cuda"
)

// join_route.go makes one op of the products that give a router's logits and the choice of experts by these (matmul_route_* of matmul.cuh): the last block
// to end chooses.

// routed is what becomes of the first product of a joint, if there is an index.
type routed struct {
	index, weights     cuda.Tensor
	bias               cuda.Matrix
	sigmoid, normalize bool
	k, groups, top     int32
	epsilon, scale     float32
}

// What a joint's second integer says of it, as op.h has it.
const (
	routes          = 4  // PIO_ROUTES
	routesSigmoid   = 8  // PIO_ROUTES_SIGMOID
	routesNormalize = 16 // PIO_ROUTES_NORMALIZE
	routesK         = 8  // PIO_ROUTES_K: k's lowest bit
)

const behindTold = 16 // bytes of shared memory in which a block is told whether it is the last

func (r *routed) chooses() bool { return !r.index.IsZero() }

// joinRoute: experts are chosen by the first product, behind which there may be another and its sigmoid.
func (s *joint) joinRoute(b *cuda.Op) bool {
	bias := cuda.Matrix{}
	if _, _, w := b.Operands(); len(w) > 0 {
		bias = w[0]
	}
	const half = 1 << 16
	if s.n < 1 || s.n > 2 || s.w[0].Layout.Name != "bf16" || !same(b.In[0], s.y[0]) || b.Ints[2] >= half || b.Ints[3] >= half || b.Ints[1] >= 1<<(31-routesK) {
		return false
	}
	for _, t := range b.Out[:2] {
		if !apart(t, s.x, s.normed, s.y[0], s.y[1], s.last) {
			return false
		}
	}
	s.routed = routed{index: b.Out[0], weights: b.Out[1], bias: bias, sigmoid: b.Ints[0] != 0, k: b.Ints[1], groups: b.Ints[2], top: b.Ints[3],
		normalize: b.Ints[4] != 0, epsilon: b.Floats[0], scale: b.Floats[1]}
	return apart(s.weights, s.index)
}

// intoRoute writes the op.
func (s *joint) intoRoute(op *cuda.Op) {
	how := s.how | routes | s.k<<routesK
	if s.sigmoid {
		how |= routesSigmoid
	}
	if s.normalize {
		how |= routesNormalize
	}
	*op = *cuda.NewOp(cuda.OpMatMul).Gives(s.y[0], s.y[1], s.index, s.normed, s.last, s.weights).Takes(s.x).By(s.w[0], s.w[1], s.bias, s.norm).With(s.eps, s.plus).
		At(int32(teamOf(s.x.Dim(1))), how, s.groups|s.top<<16, int32(math.Float32bits(s.epsilon)), int32(math.Float32bits(s.scale)))
}

// routeOf takes it apart.
func routeOf(op *cuda.Op) joint {
	how, groups := op.Ints[1], op.Ints[2]
	s := joint{x: op.In[0], norm: op.Weights[3], eps: op.Floats[0], plus: op.Floats[1], normed: op.Out[3], last: op.Out[4], how: how & lastSigmoid,
		w: [3]cuda.Matrix{op.Weights[0], op.Weights[1]}, y: [3]cuda.Tensor{op.Out[0], op.Out[1]}, n: 1}
	if !s.w[1].IsZero() {
		s.n = 2
	}
	s.routed = routed{index: op.Out[2], weights: op.Out[5], bias: op.Weights[2], sigmoid: how&routesSigmoid != 0, normalize: how&routesNormalize != 0,
		k: how >> routesK, groups: groups & 0xffff, top: groups >> 16, epsilon: math.Float32frombits(uint32(op.Ints[3])), scale: math.Float32frombits(uint32(op.Ints[4]))}
	return s
}

// routeShared is what a block needs whose warps choose experts for rows.
func (s *joint) routeShared(threads int) int {
	return behindTold + min(threads/32, s.x.Rows())*routeRoom(s.w[0].Rows, int(s.groups))
}

// joinedRoute launches it.
func (p *Plan) joinedRoute(s *joint, f few) {
	p.launchFew("matmul_route_", s.w[0], s.tiles(), s.x.Rows(), f)
	p.Scratch = max(p.Scratch, 1) // counters are in front of it
}
