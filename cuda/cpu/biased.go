package cpu

// biased.go calls the ops of layers with biases; ref_biased.go says what they compute.

// AddRow adds w to each row.
func (p *Pool) AddRow(y, x []float32, w Matrix) error {
	err := first(w.check(), sizes(len(x), rowsOf(x, w.Cols)*w.Cols), sizes(len(y), len(x)))
	if err == nil {
		RefAddRow(y, x, w)
	}
	return err
}

// LayerNorm normalizes rows as long as w and b.
func (p *Pool) LayerNorm(y, x []float32, w, b Matrix, eps float32) error {
	err := first(w.check(), b.check(), sizes(b.Cols, w.Cols), sizes(len(x), rowsOf(x, w.Cols)*w.Cols), sizes(len(y), len(x)))
	if err == nil && len(x) > 0 {
		RefLayerNorm(y, x, w, b, eps)
	}
	return err
}

// GELU is y = gelu(x).
func (p *Pool) GELU(y, x []float32, tanh bool) error {
	err := sizes(len(y), len(x))
	if err == nil {
		RefGELU(y, x, tanh)
	}
	return err
}
