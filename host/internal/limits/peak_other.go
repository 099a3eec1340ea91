//go:build !amd64 && !arm64

package limits

// There is no loop for this processor.
func widest() (rounds func(n int), flops float64) { return nil, 0 }
