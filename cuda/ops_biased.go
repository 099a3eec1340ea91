package cuda

// ops_biased.go is what layers with biases are made of.

// GELUForm says how the normal distribution is computed.
type GELUForm uint8

// The two forms, which differ by up to 5e-4.
const (
	GELUErf  GELUForm = iota // x · (1 + erf(x/√2)) / 2
	GELUTanh                 // x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2
)

// AddRow adds one row to each: y[r][i] = x[r][i] + w[i]. x (.., n), w (n) -> (.., n).
func (s *Step) AddRow(x Tensor, w *Weight) Tensor {
	c, m := s.startBy(w, OpAddRow)
	if x = c.in(x); !c.fits(perColumn(m, x)) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// LayerNorm brings each row to mean 0 and variance 1, then scales and shifts: y = (x - mean(x)) / sqrt(var(x) + eps) · w + b.
// x (.., n), w and b (n) -> (.., n).
func (s *Step) LayerNorm(x Tensor, w, b *Weight, eps float32) Tensor {
	c, m := s.startBy(w, OpLayerNorm)
	c.with(eps)
	shift := c.weight(b)
	if x = c.in(x); !c.fits(perColumn(m, x) && perColumn(shift, x)) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}

// GELU is x times the share of a normal distribution that lies below x. Any shape.
func (s *Step) GELU(x Tensor, form GELUForm) Tensor {
	c := s.start(OpGELU)
	c.at(int(form))
	if x = c.in(x); !c.fits(x.float()) {
		return Tensor{}
	}
	return c.gives(c.like(x))
}
