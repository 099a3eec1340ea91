package cpu

// vision.go calls the ops that bring features into rows; ref_vision.go says what they compute. They touch each element once,
// so they are the specification.

// IndexCopy replaces the rows that index names by those of y.
func (p *Pool) IndexCopy(z, x []float32, index []int32, y []float32, n int) error {
	err := indexed(z, x, index, y, n)
	if err == nil {
		RefIndexCopy(z, x, index, y, n)
	}
	return err
}

// IndexAdd adds the rows of y to those that index names.
func (p *Pool) IndexAdd(z, x []float32, index []int32, y []float32, n int) error {
	err := indexed(z, x, index, y, n)
	if err == nil {
		RefIndexAdd(z, x, index, y, n)
	}
	return err
}

func indexed(z, x []float32, index []int32, y []float32, n int) error {
	rows := rowsOf(x, n)
	return first(sizes(len(x), rows*n), sizes(len(z), len(x)), sizes(len(y), len(index)*n), checkIndex("row", index, rows))
}
