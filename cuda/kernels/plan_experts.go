package kernels

import "github.com/inference-pio/inference-pio/cuda"

// plan_experts.go launches mixtures of experts. Which rows go to which expert is known on the device alone, so that grids are as large as
// they may have to be.

var experts = map[cuda.OpCode]func(*Plan, *cuda.Op){
	cuda.OpRoute:     (*Plan).route,
	cuda.OpExperts:   (*Plan).experts,
	cuda.OpExpertSum: func(p *Plan, op *cuda.Op) { p.expertSum(op, -2) },
}

// route has as many rows a block as there is shared memory for that every device has, one at least.
func (p *Plan) route(op *cuda.Op) {
	logits := op.In[0]
	row := routeRoom(logits.Dim(1), int(op.Ints[2]))
	if row > p.Shared {
		p.refuse("%d experts to choose from need %d bytes of shared memory, the device has %d", logits.Dim(1), row, p.Shared)
		return
	}
	rows := max(1, min(4, 48<<10/row))
	p.launch("route", 32*rows, rows*row, ceilDiv(logits.Rows(), rows), 1, 1)
}

// routeRoom is the bytes of shared memory that a warp needs which chooses of n experts.
func routeRoom(n, groups int) int { return 4 * (2*n + groups) }

// fewPairs are as many as kernels for few pairs have room for, a number each: FEW_PAIRS in experts.cu.
const fewPairs = 256

const lastSums = 64 // PIO_LAST_SUMS

// tileRows is TILE_ROWS of experts.cu.
const tileRows = 64

var (
	insideShape      = shape{"_fast", tileRows, 32, 128, 3, 1, 2}
	insideExactShape = shape{"_exact", tileRows, 32, 128, 2, 3, 2}
	downShape        = shape{"_fast", tileRows, 64, 128, 3, 1, 1}
	downExactShape   = shape{"_exact", tileRows, 64, 128, 2, 3, 1}
)

// ExpertsOnTensorCores is OnTensorCores for a table: all matrices of one place in an expert are of one layout, and all fit.
func ExpertsOnTensorCores(t *cuda.ExpertTable) bool {
	first := sample(t)
	if first.Gate.IsZero() {
		return false
	}
	fits := func(m, of cuda.Matrix) bool { return OnTensorCores(m) && m.Layout.Name == of.Layout.Name }
	for _, e := range t.Experts {
		if !e.Gate.IsZero() && !(fits(e.Gate, first.Gate) && fits(e.Up, first.Gate) && fits(e.Down, first.Down)) {
			return false
		}
	}
	return true
}

// sample is the first expert that a table has.
func sample(t *cuda.ExpertTable) cuda.Expert {
	for _, e := range t.Experts {
		if !e.Gate.IsZero() {
			return e
		}
	}
	return cuda.Expert{}
}

// mixture is an op of experts and where what it makes lies: in its operands or, in units of 256 bytes, in scratch.
type mixture struct {
	op                    *cuda.Op
	rows, pairs           int
	hidden, inner         int
	gate, down            product
	atInner, atRows       int
	slicesIn, chunksIn    int
	slicesOut, chunksDown int
	summed                bool // by the last block of each column
}

func (p *Plan) experts(op *cuda.Op) {
	x, index := op.In[0], op.In[1]
	if x.DType() != cuda.F32 {
		p.refuse("%v for experts: rows of f32 are multiplied", x)
		return
	}
	m := mixture{op: op, rows: x.Rows(), pairs: index.Len(), hidden: x.Dim(1), inner: op.Out[2].Dim(2), atInner: -1, atRows: -1}
	if m.pairs == 0 {
		return
	}
	if !ExpertsOnTensorCores(op.Experts) {
		p.expertsPlain(&m)
	} else {
		e := sample(op.Experts)
		m.gate, m.down = products[e.Gate.Layout.Name], products[e.Down.Layout.Name]
		m.slicesIn, m.chunksIn = slicesOf(m.hidden)
		m.slicesOut, m.chunksDown = slicesOf(m.inner)
		if m.pairs <= fewPairs || !p.expertsMany(&m) {
			p.expertsFew(&m)
		}
	}
	if !op.Out[0].IsZero() && !m.summed {
		p.expertSum(op, m.atRows)
	}
}

// reserve takes so many bytes of scratch, and says where.
func (p *Plan) reserve(bytes int) int {
	at := ceilDiv(int(p.Scratch), 256)
	p.Scratch = int64(at)*256 + int64(bytes)
	return at
}

// place finds room for what is inside and for rows, where that of the operands is for fewer pairs.
func (p *Plan) place(m *mixture) {
	if m.op.Out[1].Rows() < m.pairs {
		m.atInner, m.atRows = p.reserve(m.pairs*m.inner*4), p.reserve(m.pairs*m.hidden*4)
	}
}

func (p *Plan) expertsPlain(m *mixture) {
	p.place(m)
	p.launch("experts_plain", 256, 0, m.pairs, ceilDiv(m.inner, 8), 1, m.atInner)
	p.launch("experts_down_plain", 256, 0, m.pairs, ceilDiv(m.hidden, 8), 1, m.atInner, m.atRows)
}

func (p *Plan) expertsFew(m *mixture) {
	if m.pairs > fewPairs {
		p.refuse("tiles of experts need more than %d bytes of shared memory", p.Shared)
		return
	}
	p.place(m)
	// As many rows at once as an expert is likely to have: room for more would leave fewer blocks on a multiprocessor.
	rows := min(m.rows, 2+4*ceilDiv(m.pairs, len(m.op.Experts.Experts)))
	in := p.cutFew(m.gate, m.hidden, ceilDiv(m.inner, m.gate.outs), rows, 2, min(m.pairs, len(m.op.Experts.Experts)))
	down := p.cutFew(m.down, m.inner, ceilDiv(m.hidden, m.down.outs), rows, 1, min(m.pairs, len(m.op.Experts.Experts)))
	if in.shared > p.Shared || down.shared > p.Shared {
		p.refuse("experts of %d between %d need %d bytes of shared memory, the device has %d", m.inner, m.hidden, max(in.shared, down.shared), p.Shared)
		return
	}
	p.launch(p.name(nameOf{"experts_few_", m.gate.name, 0, p.numerics()}), in.threads, in.shared, ceilDiv(ceilDiv(m.inner, m.gate.outs), in.tiles), m.pairs, 1,
		m.chunksIn, in.tiles, in.rows, m.slicesIn, m.atInner)
	across, slices := ceilDiv(ceilDiv(m.hidden, m.down.outs), down.tiles), m.slicesOut
	if m.summed = !m.op.Out[0].IsZero() && across <= countersMost; m.summed {
		slices |= lastSums
		p.Scratch = max(p.Scratch, 1) // counters are in front of it
	}
	p.launch(p.name(nameOf{"experts_down_few_", m.down.name, 0, p.numerics()}), down.threads, down.shared, across, m.pairs, 1,
		m.chunksDown, down.tiles, down.rows, slices, m.atInner, m.atRows)
}

// expertsMany says whether there is room for tiles of many rows.
func (p *Plan) expertsMany(m *mixture) bool {
	in, down := insideShape, downShape
	if !p.Fast {
		in, down = insideExactShape, downExactShape
	}
	n := len(m.op.Experts.Experts)
	if max(in.shared(m.gate), down.shared(m.down), 4*n) > p.Shared {
		return false
	}
	tiles := m.pairs/tileRows + min(n, m.pairs)
	p.split("matmul_split", m.rows, m.hidden, m.gate)
	sorted := p.reserve(4 * (2*(n+1) + tiles + m.pairs))
	m.atInner = p.reserve(m.pairs * m.inner * 4)
	p.launch("experts_count", 1024, 4*n, 1, 1, 1, sorted)
	p.launch("experts_place", 256, 0, ceilDiv(n, 8), 1, 1, sorted)
	p.launch(p.name(nameOf{"experts_many_", m.gate.name, 0, in.suffix}), in.threads, in.shared(m.gate), ceilDiv(m.inner, in.outs), tiles, 1, m.chunksIn, m.slicesIn, sorted, m.atInner)
	chunks := ceilDiv(m.inner, chunk)
	parts := p.reserve(m.pairs * chunks * chunkBytes * p.parts())
	p.launch("experts_split", 256, 0, ceilDiv(m.pairs*chunks*(chunk/8), 256), 1, 1, m.down.order, p.parts(), m.atInner, parts)
	if m.op.Out[1].Rows() < m.pairs {
		m.atRows = p.reserve(m.pairs * m.hidden * 4)
	}
	if m.op.Out[0].IsZero() {
		p.launch("experts_absent", 256, 0, m.pairs, 1, 1, m.atRows)
	}
	p.launch(p.name(nameOf{"experts_down_many_", m.down.name, 0, down.suffix}), down.threads, down.shared(m.down), ceilDiv(m.hidden, down.outs), tiles, 1,
		m.chunksDown, m.slicesOut, sorted, parts, m.atRows)
	return true
}

// expertSum adds rows up: see expert_sum for where they lie.
func (p *Plan) expertSum(op *cuda.Op, at int) {
	k := op.In[1].Dim(1)
	if 4*k > p.Shared {
		p.refuse("%d experts of a row need %d bytes of shared memory, the device has %d", k, 4*k, p.Shared)
		return
	}
	p.launch("expert_sum", 256, 4*k, ceilDiv(op.Out[0].Dim(1), 256), op.In[1].Rows(), 1, at)
}
