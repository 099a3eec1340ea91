package cuda

// ops_biased.go is what layers with biases are made of.

// BiasedOps is the part of Ops that these are.
type BiasedOps interface {
	AddRow(dst, x, row Tensor) error
	LayerNorm(dst, x, w, b Tensor, eps float32) error
	GELU(dst, x Tensor, form GELUForm) error
}

// GELUForm says how the normal distribution is computed.
type GELUForm uint8

// The two forms, which differ by up to 5e-4.
const (
	GELUErf  GELUForm = iota // x · (1 + erf(x/√2)) / 2
	GELUTanh                 // x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2
)

// AddRow adds one row to each: y[r][i] = x[r][i] + w[i]. x (.., n), w (n) -> (.., n).
func (s *Step) AddRow(x Tensor, w *Weight) Tensor {
	dev, t := s.weight(w)
	x = s.on(dev, x)
	if !s.shaped("addrow", w, x.dtype == F32 && x.nd >= 2 && t.nd == 1 && x.Dim(-1) == t.Dim(0), x, t) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("addrow", w, s.ops[dev].AddRow(y, x, t))
	}
	return y
}

// LayerNorm brings each row to mean 0 and variance 1, then scales and shifts: y = (x - mean(x)) / sqrt(var(x) + eps) · w + b.
// x (.., n), w and b (n) -> (.., n).
func (s *Step) LayerNorm(x Tensor, w, b *Weight, eps float32) Tensor {
	dev, t := s.weight(w)
	other, shift := s.weight(b)
	x = s.on(dev, x)
	ok := x.dtype == F32 && x.nd >= 2 && t.nd == 1 && x.Dim(-1) == t.Dim(0) && t.SameShape(shift) && dev == other
	if !s.shaped("layernorm", w, ok, x, t) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("layernorm", w, s.ops[dev].LayerNorm(y, x, t, shift, eps))
	}
	return y
}

// GELU is x times the share of a normal distribution that lies below x. Any shape.
func (s *Step) GELU(x Tensor, form GELUForm) Tensor {
	dev := s.current
	x = s.on(dev, x)
	if !s.shaped("gelu", nil, x.dtype == F32, x, x) {
		return Tensor{}
	}
	y := s.make(dev, F32, x.nd, x.dim)
	if s.runs() {
		s.done("gelu", nil, s.ops[dev].GELU(y, x, form))
	}
	return y
}
