package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

// TestColumnsAndBack: what Columns takes apart, PutColumns puts together.
func TestColumnsAndBack(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		for _, s := range [][3]int{{2, 4, 1}, {1, 2, 1}, {700, 129, 65}, {3, 40_000, 39_999}} { // rows, of, where the cut is
			rows, of, cut := s[0], s[1], s[2]
			x, back, wantBack := random(rand.New(rand.NewPCG(30, 1)), rows*of), make([]float32, rows*of), make([]float32, rows*of)
			for _, part := range [][2]int{{0, cut}, {cut, of}} {
				width, first := part[1]-part[0], int32(part[0])
				got, want := make([]float32, rows*width), make([]float32, rows*width)
				d.run(t, cuda.NewOp(cuda.OpColumns).Gives(f32(got, width)).Takes(f32(x, of)).At(first))
				spec.Columns(want, x, width, of, part[0])
				sameBits(t, shape(s[:]...), got, want)
				d.run(t, cuda.NewOp(cuda.OpPutColumns).Gives(f32(back, of)).Takes(f32(got, width)).At(first))
				spec.PutColumns(wantBack, want, width, of, part[0])
				sameBits(t, shape(s[:]...)+" half back", back, wantBack)
			}
			sameBits(t, shape(s[:]...)+" back", back, x)
		}
	})
}

// TestSigmoidMatchesTheSpecification: exp is good for 2 units of the last place, 4 roundings; two operations follow.
func TestSigmoidMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		x := random(rand.New(rand.NewPCG(31, 1)), 20_003)
		for i := range x {
			x[i] *= float32(1 + i%20)
		}
		sigmoid := func(y, x []float32) *cuda.Op { return cuda.NewOp(cuda.OpSigmoid).Gives(f32(y)).Takes(f32(x)) }
		got, want := make([]float32, len(x)), make([]float32, len(x))
		d.run(t, sigmoid(got, x))
		spec.Sigmoid(want, x)
		within(t, "sigmoid", got, want, relative(want, 7))
		ends := []float32{-1e9, 1e9, 0, float32(math.Inf(-1)), float32(math.Inf(1))}
		d.run(t, sigmoid(ends, ends))
		within(t, "far out", ends, []float32{0, 1, 0.5, 0, 1}, func(int) float64 { return 1e-37 })
	})
}

// TestMulIsExact with a factor for each element and with one for each row.
func TestMulIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(32, 1))
		for _, s := range [][2]int{{0, 1}, {1, 1}, {3, 7}, {300, 129}, {1, 40_001}, {5000, 8}} {
			rows, n := s[0], s[1]
			x, got, want := random(rng, rows*n), make([]float32, rows*n), make([]float32, rows*n)
			for _, each := range []int{n, 1} {
				y := random(rng, rows*each)
				d.run(t, cuda.NewOp(cuda.OpMul).Gives(f32(got, n)).Takes(f32(x, n), f32(y, each)))
				spec.Mul(want, x, y)
				sameBits(t, shape(rows, n, each), got, want)
			}
		}
	})
}

// TestL2NormMatchesTheSpecification, as RMSNorm's does.
func TestL2NormMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(33, 1))
		for _, s := range [][2]int{{1, 1}, {3, 7}, {5, 64}, {300, 129}, {2, 1024}} {
			rows, n := s[0], s[1]
			x, got, want := random(rng, rows*n), make([]float32, rows*n), make([]float32, rows*n)
			d.run(t, l2norm(got, x, n))
			spec.L2Norm(want, x, n, 1e-6)
			within(t, shape(s[:]...), got, want, relative(want, float64(2*(n/8+1)+4)/2+5))
			row := make([]float32, n)
			d.run(t, l2norm(row, x[(rows-1)*n:], n))
			sameBits(t, "the last row alone", row, got[(rows-1)*n:])
		}
		zeros := make([]float32, 4)
		d.run(t, l2norm(zeros, zeros, 4))
		sameBits(t, "nothing", zeros, make([]float32, 4))
	})
}

func l2norm(y, x []float32, n int) *cuda.Op {
	return cuda.NewOp(cuda.OpL2Norm).Gives(f32(y, n)).Takes(f32(x, n)).With(1e-6)
}

// TestRowsThatAnIndexNames are replaced or added to, also twice, and the others are copied: few and so many that threads share them.
func TestRowsThatAnIndexNames(t *testing.T) {
	eachTable(t, func(t *testing.T, d *device) {
		rng := rand.New(rand.NewPCG(34, 1))
		for _, s := range [][3]int{{1, 1, 1}, {5, 3, 0}, {7, 13, 4}, {300, 129, 200}, {900, 40, 1500}} { // rows, n, indices
			rows, n := s[0], s[1]
			x, y, index := random(rng, rows*n), random(rng, s[2]*n), make([]int32, s[2])
			for i := range index {
				index[i] = int32(rng.IntN(rows))
			}
			got, want := make([]float32, rows*n), make([]float32, rows*n)
			d.run(t, cuda.NewOp(cuda.OpIndexAdd).Gives(f32(got, n)).Takes(f32(x, n), i32(index), f32(y, n)))
			spec.IndexAdd(want, x, index, y, n)
			sameBits(t, shape(s[:]...)+" added", got, want)
			d.run(t, cuda.NewOp(cuda.OpIndexCopy).Gives(f32(got, n)).Takes(f32(x, n), i32(index), f32(y, n)))
			spec.IndexCopy(want, x, index, y, n)
			sameBits(t, shape(s[:]...)+" replaced", got, want)
		}
	})
}
