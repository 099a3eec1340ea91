package cpu_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/inference-pio/inference-pio/cuda/cpu"
)

// TestColumnsAndBack: what Columns takes apart, PutColumns puts together; ranges that are not there are refused.
func TestColumnsAndBack(t *testing.T) {
	p := newPool(t, 3, cpu.Tables()[0])
	for _, s := range [][3]int{{2, 4, 1}, {1, 2, 1}, {700, 129, 65}, {3, 40_000, 39_999}} { // rows, of, where the cut is
		rows, of, cut := s[0], s[1], s[2]
		x, back, wantBack := random(rand.New(rand.NewPCG(30, 1)), rows*of), make([]float32, rows*of), make([]float32, rows*of)
		for _, part := range [][2]int{{0, cut}, {cut, of}} {
			width := part[1] - part[0]
			got, want := make([]float32, rows*width), make([]float32, rows*width)
			must(t, p.Columns(got, x, width, of, part[0]))
			cpu.RefColumns(want, x, width, of, part[0])
			sameBits(t, shape(s[:]...), got, want)
			must(t, p.PutColumns(back, got, width, of, part[0]))
			cpu.RefPutColumns(wantBack, want, width, of, part[0])
			sameBits(t, shape(s[:]...)+" half back", back, wantBack)
		}
		sameBits(t, shape(s[:]...)+" back", back, x)
	}
	x, part := make([]float32, 8), make([]float32, 6)
	for _, c := range [][3]int{{3, 4, 2}, {3, 4, -1}, {0, 4, 0}, {2, 4, 1}} {
		if p.Columns(part, x, c[0], c[1], c[2]) == nil || p.PutColumns(x, part, c[0], c[1], c[2]) == nil {
			t.Errorf("%d of %d from %d on were accepted", c[0], c[1], c[2])
		}
	}
}

// TestSigmoidMatchesTheSpecification: exp is good for 2 units of the last place, 4 roundings; two operations follow.
func TestSigmoidMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		x := random(rand.New(rand.NewPCG(31, 1)), 20_003)
		for i := range x {
			x[i] *= float32(1 + i%20)
		}
		got, want := make([]float32, len(x)), make([]float32, len(x))
		must(t, p.Sigmoid(got, x))
		cpu.RefSigmoid(want, x)
		within(t, "sigmoid", got, want, relative(want, 7))
		ends := []float32{-1e9, 1e9, 0, float32(math.Inf(-1)), float32(math.Inf(1))}
		must(t, p.Sigmoid(ends, ends))
		within(t, "far out", ends, []float32{0, 1, 0.5, 0, 1}, func(int) float64 { return 1e-37 })
	})
}

// TestMulIsExact with a factor for each element and with one for each row.
func TestMulIsExact(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(32, 1))
		for _, s := range [][2]int{{1, 1}, {3, 7}, {300, 129}, {1, 40_001}, {5000, 8}} {
			rows, n := s[0], s[1]
			x, got, want := random(rng, rows*n), make([]float32, rows*n), make([]float32, rows*n)
			for _, factors := range []int{rows * n, rows} {
				y := random(rng, factors)
				must(t, p.Mul(got, x, y))
				cpu.RefMul(want, x, y)
				sameBits(t, shape(rows, n, factors), got, want)
			}
			if p.Mul(got, x, make([]float32, rows*n+1)) == nil {
				t.Error("more factors than elements were accepted")
			}
		}
		must(t, p.Mul(nil, nil, nil))
	})
}

// TestL2NormMatchesTheSpecification, as RMSNorm's does.
func TestL2NormMatchesTheSpecification(t *testing.T) {
	eachTable(t, func(t *testing.T, p *cpu.Pool) {
		rng := rand.New(rand.NewPCG(33, 1))
		for _, s := range [][2]int{{1, 1}, {3, 7}, {5, 64}, {300, 129}, {2, 1024}} {
			rows, n := s[0], s[1]
			x, got, want := random(rng, rows*n), make([]float32, rows*n), make([]float32, rows*n)
			must(t, p.L2Norm(got, x, n, 1e-6))
			cpu.RefL2Norm(want, x, n, 1e-6)
			within(t, shape(s[:]...), got, want, relative(want, float64(2*(n/8+1)+4)/2+5))
			row := make([]float32, n)
			must(t, p.L2Norm(row, x[(rows-1)*n:], n, 1e-6))
			sameBits(t, "the last row alone", row, got[(rows-1)*n:])
		}
		zeros := make([]float32, 4)
		must(t, p.L2Norm(zeros, zeros, 4, 1e-6))
		sameBits(t, "nothing", zeros, make([]float32, 4))
	})
}
