package kernels_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/kerneltest"
	. "github.com/inference-pio/inference-pio/cuda/optest"
	"github.com/inference-pio/inference-pio/cuda/spec"
)

func TestRowsAreMoved(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(4)
		for _, s := range []struct{ rows, n, width, from int }{{1, 1, 1, 0}, {3, 9, 4, 2}, {7, 64, 32, 16}, {50, 37, 30, 7}, {300, 12, 8, 4}} {
			x, what := Random(rng, s.rows*s.n), fmt.Sprint(s)
			check := func(op *cuda.Op, want []float32, takes ...int) {
				t.Helper()
				inHalves(t, m, op, takes...)
				m.Run(t, op)
				SameBits(t, fmt.Sprint(op.Code, " ", what), op.Out[0].F32(), want)
			}
			check(cuda.NewOp(cuda.OpCopy).Gives(F32(filled(len(x)), s.n)).Takes(F32(x, s.n)), x, 0)
			index := UpTo(rng, 2*s.rows, s.rows)
			want := filled(2 * len(x))
			spec.Gather(want, x, index, s.n)
			check(cuda.NewOp(cuda.OpGather).Gives(F32(filled(len(want)), s.n)).Takes(F32(x, s.n), I32(index)), want, 0)
			want = filled(s.rows * s.width)
			spec.Columns(want, x, s.width, s.n, s.from)
			check(cuda.NewOp(cuda.OpColumns).Gives(F32(filled(len(want)), s.width)).Takes(F32(x, s.n)).At(int32(s.from)), want, 0)
			part := Random(rng, s.rows*s.width)
			want = slices.Clone(x)
			spec.PutColumns(want, part, s.width, s.n, s.from)
			check(cuda.NewOp(cuda.OpPutColumns).Gives(F32(slices.Clone(x), s.n)).Takes(F32(part, s.width)).At(int32(s.from)), want, 0)
		}
	})
}

func TestRowsThatAnIndexNames(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(5)
		for _, s := range [][3]int{{1, 1, 1}, {5, 3, 4}, {10, 40, 300}, {200, 100, 37}, {6, 130, 64}} {
			rows, count, n := s[0], s[1], s[2]
			x, y, index, want := Random(rng, rows*n), Random(rng, count*n), UpTo(rng, count, rows), filled(rows*n)
			for _, inPlace := range []bool{false, true} {
				for code, does := range map[cuda.OpCode]func(z, x []float32, index []int32, y []float32, n int){
					cuda.OpIndexCopy: spec.IndexCopy, cuda.OpIndexAdd: spec.IndexAdd,
				} {
					does(want, x, index, y, n)
					z := filled(rows * n)
					from := x
					if inPlace {
						copy(z, x)
						from = z
					}
					op := cuda.NewOp(code).Gives(F32(z, n)).Takes(F32(from, n), I32(index), F32(y, n))
					m.Run(t, op)
					SameBits(t, fmt.Sprint(code, s, inPlace), z, want)
					if code == cuda.OpIndexCopy && !inPlace {
						inHalves(t, m, op, 0, 2)
					}
				}
			}
		}
	})
}

func TestHeadsFirstLaysATileOut(t *testing.T) {
	eachMachine(t, func(t *testing.T, m *kerneltest.Machine) {
		rng := newRand(6)
		for _, s := range []struct{ rows, heads, dim, from, to, tail int }{{1, 1, 1, 0, 1, 0}, {5, 3, 20, 4, 16, 8}, {7, 2, 13, 1, 6, 3}, {3, 4, 256, 0, 128, 64}} {
			x, tail, width := Random(rng, s.rows*s.heads*s.dim), Random(rng, s.rows*s.tail), s.to-s.from+s.tail
			y, want := filled(s.heads*s.rows*width), filled(s.heads*s.rows*width)
			op := cuda.NewOp(cuda.OpHeadsFirst).Gives(F32(y, s.rows, width)).At(int32(s.from))
			takes := []int{0, 1}
			if s.tail > 0 {
				op.Takes(F32(x, s.heads, s.dim), F32(tail, 1, s.tail))
			} else {
				op.Takes(F32(x, s.heads, s.dim), cuda.Tensor{})
				takes = takes[:1]
			}
			m.Run(t, op)
			spec.HeadsFirst(want, x, tail, s.rows, s.heads, s.dim, s.from)
			SameBits(t, fmt.Sprint(s), y, want)
			inHalves(t, m, op, takes...)
		}
	})
}
