package cpu

import "fmt"

// rows.go calls the ops on the elements of rows; ref_rows.go says what they compute.

// Columns moves elements and computes nothing, so it is the specification.
func (p *Pool) Columns(y, x []float32, width, of, from int) error {
	err := columns(y, x, width, of, from)
	if err == nil {
		RefColumns(y, x, width, of, from)
	}
	return err
}

// PutColumns moves them the other way, into the rows of y.
func (p *Pool) PutColumns(y, x []float32, width, of, to int) error {
	err := columns(x, y, width, of, to)
	if err == nil {
		RefPutColumns(y, x, width, of, to)
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

// Concat moves elements and computes nothing, so it is the specification.
func (p *Pool) Concat(z, x, y []float32, n, m int) error {
	rows := rowsOf(x, n)
	err := first(sizes(len(x), rows*n), sizes(len(y), rows*m), sizes(len(z), rows*(n+m)))
	if err == nil {
		RefConcat(z, x, y, n, m)
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
