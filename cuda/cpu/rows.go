package cpu

// #cgo noescape pio_columns
// #cgo nocallback pio_columns
// #cgo noescape pio_sigmoid
// #cgo nocallback pio_sigmoid
// #cgo noescape pio_mul
// #cgo nocallback pio_mul
// #cgo noescape pio_mul_rows
// #cgo nocallback pio_mul_rows
// #cgo noescape pio_l2norm
// #cgo nocallback pio_l2norm
// #include "kernels.h"
import "C"

import "fmt"

// rows.go calls the ops on the elements of rows; ref_rows.go says what they compute.

// Columns copies width elements of each row.
func (p *Pool) Columns(y, x []float32, width, of, from int) error {
	err := columns(y, x, width, of, from)
	if err == nil && len(y) > 0 {
		C.pio_columns(p.c, ptr(y), C.size_t(width), ptr(x[from:]), C.size_t(of), C.size_t(width), C.size_t(len(y)/width))
	}
	return err
}

// PutColumns moves them the other way, into the rows of y.
func (p *Pool) PutColumns(y, x []float32, width, of, to int) error {
	err := columns(x, y, width, of, to)
	if err == nil && len(x) > 0 {
		C.pio_columns(p.c, ptr(y[to:]), C.size_t(of), ptr(x), C.size_t(width), C.size_t(width), C.size_t(len(x)/width))
	}
	return err
}

// columns checks that the rows of part are width elements of rows of so many, from one on.
func columns(part, whole []float32, width, of, from int) error {
	if width <= 0 || from < 0 || of < from+width {
		return fmt.Errorf("columns %d to %d of %d", from, from+width, of)
	}
	rows := rowsOf(whole, of)
	return first(sizes(len(whole), rows*of), sizes(len(part), rows*width))
}

// Sigmoid is y = 1 / (1 + e^-x).
func (p *Pool) Sigmoid(y, x []float32) error {
	err := sizes(len(y), len(x))
	if err == nil && len(x) > 0 {
		C.pio_sigmoid(p.c, p.table, ptr(y), ptr(x), C.size_t(len(x)))
	}
	return err
}

// Mul is z = x y, each element of y for len(x)/len(y) of x.
func (p *Pool) Mul(z, x, y []float32) error {
	each := rowsOf(x, len(y))
	err := first(sizes(len(z), len(x)), sizes(len(x), len(y)*each))
	switch {
	case err != nil || len(x) == 0:
		return err
	case each == 1:
		C.pio_mul(p.c, p.table, ptr(z), ptr(x), ptr(y), C.size_t(len(x)))
	default:
		C.pio_mul_rows(p.c, p.table, ptr(z), ptr(x), ptr(y), C.size_t(len(y)), C.size_t(each))
	}
	return nil
}

// L2Norm divides rows of n elements by their length.
func (p *Pool) L2Norm(y, x []float32, n int, eps float32) error {
	err := first(sizes(len(x), rowsOf(x, n)*n), sizes(len(y), len(x)))
	if err == nil && len(x) > 0 {
		C.pio_l2norm(p.c, p.table, ptr(y), ptr(x), C.size_t(len(x)/n), C.size_t(n), C.float(eps))
	}
	return err
}
