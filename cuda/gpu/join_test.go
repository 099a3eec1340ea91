//go:build cuda && cgo

package gpu

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/inference-pio/inference-pio/cuda"
	"github.com/inference-pio/inference-pio/cuda/kernels/sim"
	"github.com/inference-pio/inference-pio/cuda/optest"
)

// shaped is a tensor of a type and a shape that goes with the test.
func (b *board) shaped(typ cuda.DType, dims ...int) cuda.Tensor {
	b.t.Helper()
	bytes := typ.Size()
	for _, n := range dims {
		bytes *= n
	}
	mem, err := b.d.Alloc(int64(bytes), cuda.ForScratch)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.d.Free(mem) })
	x, err := cuda.DeviceTensor(b.d, mem, 0, typ, dims...)
	if err != nil {
		b.t.Fatal(err)
	}
	return x
}

// Two products of the same rows, and what gates one by the other, are one launch where nothing comes between, with the same results.
func TestProductsOfTheSameRowsAreOneLaunch(t *testing.T) {
	atEveryPace(t, func(t *testing.T, s *sim.Driver) {
		d, r := open(t, Options{}), rand.New(rand.NewPCG(5, 6))
		b := newBoard(t, d)
		const in, out = 64, 40
		var w [2]cuda.Matrix
		for i := range w {
			m, halves := b.shaped(cuda.BF16, out, in), make([]uint16, out*in)
			for j := range halves {
				halves[j] = 0x3f00 | uint16(r.UintN(2))<<15 | uint16(r.UintN(128)) // 0.5 to 1 and below 0
			}
			view, err := cuda.HostTensor(optest.BytesOf(halves), cuda.BF16, out, in)
			if err != nil {
				t.Fatal(err)
			}
			b.q.CopyIn(m, view)
			if w[i], err = cuda.MatrixOf(m); err != nil {
				t.Fatal(err)
			}
		}
		x, list := b.shaped(cuda.F32, 1, in), []cuda.Tensor{b.shaped(cuda.F32, 1, out), b.shaped(cuda.F32, 1, out), b.shaped(cuda.F32, 1, out)}
		b.q.CopyIn(x, host(t, random(r, in)))
		ops := []*cuda.Op{
			cuda.NewOp(cuda.OpMatMul).Gives(list[0]).Takes(x).By(w[0]),
			cuda.NewOp(cuda.OpMatMul).Gives(list[1]).Takes(x).By(w[1]),
			cuda.NewOp(cuda.OpSwiGLU).Gives(list[2]).Takes(list[0], list[1]),
		}
		run := func(between func()) (results [][]float32, kernels uint64) {
			b.sync()
			before := s.Counts().Kernels
			for _, op := range ops {
				b.q.Run(op)
				between()
			}
			for _, y := range list {
				got := make([]float32, out)
				b.q.CopyOut(host(t, got), y)
				results = append(results, got)
			}
			b.sync()
			return results, s.Counts().Kernels - before
		}
		want, three := run(b.sync)
		got, one := run(func() {})
		other := b.tensor(8)
		_, six := run(func() { b.q.Run(add(other, other, other)) })
		for i := range want {
			if !slices.Equal(got[i], want[i]) || want[i][0] == 0 {
				t.Errorf("result %d is %v, by itself %v", i, got[i], want[i])
			}
		}
		if three != 3 || one != 1 || six != 6 {
			t.Errorf("%d launches with waits for each, %d without, %d with other ops between, not 3, 1 and 6", three, one, six)
		}
	})
}
