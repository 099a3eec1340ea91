// The sparse half of a mixture of experts (Shazeer et al., 2017): of many feed-forward layers each row takes a few. Which, and
// with what weight, a router says; here is the way there and back.

package nn

import "github.com/inference-pio/inference-pio/cuda"

// Experts is the experts of one layer. Each is a module of its own and may lie on any device.
type Experts []SwiGLU

// NewExperts is n experts of these sizes, to be bound.
func NewExperts(n, hidden, inner int) Experts {
	e := make(Experts, n)
	for i := range e {
		e[i] = NewSwiGLU(hidden, inner)
	}
	return e
}

const (
	runExperts = 64   // the most experts of a run
	runRows    = 1024 // the most rows of a run, unless one expert has more
)

// Forward sends each row to its experts and adds up what they give: y[r] = Σ_j weights[r][j] · expert index[r][j] of x[r].
// The sum runs in ascending order of experts wherever they lie and whoever else is in the batch, so that its bits depend on the
// row alone. x (rows, hidden), index and weights (rows, k), as cuda.Step.Route gives them -> (rows, hidden).
func (e Experts) Forward(s *cuda.Step, x, index, weights cuda.Tensor) cuda.Tensor {
	y := s.Zeros(x.Rows(), x.Dim(1))
	most, p := max(x.Rows(), runRows), pass{e, s, x, index, weights, y}
	var r run
	if s.Measuring() { // a run's memory is used again by the next, so the largest is what counts
		r.add(0, 0, int32(min(index.Len(), most)))
		p.forward(&r)
		return y
	}
	for id, count := range s.Count(index, len(e)) {
		if count == 0 {
			continue
		}
		dev := s.Enter(e[id].Gate.W.Module)
		if r.n > 0 && (dev != r.dev || r.n == runExperts || r.rows+int(count) > most) {
			p.forward(&r)
			r.n, r.rows = 0, 0
		}
		r.add(dev, id, count)
	}
	if r.n > 0 {
		p.forward(&r)
	}
	if s.Err() != nil {
		return cuda.Tensor{}
	}
	return y
}

// run is consecutive experts on one device with rows to compute: what goes through the ops as one.
type run struct {
	dev    int
	n      int // experts
	rows   int // of all of them
	ids    [runExperts]int32
	counts [runExperts]int32
}

func (r *run) add(dev, id int, count int32) {
	r.dev, r.ids[r.n], r.counts[r.n] = dev, int32(id), count
	r.n, r.rows = r.n+1, r.rows+int(count)
}

// pass is the operands of one Forward.
type pass struct {
	experts           Experts
	s                 *cuda.Step
	x, index, weights cuda.Tensor
	y                 cuda.Tensor
}

// forward computes a run where its experts lie and adds it to y where the layer is.
func (p *pass) forward(r *run) {
	s := p.s
	x, index := s.On(r.dev, p.x), s.On(r.dev, p.index) // before the mark: other runs on this device find them there
	mark := s.Mark()
	layer := s.RunOn(r.dev)
	rows, entries := s.GatherByValue(x, index, r.ids[:r.n], r.rows) // (r.rows, hidden)
	gate, up := p.matmul(rows, r, gateOf), p.matmul(rows, r, upOf)  // (r.rows, inner)
	rows = p.matmul(s.SwiGLU(gate, up), r, downOf)                  // (r.rows, hidden)
	s.RunOn(layer)
	s.ScatterAddByIndex(p.y, rows, entries, p.weights)
	s.Rewind(mark)
}

func gateOf(e *SwiGLU) *cuda.Weight { return e.Gate.W }
func upOf(e *SwiGLU) *cuda.Weight   { return e.Up.W }
func downOf(e *SwiGLU) *cuda.Weight { return e.Down.W }

// matmul multiplies the rows of each expert of a run with one of its matrices.
func (p *pass) matmul(x cuda.Tensor, r *run, of func(*SwiGLU) *cuda.Weight) cuda.Tensor {
	var ws [runExperts]*cuda.Weight
	for i, id := range r.ids[:r.n] {
		ws[i] = of(&p.experts[id])
	}
	return p.s.MatMulGrouped(x, r.counts[:r.n], ws[:r.n])
}
