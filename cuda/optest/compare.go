package optest

import (
	"math"
	"testing"
)

// compare.go has comparisons.

// Eps is the largest relative error of one rounding to f32.
const Eps = 1.0 / (1 << 24)

// Within reports the first element that is further from the specification than its bound.
func Within(t testing.TB, what string, got, want []float32, bound func(i int) float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); got[i] != want[i] && !(d <= bound(i)) {
			t.Fatalf("%s: element %d is %g, the specification says %g: off by %g of %g", what, i, got[i], want[i], d, bound(i))
		}
	}
}

// Relative is a bound of some roundings of the result itself.
func Relative(want []float32, roundings float64) func(int) float64 {
	return func(i int) float64 { return roundings * Eps * math.Abs(float64(want[i])) }
}

// SameBits is equality to the bit.
func SameBits(t testing.TB, what string, a, b []float32) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("%s: %d and %d elements", what, len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			t.Fatalf("%s: element %d is %g and %g", what, i, a[i], b[i])
		}
	}
}
