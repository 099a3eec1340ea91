package cuda

import (
	"fmt"
	"slices"
)

// ops_experts.go is the ops of mixtures of experts: which experts a row goes to, and the way of rows to their experts and
// back. What walks the experts, and where each runs, is nn.Experts.

// ExpertOps is the part of Ops that these are. The slices are in the memory of this process and not kept.
type ExpertOps interface {
	Zero(dst Tensor) error
	Route(index, weights, logits, bias Tensor, o RouteOptions) error // a zero bias is none
	GatherByValue(dst, entries, x, index Tensor, values []int32) error
	MatMulGrouped(dst, x Tensor, counts []int32, ws []Tensor) error
	ScatterAddByIndex(dst, x, entries, weights Tensor) error
}

// ScoreFunc turns a router's logits into scores.
type ScoreFunc uint8

// The two in use.
const (
	Softmax ScoreFunc = iota // over all experts
	Sigmoid
)

// RouteOptions say how a router chooses.
type RouteOptions struct {
	Score     ScoreFunc
	TopK      int     // experts of a row
	Groups    int     // equal groups of experts, of which a row first chooses some by the sum of their two best; 0 or 1: none
	TopGroups int     // how many
	Normalize bool    // divide the weights of a row by their sum plus Epsilon
	Epsilon   float32 // keeps a sum from being zero
	Scale     float32 // on the weights; 0 is 1
}

// check says why no router with so many experts can choose like that.
func (o RouteOptions) check(experts int) error {
	switch {
	case o.Score > Sigmoid:
		return fmt.Errorf("no score function %d", o.Score)
	case o.TopK < 1 || o.TopK > experts:
		return fmt.Errorf("%d of %d experts", o.TopK, experts)
	case o.Groups < 0 || o.Groups > 1 && (experts%o.Groups != 0 || experts/o.Groups < 2):
		return fmt.Errorf("%d experts in %d groups", experts, o.Groups)
	case o.Groups > 1 && (o.TopGroups < 1 || o.TopGroups > o.Groups || o.TopGroups*(experts/o.Groups) < o.TopK):
		return fmt.Errorf("%d of %d groups of %d for %d experts", o.TopGroups, o.Groups, experts/o.Groups, o.TopK)
	}
	return nil
}

// Zeros is an activation of zeros, for ScatterAddByIndex to add to.
func (s *Step) Zeros(shape ...int) Tensor {
	if s.err != nil {
		return Tensor{}
	}
	t := Tensor{dtype: F32}
	if err := t.setShape(shape); err != nil {
		return s.refuse("zeros", err)
	}
	y := s.make(s.current, F32, t.nd, t.dim)
	if s.runs() {
		s.done("zeros", nil, s.ops[s.current].Zero(y))
	}
	return y
}

// Route chooses each row's experts: those with the TopK best of score + bias, best first, of equals the lower one first; their
// weights are the scores without the bias, normalized and scaled as the options say. A score that is not a number is the worst.
// logits (rows, experts), bias (experts) or nil -> index (rows, TopK) i32, weights (rows, TopK).
func (s *Step) Route(logits Tensor, bias *Weight, o RouteOptions) (index, weights Tensor) {
	dev, b := s.current, Tensor{}
	if bias != nil {
		dev, b = s.weight(bias)
	}
	logits = s.on(dev, logits)
	ok := logits.dtype == F32 && logits.nd == 2 && (bias == nil || b.nd == 1 && b.dim[0] == logits.dim[1])
	if !s.shaped("route", bias, ok, logits, logits) {
		return Tensor{}, Tensor{}
	}
	if err := o.check(logits.Dim(1)); err != nil {
		return s.refuse("route", err), Tensor{}
	}
	dim := [MaxDims]int32{logits.dim[0], int32(o.TopK)}
	index, weights = s.make(dev, I32, 2, dim), s.make(dev, F32, 2, dim)
	if s.runs() {
		s.done("route", bias, s.ops[dev].Route(index, weights, logits, b, o))
	}
	return index, weights
}

// Count says how often each value below n stands in index: in the memory of this process, until the next Count. While
// measuring nothing stands anywhere.
func (s *Step) Count(index Tensor, n int) []int32 {
	index = s.ToHost(index)
	if !s.shaped("count", nil, index.dtype == I32 && n >= 0, index, index) {
		return nil
	}
	s.counts = slices.Grow(s.counts[:0], n)[:n]
	clear(s.counts)
	for _, v := range index.I32() {
		if v < 0 || int(v) >= n {
			s.done("count", nil, fmt.Errorf("%d is not among %d", v, n))
			return nil
		}
		s.counts[v]++
	}
	return s.counts
}

// GatherByValue picks the rows of x that index sends to each of values: y is the rows r with values[0] among index[r], in
// their order, then those with values[1], and so on; entries[i] = r·k + slot says where in index row i of y comes from.
// count is the number of all those. x (rows, n), index (rows, k) -> y (count, n), entries (count) i32.
func (s *Step) GatherByValue(x, index Tensor, values []int32, count int) (y, entries Tensor) {
	dev := s.current
	x, index = s.on(dev, x), s.on(dev, index)
	ok := x.dtype == F32 && x.nd == 2 && index.dtype == I32 && index.nd == 2 && x.dim[0] == index.dim[0] &&
		count >= 0 && count <= index.Len()
	if !s.shaped("gather by value", nil, ok, x, index) {
		return Tensor{}, Tensor{}
	}
	y = s.make(dev, F32, 2, [MaxDims]int32{int32(count), x.dim[1]})
	entries = s.make(dev, I32, 1, [MaxDims]int32{int32(count)})
	if s.runs() {
		s.ints = append(s.ints[:0], values...)
		s.done("gather by value", nil, s.ops[dev].GatherByValue(y, entries, x, index, s.ints))
	}
	return y, entries
}

// MatMulGrouped is MatMul of groups of rows, each with its own weight: the first counts[0] rows of x with ws[0], the next
// counts[1] with ws[1], and so on. A row's bits are MatMul's. The weights have one shape and lie on one device.
// x (rows, in), each of ws (out, in) -> (rows, out).
func (s *Step) MatMulGrouped(x Tensor, counts []int32, ws []*Weight) Tensor {
	const op = "grouped matmul"
	if len(ws) == 0 || len(counts) != len(ws) {
		return s.refuse(op, fmt.Errorf("%d groups of rows and %d weights", len(counts), len(ws)))
	}
	dev, first := s.weight(ws[0])
	x = s.on(dev, x)
	s.ints, s.group = append(s.ints[:0], counts...), s.group[:0] // the caller's may be on its stack
	rows := 0
	for i, w := range ws {
		d, t := s.weight(w)
		if d != dev {
			s.done(op, w, fmt.Errorf("it is on %s, %s on %s", s.devices[d].Name(), ws[0].Name, s.devices[dev].Name()))
		}
		if !s.shaped(op, w, x.dtype == F32 && x.nd == 2 && t.nd == 2 && x.dim[1] == t.dim[1] && t.SameShape(first), x, t) {
			return Tensor{}
		}
		s.group = append(s.group, t)
		rows += int(max(counts[i], 0))
	}
	if rows != x.Rows() || slices.Min(counts) < 0 {
		return s.refuse(op, fmt.Errorf("groups of %v rows for %v", slices.Clone(counts), x))
	}
	y := s.make(dev, F32, 2, [MaxDims]int32{x.dim[0], first.dim[0]})
	if s.runs() {
		s.done(op, ws[0], s.ops[dev].MatMulGrouped(y, x, s.ints, s.group))
	}
	return y
}

// ScatterAddByIndex adds rows to those they came from: y[e div k] += weights[e] · x[i] with e = entries[i], one i after the
// other. It changes y. y (rows, n), x (count, n), entries (count) of GatherByValue, weights (rows, k).
func (s *Step) ScatterAddByIndex(y, x, entries, weights Tensor) {
	dev := s.current
	y, x, entries, weights = s.changing(dev, y), s.on(dev, x), s.on(dev, entries), s.on(dev, weights)
	ok := y.dtype == F32 && x.dtype == F32 && entries.dtype == I32 && weights.dtype == F32 && y.nd == 2 && x.nd == 2 &&
		entries.nd == 1 && weights.nd == 2 && y.dim[1] == x.dim[1] && x.dim[0] == entries.dim[0] && y.dim[0] == weights.dim[0]
	if !s.shaped("scatter add by index", nil, ok, y, x) {
		return
	}
	if s.runs() {
		s.done("scatter add by index", nil, s.ops[dev].ScatterAddByIndex(y, x, entries, weights))
	}
}
