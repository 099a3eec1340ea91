package picture

import "math"

// weights.go makes the weights of the bicubic filter along one axis. They are computed in float64 in the order of
// operations that Pillow has and rounded to whole numbers, because a weight that differs in its last bit changes pixels.
// Each product is rounded before it is added (the float64 conversions), also where the machine could fuse the two.

// precision is the number of bits behind the point of a weight: 32 bits less 8 of the pixel and 2 of room for overshoot.
const precision = 22

// axis is one pass: out[i] = clamp(round(sum of weights[i*stride+t] * in[start[i]+t])), t < stride.
type axis struct {
	start   []int32 // first pixel read, for each pixel made
	count   []int32 // pixels read; the weights behind them are zero
	weights []int32 // (len(start), stride), whole numbers of 2^-precision
	stride  int     // a multiple of 4
}

// bicubic is the kernel of Keys (1981) with a = -1/2.
func bicubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		inner := float64((a+2)*x) - (a + 3)
		return float64(float64(inner*x)*x) + 1
	case x < 2:
		inner := float64((x-5)*x) + 8
		return (float64(inner*x) - 4) * a
	}
	return 0
}

// newAxis makes the weights that take n pixels to m. Where pixels become fewer the kernel is widened by the same factor,
// which is what keeps fine patterns from turning into false ones.
func newAxis(n, m int) axis {
	scale := float64(n) / float64(m)
	widen := max(scale, 1)
	support := 2 * widen
	stride := (min(2*int(math.Ceil(support))+1, n) + 3) &^ 3
	a := axis{start: make([]int32, m), count: make([]int32, m), weights: make([]int32, m*stride), stride: stride}
	taps := make([]float64, stride)
	for i := range m {
		centre := float64((float64(i) + 0.5) * scale)
		first := max(int(centre-support+0.5), 0)
		end := min(int(centre+support+0.5), n)
		a.start[i], a.count[i] = int32(first), int32(end-first)
		sum := 0.0
		for t := range end - first {
			taps[t] = bicubic(float64((float64(t+first) - centre + 0.5) * (1 / widen)))
			sum += taps[t]
		}
		for t := range end - first {
			a.weights[i*stride+t] = whole(taps[t] / sum)
		}
	}
	return a
}

// whole rounds a weight half away from zero.
func whole(w float64) int32 {
	return int32(math.Copysign(math.Floor(float64(math.Abs(w)*(1<<precision))+0.5), w))
}
