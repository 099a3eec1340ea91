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

// What bounds the memory that a mixture works in: the pairs of a row and one of its experts that are computed at once. Where one device has
// all experts it takes so many at a time, expert by expert (but all rows of one expert); where several have some, so many rows at a time.
const (
	pairsTogether = 1024
	pairsApart    = 2048
)

// Experts sends each row to its experts and adds up what they give: y[r] = Σ_j weights[r][j] · expert index[r][j] of x[r], in ascending
// order of experts wherever they lie and whoever else is in the batch, so that its bits depend on the row alone. An expert stands once at
// most among those of a row. x (rows, hidden), index and weights (rows, k), as Route gives them -> (rows, hidden).
func (s *Step) Experts(x, index, weights Tensor, m *Mixture) Tensor {
	c := s.start(OpExperts)
	if m == nil || m.Len() == 0 || x.IsZero() || index.IsZero() || weights.IsZero() {
		return c.refuse("%w", errNothing)
	}
	if !(x.float() && x.nd == 2 && x.Dim(1) == m.hidden() && index.nd == 2 && index.dim[0] == x.dim[0] && weights.SameShape(index) && weights.dtype == F32 &&
		index.Indexes(m.Len())) {
		return c.refuse("shapes do not fit: %v with %v and %v for %d experts", x, index, weights, m.Len())
	}
	tables := m.on(len(s.devices))
	if m.wrong != nil {
		return c.refuse("%w", m.wrong)
	}
	s.noteRoute(s.current, s.on(s.current, index))
	if s.measuring { // either way may be taken
		mark := s.Mark()
		s.together(x, index, weights, m, tables[0])
		s.Rewind(mark)
		return s.apart(x, index, weights, m, tables)
	}
	if t := onlyTable(tables, s.current); t != nil {
		return s.together(x, index, weights, m, t)
	}
	return s.apart(x, index, weights, m, tables)
}

// onlyTable is the table of a device that has all experts, nil if others have some.
func onlyTable(tables []*ExpertTable, dev int) *ExpertTable {
	for d, t := range tables {
		if d != dev && t != nil {
			return nil
		}
	}
	return tables[dev]
}

// together is Experts where the layer's device has all experts.
func (s *Step) together(x, index, weights Tensor, m *Mixture, t *ExpertTable) Tensor {
	c := s.start(OpExperts)
	y := c.like(x)
	s.StartPart()
	x, index = c.in(x), c.in(index)
	c.in(weights)
	c.experts(min(index.Len(), max(pairsTogether, x.Rows())), x, m, t)
	s.EndPart()
	return y
}

// apart is Experts where several devices have some: each makes its part of some rows' pairs, and these meet at the layer's.
func (s *Step) apart(x, index, weights Tensor, m *Mixture, tables []*ExpertTable) Tensor {
	y, each := s.Empty(x.Rows(), x.Dim(1)), max(1, pairsApart/max(1, index.Dim(1)))
	s.StartPart()
	defer s.EndPart()
	for dev, t := range tables {
		if t != nil { // before the mark: all parts find them there, and what comes to one place is waited for once
			s.bring(dev, x)
			s.bring(dev, weights)
			s.bring(dev, index)
		}
	}
	if tables[0] != nil && s.current != 0 && !s.measuring && s.err == nil {
		s.queues[0].Wait(s.queues[s.current].Mark()) // as it must before it computes
		s.tellRoutes(s.current)                      // as long as nothing of the layer has begun: what is missing there can come while the CPU computes
		tables = m.on(len(s.devices))
	}
	for from := 0; from < x.Rows() && s.err == nil; from += each {
		to, mark := min(from+each, x.Rows()), s.Mark()
		s.sumParts(y.Slice(from, to), x.Slice(from, to), index.Slice(from, to), weights.Slice(from, to), m, tables)
		s.Rewind(mark)
	}
	if s.err != nil {
		return Tensor{}
	}
	return y
}

// sumParts has other devices start before the CPU, which computes its part while they do theirs, and then brings the parts together.
func (s *Step) sumParts(y, x, index, weights Tensor, m *Mixture, tables []*ExpertTable) {
	var parts [MaxDevices]Tensor
	for dev := len(tables) - 1; dev >= 0; dev-- {
		if tables[dev] == nil {
			continue
		}
		parts[dev] = s.part(dev, x, index, weights, m, tables[dev])
		if s.measuring { // a device makes one
			break
		}
		if q, ok := s.queues[dev].(Starter); ok && s.err == nil {
			q.Start()
		}
	}
	rows := s.meet(&parts)
	if s.measuring { // as if two devices had some
		s.Empty(rows.Rows(), rows.Dim(1))
	}
	c := s.start(OpExpertSum)
	c.in(rows)
	c.in(index)
	c.in(weights)
	c.alters(y)
	c.run()
}

// part is what a device's experts make: no sums but rows, of which r·k+j is that of expert index[r][j], and zero where that is elsewhere.
func (s *Step) part(dev int, x, index, weights Tensor, m *Mixture, t *ExpertTable) Tensor {
	c := s.startOn(dev, OpExperts)
	c.op.Gives(Tensor{})
	here := c.in(x)
	c.in(index)
	c.in(weights)
	return c.experts(index.Len(), here, m, t)
}

// meet adds devices' parts up where the layer is. All but one of them are zero in a row, so their order is nothing to its bits. The layer's own
// is the first, if there is one: its device has room for one copy beside it.
func (s *Step) meet(parts *[MaxDevices]Tensor) Tensor {
	first := s.current
	for dev := 0; parts[first].IsZero() && dev < len(parts); dev++ {
		if !parts[dev].IsZero() {
			first = dev
		}
	}
	rows := s.Here(parts[first])
	for dev, part := range parts {
		if dev == first || part.IsZero() {
			continue
		}
		mark := s.Mark()
		s.addTo(rows, part)
		s.Rewind(mark)
	}
	return rows
}

// addTo adds to rows what they lack.
func (s *Step) addTo(rows, part Tensor) {
	c := s.start(OpAdd)
	c.op.Gives(rows)
	c.in(rows)
	c.in(part)
	c.run()
}

// experts completes the op with the room that it works in: so many rows, and what is inside of experts between. The rows are what it gives
// if it gives no sums.
func (c *call) experts(pairs int, x Tensor, m *Mixture, t *ExpertTable) Tensor {
	rows := c.out(F32, int32(pairs), x.dim[1])
	c.out(F32, 2, int32(pairs), int32(m.inner))
	c.op.Experts = t
	return c.gives(rows)
}
