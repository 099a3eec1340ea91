package spec

// vision.go has the ops that bring features into rows of n elements.

// IndexCopy is cuda.Step.IndexCopy.
func IndexCopy(z, x []float32, index []int32, y []float32, n int) {
	copy(z, x)
	for i, row := range index {
		copy(z[int(row)*n:][:n], y[i*n:])
	}
}

// IndexAdd is cuda.Step.IndexAdd.
func IndexAdd(z, x []float32, index []int32, y []float32, n int) {
	copy(z, x)
	for i, row := range index {
		to := z[int(row)*n:][:n]
		for j := range to {
			to[j] += y[i*n+j]
		}
	}
}
