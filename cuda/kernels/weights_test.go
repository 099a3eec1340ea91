package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// weights_test.go holds products with weights to the specification, in every layout. With fast numerics the specification is that of the
// rows rounded to bf16.

// layoutsTested makes matrices of random weights. Blocks of codes are filled beyond the matrix, too: what is there must not count.
var layoutsTested = map[string]func(rng *rand.Rand, rows, cols int) cuda.Matrix{
	"f32":       func(rng *rand.Rand, rows, cols int) cuda.Matrix { return Plain(rng, cuda.F32, rows, cols) },
	"bf16":      func(rng *rand.Rand, rows, cols int) cuda.Matrix { return Plain(rng, cuda.BF16, rows, cols) },
	"f16":       func(rng *rand.Rand, rows, cols int) cuda.Matrix { return Plain(rng, cuda.F16, rows, cols) },
	"f8/f32":    func(rng *rand.Rand, rows, cols int) cuda.Matrix { return eights(rng, 128, 128, cuda.F32, rows, cols) },
	"f8/bf16":   func(rng *rand.Rand, rows, cols int) cuda.Matrix { return eights(rng, 3, 256, cuda.BF16, rows, cols) },
	"f8/odd":    func(rng *rand.Rand, rows, cols int) cuda.Matrix { return eights(rng, 5, 7, cuda.F32, rows, cols) },
	"f8/by row": func(rng *rand.Rand, rows, cols int) cuda.Matrix { return eights(rng, 1, cols, cuda.F32, rows, cols) },
	"q8":        func(rng *rand.Rand, rows, cols int) cuda.Matrix { return codes(rng, cuda.Q8, rows, cols) },
	"q4":        func(rng *rand.Rand, rows, cols int) cuda.Matrix { return codes(rng, cuda.Q4, rows, cols) },
}

func planes(l *cuda.Layout, rows, cols int) (all [][]byte) {
	for _, p := range l.Planes {
		all = append(all, make([]byte, (rows+p.Rows-1)/p.Rows*((cols+p.Cols-1)/p.Cols)*p.Bytes))
	}
	return all
}

func eights(rng *rand.Rand, blockRows, blockCols int, factors cuda.DType, rows, cols int) cuda.Matrix {
	l, err := cuda.BlockScaled(blockRows, blockCols, factors)
	if err != nil {
		panic(err) // a mistake of the test's
	}
	all := planes(l, rows, cols)
	for i := range all[0] {
		if all[0][i] = byte(rng.UintN(256)); all[0][i]&0x7f == 0x7f {
			all[0][i] ^= 1
		}
	}
	f := Random(rng, len(all[1])/factors.Size())
	if factors == cuda.F32 {
		copy(all[1], BytesOf(f))
	} else {
		copy(all[1], BytesOf(spec.Round(f)))
	}
	return HostMatrix(l, rows, cols, all...)
}

func codes(rng *rand.Rand, name string, rows, cols int) cuda.Matrix {
	l := cuda.Quantised(name)
	all := planes(l, rows, cols)
	for i := range all[0] {
		if all[0][i] = byte(rng.UintN(256)); name == cuda.Q8 && all[0][i] == 0x80 {
			all[0][i] = 0
		}
	}
	for i, each := 0, l.Planes[1].Bytes; i < len(all[1]); i += each {
		copy(all[1][i:], BytesOf(spec.Round(Random(rng, 16))))
		for j := 32; j < each; j++ {
			all[1][i+j] = byte(1+rng.UintN(15)) | byte(1+rng.UintN(15))<<4
		}
	}
	return HostMatrix(l, rows, cols, all...)
}

// eachNumerics runs a test in exact and in fast numerics, each on a machine that uses its freedom in another way, and which does what turns
// with the name of a layout; and those of many rows by Hopper's own instructions where there are such.
func eachNumerics(t *testing.T, layout string, f func(t *testing.T, m *kerneltest.Machine)) {
	for i, fast := range []bool{false, true} {
		t.Run(map[bool]string{false: "exact", true: "fast"}[fast], func(t *testing.T) {
			m := kerneltest.New(t, fast, 132)
			if (i+len(layout))%2 == 0 {
				m.Multiprocessors, m.Shift, m.Eager, m.Order = 1, 4, true, 9
			}
			f(t, m)
		})
		if layout == "bf16" {
			t.Run(map[bool]string{false: "exact, warpgroups", true: "fast, warpgroups"}[fast], func(t *testing.T) {
				m := kerneltest.New(t, fast, 132)
				m.Warpgroups = true
				if fast {
					m.Multiprocessors, m.Shift, m.Eager, m.Order = 1, 4, true, 9
				}
				f(t, m)
			})
		}
	}
}

// rounded is rows as a machine multiplies them.
func rounded(m *kerneltest.Machine, w cuda.Matrix, x []float32) []float32 {
	if m.Fast && kernels.OnTensorCores(w) {
		return spec.Widen(spec.Round(x))
	}
	return x
}

// productBound: a slice has at most 256 columns here or a 16th of all, and its sum as many additions of three parts; another rounding each
// are up to eight chunks, 16 slices and the product.
func productBound(x []float32, w cuda.Matrix) func(int) float64 {
	return func(i int) float64 {
		sum := 0.0
		for k := range w.Cols {
			sum += math.Abs(float64(x[i/w.Rows*w.Cols+k]) * float64(spec.Element(w, i%w.Rows*w.Cols+k)))
		}
		return Eps * sum * float64(max(256, w.Cols/16)+32)
	}
}

// productSizes are rows, columns and outs around the borders of tiles, chunks and slices.
var productSizes = [][3]int{{1, 1, 1}, {3, 7, 5}, {2, 8, 9}, {5, 16, 17}, {16, 40, 33}, {17, 128, 64}, {1, 136, 300}, {20, 264, 70}, {66, 520, 9}, {1, 2064, 8}, {130, 40, 70}}

func TestMatMulMatchesTheSpecification(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(11)
				for _, s := range productSizes {
					x, w := Random(rng, s[0]*s[1]), make(rng, s[2], s[1])
					y, want := filled(s[0]*s[2]), filled(s[0]*s[2])
					m.Run(t, cuda.NewOp(cuda.OpMatMul).Gives(F32(y, s[2])).Takes(F32(x, s[1])).By(w))
					x = rounded(m, w, x)
					spec.MatMul(want, x, w)
					Within(t, fmt.Sprint(s), y, want, productBound(x, w))
				}
			})
		})
	}
}

// A row has the same bits alone, with few and with many, however blocks are cut: devices have few or many multiprocessors, little or much
// shared memory.
func TestMatMulOfARowIsThatOfTheRowAlone(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(12)
				const rows, cols, outs = 33, 1040, 70
				x, w := Random(rng, rows*cols), make(rng, outs, cols)
				all := filled(rows * outs)
				m.Run(t, cuda.NewOp(cuda.OpMatMul).Gives(F32(all, outs)).Takes(F32(x, cols)).By(w))
				small, other := *m, *m
				other.Multiprocessors = 133 - m.Multiprocessors
				small.Shared, small.Multiprocessors = 48<<10, other.Multiprocessors
				for _, m := range []*kerneltest.Machine{m, &small, &other} {
					for _, part := range [][2]int{{0, 1}, {1, 5}, {5, 13}, {13, 29}, {3, 27}} {
						y := filled((part[1] - part[0]) * outs)
						m.Run(t, cuda.NewOp(cuda.OpMatMul).Gives(F32(y, outs)).Takes(F32(x[part[0]*cols:part[1]*cols], cols)).By(w))
						SameBits(t, fmt.Sprint("rows ", part), y, all[part[0]*outs:part[1]*outs])
					}
				}
			})
		})
	}
}

func TestEmbedMatchesTheSpecification(t *testing.T) {
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(13)
				for _, s := range [][3]int{{1, 1, 1}, {5, 7, 19}, {3, 300, 33}} {
					w, tokens := make(rng, s[2], s[1]), UpTo(rng, s[0], s[2])
					y, want := filled(s[0]*s[1]), filled(s[0]*s[1])
					m.Run(t, cuda.NewOp(cuda.OpEmbed).Gives(F32(y, s[1])).Takes(I32(tokens)).By(w))
					spec.Embed(want, tokens, w)
					SameBits(t, fmt.Sprint(s), y, want)
				}
			})
		})
	}
}

// What is no number or infinite, in a weight or in a row, makes no number of what it is multiplied into, and of nothing else.
func TestMatMulOfWhatIsNoNumber(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for name, make := range layoutsTested {
		t.Run(name, func(t *testing.T) {
			eachNumerics(t, name, func(t *testing.T, m *kerneltest.Machine) {
				rng := newRand(14)
				const cols, outs = 144, 24
				for _, rows := range []int{2, 20} {
					x, w := Random(rng, rows*cols), make(rng, outs, cols)
					x[3], x[cols+5] = nan, inf
					y, want := filled(rows*outs), filled(rows*outs)
					m.Run(t, cuda.NewOp(cuda.OpMatMul).Gives(F32(y, outs)).Takes(F32(x, cols)).By(w))
					spec.MatMul(want, x, w)
					for i, v := range y {
						switch {
						case i < outs && v == v:
							t.Fatalf("%d rows: element %d is %g, by no number", rows, i, v)
						case i >= outs && i < 2*outs && v-v == 0:
							t.Fatalf("%d rows: element %d is %g, by what is infinite", rows, i, v)
						case i >= 2*outs && v-v != 0:
							t.Fatalf("%d rows: element %d is %g, with neither", rows, i, v)
						}
					}
				}
			})
		})
	}
}

// An 8-bit float that is no number makes none of all rows of its out.
func TestMatMulByAnEightThatIsNoNumber(t *testing.T) {
	for _, fast := range []bool{false, true} {
		everyMachine(t, fast, func(t *testing.T, m *kerneltest.Machine) {
			rng := newRand(15)
			const cols, outs = 144, 24
			for _, rows := range []int{2, 20} {
				for _, none := range []byte{0x7f, 0xff} {
					x, w := Random(rng, rows*cols), eights(rng, 128, 128, cuda.F32, outs, cols)
					at := rng.IntN(cols)
					w.Plane(0).Raw()[5*cols+at] = none
					y := filled(rows * outs)
					m.Run(t, cuda.NewOp(cuda.OpMatMul).Gives(F32(y, outs)).Takes(F32(x, cols)).By(w))
					for i, v := range y {
						if (v != v) != (i%outs == 5) {
							t.Fatalf("%d rows, column %d: element %d is %g", rows, at, i, v)
						}
					}
				}
			}
		})
	}
}
