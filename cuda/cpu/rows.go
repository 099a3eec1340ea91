package cpu

import "fmt"

// rows.go calls the ops on the elements of rows; ref_rows.go says what they compute.

// Columns moves elements and computes nothing, so it is the specification.
func (p *Pool) Columns(y, x []float32, width, of, from int) error {
	if width <= 0 || from < 0 || of < from+width {
		return fmt.Errorf("columns %d to %d of %d", from, from+width, of)
	}
	rows := rowsOf(x, of)
	err := first(sizes(len(x), rows*of), sizes(len(y), rows*width))
	if err == nil {
		RefColumns(y, x, width, of, from)
	}
	return err
}

// Sigmoid is y = 1 / (1 + e^-x).
func (p *Pool) Sigmoid(y, x []float32) error {
	err := sizes(len(y), len(x))
	if err == nil {
		RefSigmoid(y, x)
	}
	return err
}

// Mul is z = x y, each element of y for len(x)/len(y) of x.
func (p *Pool) Mul(z, x, y []float32) error {
	err := first(sizes(len(z), len(x)), sizes(len(x), len(y)*rowsOf(x, len(y))))
	if err == nil {
		RefMul(z, x, y)
	}
	return err
}

// L2Norm divides rows of n elements by their length.
func (p *Pool) L2Norm(y, x []float32, n int, eps float32) error {
	err := first(sizes(len(x), rowsOf(x, n)*n), sizes(len(y), len(x)))
	if err == nil && n > 0 {
		RefL2Norm(y, x, n, eps)
	}
	return err
}
