package cpu

// ref_vision.go specifies the ops that bring features into rows of n elements.

// RefIndexCopy is cuda.Step.IndexCopy.
func RefIndexCopy(z, x []float32, index []int32, y []float32, n int) {
	copy(z, x)
	for i, row := range index {
		copy(z[int(row)*n:][:n], y[i*n:])
	}
}

// RefIndexAdd is cuda.Step.IndexAdd.
func RefIndexAdd(z, x []float32, index []int32, y []float32, n int) {
	copy(z, x)
	for i, row := range index {
		to := z[int(row)*n:][:n]
		for j := range to {
			to[j] += y[i*n+j]
		}
	}
}
