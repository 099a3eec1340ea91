package cuda

import (
	"fmt"
	"sync/atomic"
)

// mixture.go holds the experts of a layer as one operand: which of them each device has, so that one op is one mixture and no step waits
// to learn where its rows go.

// Mixture is the experts of one layer. Each is a module of its own and may lie on any device.
type Mixture struct {
	experts []ExpertWeights
	moved   atomic.Uint64 // counts what experts' modules tell of their places

	// Of the goroutine that runs the step:
	known  uint64 // moved when tables were made
	tables []*ExpertTable
	inner  int
	wrong  error // why no op can compute with the tables
}

// ExpertWeights is one feed-forward layer: down(silu(gate x) · up x). Gate and Up are (inner, hidden), Down is (hidden, inner).
type ExpertWeights struct{ Gate, Up, Down *Weight }

// NewMixture is the experts of a layer, whose weights are bound; if some are no matrices it has none.
func NewMixture(experts []ExpertWeights) *Mixture {
	m := &Mixture{experts: experts}
	for _, e := range experts {
		for _, w := range []*Weight{e.Gate, e.Up, e.Down} {
			if w == nil || len(w.Shape) != 2 {
				return &Mixture{}
			}
			if w.Module != nil {
				w.Module.mixture.Store(m)
			}
		}
	}
	if len(experts) > 0 {
		m.inner = experts[0].Gate.Shape[0]
	}
	return m
}

// Len is the number of experts.
func (m *Mixture) Len() int { return len(m.experts) }

func (m *Mixture) hidden() int { return m.experts[0].Down.Shape[0] }

// on gives, by device, the experts that are computed there; nil for a device that has none of them.
func (m *Mixture) on(devices int) []*ExpertTable {
	moved := m.moved.Load()
	if m.tables != nil && moved == m.known && len(m.tables) == devices {
		return m.tables
	}
	m.known, m.tables, m.wrong = moved, make([]*ExpertTable, devices), nil
	for i, e := range m.experts {
		dev, ok := 0, false
		if e.Gate.Module != nil {
			dev, ok = e.Gate.Module.Settled()
		}
		if !ok || dev >= devices || e.Gate.On(dev).IsZero() {
			dev = 0
		}
		if m.tables[dev] == nil {
			m.tables[dev] = &ExpertTable{Experts: make([]Expert, len(m.experts))}
		}
		one := Expert{e.Gate.On(dev), e.Up.On(dev), e.Down.On(dev)}
		if m.tables[dev].Experts[i] = one; !one.fits(m.hidden(), m.inner) {
			m.wrong = fmt.Errorf("expert %d is %v, %v and %v, not one of %d between %d", i, one.Gate, one.Up, one.Down, m.inner, m.hidden())
		}
	}
	return m.tables
}

// fits says whether all of an expert is there, of these sizes.
func (e Expert) fits(hidden, inner int) bool {
	is := func(m Matrix, rows, cols int) bool { return !m.IsZero() && m.Rows == rows && m.Cols == cols }
	return is(e.Gate, inner, hidden) && is(e.Up, inner, hidden) && is(e.Down, hidden, inner)
}

// Router is a Residency that decides by need where experts lie. Where a step has several devices, Routed is called after each pass, in the
// order of the layers, with the experts that the rows of each mixture went to: numbers in no order, as often as they were needed.
type Router interface {
	Routed(layer int, experts []int32)
}

// route is where one mixture's rows went, in the memory of this process once the pass has ended.
type route struct {
	layer   int
	experts []int32
}

// noteRoute has the device tell where rows go, if somebody wants to know. Where there is one device, nobody has anything to decide.
func (s *Step) noteRoute(dev int, index Tensor) {
	if _, ok := s.res.(Router); !ok || len(s.devices) == 1 || s.err != nil || s.measuring {
		return
	}
	n := len(s.routes)
	if n < cap(s.routes) {
		s.routes = s.routes[:n+1]
	} else {
		s.routes = append(s.routes, route{})
	}
	r := &s.routes[n]
	r.layer, r.experts = s.layer, append(r.experts[:0], make([]int32, index.Len())...)
	to := Tensor{ptr: pointerTo(r.experts), dtype: I32, nd: index.nd, dim: index.dim}
	if s.memory[dev] == nil {
		s.queues[dev].Run(NewOp(OpCopy).Gives(to).Takes(index))
	} else {
		s.queues[dev].CopyOut(to, index)
	}
}

// tellRoutes passes on what devices told, in the order of the layers.
func (s *Step) tellRoutes() {
	if r, ok := s.res.(Router); ok && s.err == nil {
		for _, one := range s.routes {
			r.Routed(one.layer, one.experts)
		}
	}
	s.routes = s.routes[:0]
}
