package cpu

// #cgo noescape pio_add_row
// #cgo nocallback pio_add_row
// #cgo noescape pio_layernorm
// #cgo nocallback pio_layernorm
// #cgo noescape pio_gelu
// #cgo nocallback pio_gelu
// #include "kernels.h"
import "C"

// biased.go calls the ops of layers with biases; ref_biased.go says what they compute.

// AddRow adds w to each row.
func (p *Pool) AddRow(y, x []float32, w Matrix) error {
	err := first(w.checkVector(), sizes(len(x), rowsOf(x, w.Cols)*w.Cols), sizes(len(y), len(x)))
	if err == nil && len(x) > 0 {
		C.pio_add_row(p.c, p.table, ptr(y), ptr(x), w.Ptr, C.int(w.Type), C.size_t(len(x)/w.Cols), C.size_t(w.Cols))
	}
	return err
}

// LayerNorm normalizes rows as long as w and b.
func (p *Pool) LayerNorm(y, x []float32, w, b Matrix, eps float32) error {
	err := first(w.checkVector(), b.checkVector(), sizes(b.Cols, w.Cols), sizes(len(x), rowsOf(x, w.Cols)*w.Cols), sizes(len(y), len(x)))
	if err == nil && len(x) > 0 {
		C.pio_layernorm(p.c, p.table, ptr(y), ptr(x), w.Ptr, C.int(w.Type), b.Ptr, C.int(b.Type),
			C.size_t(len(x)/w.Cols), C.size_t(w.Cols), C.float(eps))
	}
	return err
}

// GELU is y = gelu(x).
func (p *Pool) GELU(y, x []float32, tanh bool) error {
	err := sizes(len(y), len(x))
	if err == nil && len(x) > 0 {
		C.pio_gelu(p.c, p.table, ptr(y), ptr(x), C.size_t(len(x)), flag(tanh))
	}
	return err
}
