package cuda

import "fmt"

// ops_experts.go is the ops of mixtures of experts (Shazeer et al., 2017): which experts a row goes to, and what they make of it. Which
// devices have which experts is in mixture.go.

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

// Route chooses each row's experts: those with the TopK best of score + bias, best first, of equals the lower one first; their
// weights are the scores without the bias, normalized and scaled as the options say. A score that is not a number is the worst.
// logits (rows, experts), bias (experts) or nil -> index (rows, TopK) i32, weights (rows, TopK).
func (s *Step) Route(logits Tensor, bias *Weight, o RouteOptions) (index, weights Tensor) {
	c := s.start(OpRoute)
	var b Matrix
	if bias != nil {
		c, b = s.startBy(bias, OpRoute)
	}
	c.with(o.Epsilon, o.scale())
	c.at(int(o.Score), o.TopK, o.Groups, o.TopGroups, flag(o.Normalize))
	if logits = c.in(logits); !c.fits(logits.float() && logits.nd == 2 && (bias == nil || perColumn(b, logits))) {
		return Tensor{}, Tensor{}
	}
	if err := o.check(logits.Dim(1)); err != nil {
		return c.refuse("%w", err), Tensor{}
	}
	index, weights = c.out(I32, logits.dim[0], int32(o.TopK)), c.out(F32, logits.dim[0], int32(o.TopK))
	index.below = logits.dim[1]
	c.run()
	if s.err != nil {
		return Tensor{}, Tensor{}
	}
	return index, weights
}

func (o RouteOptions) scale() float32 {
	if o.Scale == 0 {
		return 1
	}
	return o.Scale
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mixturePairs bounds the rows of a mixture that are computed at once, times the experts of each: it bounds the memory between.
const mixturePairs = 4096

// Experts sends each row to its experts and adds up what they give: y[r] = Σ_j weights[r][j] · expert index[r][j] of x[r], in ascending
// order of experts wherever they lie and whoever else is in the batch, so that its bits depend on the row alone.
// x (rows, hidden), index and weights (rows, k), as Route gives them -> (rows, hidden).
func (s *Step) Experts(x, index, weights Tensor, m *Mixture) Tensor {
	c := s.start(OpExperts)
	if m.Len() == 0 || x.IsZero() || index.IsZero() || weights.IsZero() {
		return c.refuse("%w", errNothing)
	}
	if !(x.float() && x.nd == 2 && x.Dim(1) == m.hidden() && index.nd == 2 && index.dim[0] == x.dim[0] && weights.SameShape(index) && weights.dtype == F32 &&
		index.Indexes(m.Len())) {
		return c.refuse("shapes do not fit: %v with %v and %v for %d experts", x, index, weights, m.Len())
	}
	s.noteRoute(s.current, s.on(s.current, index))
	each := max(1, mixturePairs/max(1, index.Dim(1)))
	if x.Rows() <= each {
		return s.mixture(x, index, weights, m)
	}
	y := s.Empty(x.Rows(), x.Dim(1))
	for from := 0; from < x.Rows() && s.err == nil; from += each {
		to, mark := min(from+each, x.Rows()), s.Mark()
		s.Copy(y.Slice(from, to), s.mixture(x.Slice(from, to), index.Slice(from, to), weights.Slice(from, to), m))
		s.Rewind(mark)
	}
	if s.err != nil {
		return Tensor{}
	}
	return y
}

// mixture is Experts of so few rows that all are computed at once. If more than the layer's device has some of the experts, each makes
// its part of the rows, and these meet at the layer's.
func (s *Step) mixture(x, index, weights Tensor, m *Mixture) Tensor {
	tables, devices := m.on(len(s.devices)), 0
	for _, t := range tables {
		if t != nil {
			devices++
		}
	}
	if devices == 1 && tables[s.current] != nil && !s.measuring {
		c := s.start(OpExperts)
		x, index, weights = c.in(x), c.in(index), c.in(weights)
		y := c.like(x)
		return c.experts(y, x, index, m, tables[s.current])
	}
	var rows Tensor
	for dev, t := range tables {
		if t == nil {
			continue
		}
		part := s.expertRows(dev, x, index, weights, m, t)
		if rows.IsZero() {
			rows = part
			continue
		}
		rows = s.Add(rows, part)
	}
	if s.measuring { // as if two devices had some: their parts, and the sum
		rows = s.Add(rows, s.Empty(rows.Rows(), rows.Dim(1)))
	}
	c := s.start(OpExpertSum)
	rows, index, weights = c.in(rows), c.in(index), c.in(weights)
	return c.gives(c.out(F32, x.dim[0], x.dim[1]))
}

// expertRows is what the experts on one device make of rows: row r·k+j is that of expert index[r][j], and zero where that is elsewhere.
func (s *Step) expertRows(dev int, x, index, weights Tensor, m *Mixture, t *ExpertTable) Tensor {
	c := s.startOn(dev, OpExperts)
	x, index, weights = c.in(x), c.in(index), c.in(weights)
	c.op.Gives(Tensor{})
	return c.experts(Tensor{}, x, index, m, t)
}

// experts completes the op with the room that it works in, which holds the rows when it is done.
func (c *call) experts(y, x, index Tensor, m *Mixture, t *ExpertTable) Tensor {
	pairs := index.dim[0] * index.dim[1]
	rows := c.out(F32, pairs, x.dim[1])
	c.out(F32, 2, pairs, int32(m.inner))
	c.op.Experts = t
	if y.IsZero() {
		y = rows
	}
	return c.gives(y)
}

func (m *Mixture) hidden() int { return m.experts[0].Down.Shape[0] }
