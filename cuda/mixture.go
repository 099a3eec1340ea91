package cuda

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// mixture.go holds the experts of a layer as one operand: which of them each device has, so that one op is one mixture and no step waits
// to learn where its rows go.

// Mixture is the experts of one layer. Each is a module of its own and may lie on any device.
type Mixture struct {
	experts []ExpertWeights
	moved   atomic.Bool // some are in told

	mu   sync.Mutex
	told []int // experts whose modules say that something of their places has changed

	// Of the goroutine that runs the step:
	tables []*ExpertTable // by device; nil: it has none of them
	every  []*ExpertTable // by device
	held   []int          // by device: experts in its table
	at     []int          // by expert: the device in whose table it is
	inner  int
	wrong  error // why no op can compute with the tables
}

// ExpertWeights is one feed-forward layer: down(silu(gate x) · up x). Gate and Up are (inner, hidden), Down is (hidden, inner).
type ExpertWeights struct{ Gate, Up, Down *Weight }

// NewMixture is the experts of a layer, whose weights are bound; if some are no matrices it has none.
func NewMixture(experts []ExpertWeights) *Mixture {
	m := &Mixture{experts: experts}
	for i, e := range experts {
		one := &member{m, i}
		for _, w := range []*Weight{e.Gate, e.Up, e.Down} {
			if w == nil || len(w.Shape) != 2 {
				return &Mixture{}
			}
			if w.Module != nil {
				w.Module.mixture.Store(one)
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

// member is one expert of a mixture.
type member struct {
	of *Mixture
	i  int
}

// changed has the mixture look anew where the expert is. Any goroutine may say so.
func (e *member) changed() {
	m := e.of
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.told); n == 0 || m.told[n-1] != e.i {
		m.told = append(m.told, e.i)
	}
	m.moved.Store(true)
}

// on gives, by device, the experts that are computed there; nil for a device that has none of them. Tables are changed here alone: before anything
// of their layer has begun in a pass, when the passes before it have ended.
func (m *Mixture) on(devices int) []*ExpertTable {
	anew := len(m.every) != devices
	if !anew && !m.moved.Load() {
		return m.tables
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved.Store(false); anew {
		m.begin(devices)
	}
	for _, i := range m.told {
		m.look(i)
	}
	m.told = m.told[:0]
	for dev, t := range m.every {
		if m.tables[dev] = nil; m.held[dev] > 0 {
			m.tables[dev] = t
		}
	}
	return m.tables
}

// begin makes tables of nothing, for so many devices.
func (m *Mixture) begin(devices int) {
	m.tables, m.every, m.held, m.at, m.wrong = make([]*ExpertTable, devices), nil, make([]int, devices), nil, nil
	for range devices {
		m.every = append(m.every, &ExpertTable{Experts: make([]Expert, len(m.experts))})
	}
	m.told = m.told[:0]
	for i := range m.experts {
		m.told, m.at = append(m.told, i), append(m.at, 0)
	}
}

// look puts an expert into the table of the device where it is computed.
func (m *Mixture) look(i int) {
	e, dev, ok := &m.experts[i], 0, false
	if e.Gate.Module != nil {
		dev, ok = e.Gate.Module.Settled()
	}
	if !ok || dev >= len(m.every) || e.Gate.On(dev).IsZero() {
		dev = 0
	}
	one := Expert{e.Gate.On(dev), e.Up.On(dev), e.Down.On(dev)}
	if !one.fits(m.hidden(), m.inner) {
		m.wrong = fmt.Errorf("expert %d is %v, %v and %v, not one of %d between %d", i, one.Gate, one.Up, one.Down, m.inner, m.hidden())
	}
	if from := m.at[i]; from != dev && m.every[from].put(i, Expert{}) {
		m.held[from]--
	}
	if had := !m.every[dev].Experts[i].isZero(); m.every[dev].put(i, one) && !had {
		m.held[dev]++
	}
	m.at[i] = dev
}

func (e *Expert) isZero() bool { return e.Gate.IsZero() && e.Up.IsZero() && e.Down.IsZero() }

// fits says whether all of an expert is there, of these sizes.
func (e Expert) fits(hidden, inner int) bool {
	is := func(m Matrix, rows, cols int) bool { return !m.IsZero() && m.Rows == rows && m.Cols == cols }
	return is(e.Gate, inner, hidden) && is(e.Up, inner, hidden) && is(e.Down, hidden, inner)
}

// Router is a Residency that decides by need where experts lie. Where a step has several devices, Routed is called in the order of each one's layers, with
// the experts that the rows of each mixture went to: those of a row one after the other, the best first, and as often as they were needed. It is called
// as soon as that is known: where the CPU computes some of a layer's experts, before they are computed and when all before them has been, so that they
// may still come and go; else after the pass.
type Router interface {
	Routed(layer int, experts []int32)
}

// route is where one mixture's rows went, in the memory of this process once the pass has ended.
type route struct {
	layer   int
	dev     int // that tells
	told    bool
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
	r.layer, r.dev, r.told, r.experts = s.layer, dev, false, append(r.experts[:0], make([]int32, index.Len())...)
	to := Tensor{ptr: pointerTo(r.experts), dtype: I32, nd: index.nd, dim: index.dim}
	if s.memory[dev] == nil {
		s.queues[dev].Run(NewOp(OpCopy).Gives(to).Takes(index))
	} else {
		s.queues[dev].CopyOut(to, index)
	}
}

// tellRoutes passes on what a device has told, or every one, in the order of the layers.
func (s *Step) tellRoutes(dev int) {
	r, ok := s.res.(Router)
	for i := range s.routes {
		if one := &s.routes[i]; ok && s.err == nil && !one.told && (one.dev == dev || dev == every) {
			one.told = true
			r.Routed(one.layer, one.experts)
		}
	}
}

// every device.
const every = -1
